// Launch functions of the kernels on common neighbours and masked graphs: raw device pointers and sizes, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "../cpu/neighbor_pool.h"  // the descriptions of calls, the same for both devices

namespace graphkit::cuda {

struct NeighborGraph {
  int64_t N;
  const int64_t* ptr;   // [N + 1]
  const int32_t* col;   // [2M], sorted in each row
  const uint8_t* gone;  // [2M] or null
};

struct Pairs {
  int64_t count;
  const int64_t *one, *two;
};

enum Sets : int { kCommon = 1, kResidual = 2 };

// Ragged rows of nodes; row r adds to row r % rows of the result.
struct Ragged {
  int64_t count, entries, rows;
  const int64_t *ptr, *node;
  const void* value;  // [entries] accumulators, or null
};

// Things sorted by a key in [0, keys): `place` lists those of key k from ptr[k] to ptr[k + 1], in their own order.
struct Sorted {
  const int32_t* place;
  const int64_t* ptr;
};

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against it.

// size[r] for each row of the sets, P or 2 P of them; and the nodes, to the places in ptr.
const char* count_sets(const NeighborGraph&, const Pairs&, Sets, int64_t* size, cudaStream_t);
const char* fill_sets(const NeighborGraph&, const Pairs&, Sets, const int64_t* ptr, int64_t* node, cudaStream_t);

// out[p] = sum over the common neighbours of weight * x; weight [N] accumulators or null.
const char* cn_pool(const NeighborGraph&, const Pairs&, const Features&, const void* weight, void* out, cudaStream_t);
// table[u] = sum of the rows of the pairs whose common neighbour u is, pairs sorted by their shorter row; accumulators.
const char* shorter_rows(const NeighborGraph&, const Pairs&, int32_t* node, cudaStream_t);
const char* cn_spread(const NeighborGraph&, const Pairs&, const Sorted& by_shorter, const Features& grad, void* table, cudaStream_t);

const char* weighted_pool(const Ragged&, const Features&, void* out, cudaStream_t);
const char* narrow_ids(const int64_t* from, int64_t count, int32_t* to, cudaStream_t);
const char* value_gradient(const Ragged&, const Features&, const void* grad, void* to, cudaStream_t);
const char* feature_gradient(const Ragged&, const Sorted& by_node, const Features& grad, int64_t nodes, void* table, cudaStream_t);

const char* spmm(const MaskedSpmm&, int64_t nodes, cudaStream_t);
const char* sddmm(const MaskedSddmm&, int64_t nodes, int64_t entries, cudaStream_t);
const char* maximum(const MaskedMax&, int64_t nodes, cudaStream_t);
const char* maximum_gradient(const MaskedMax&, int64_t nodes, cudaStream_t);

// Running sums of size[0 .. count - 1] in ptr[0 .. count]; and a stable sort by key. `memory` is what the first call asks for.
const char* sums_bytes(int64_t count, size_t* bytes);
const char* running_sums(const int64_t* size, int64_t count, void* memory, size_t bytes, int64_t* ptr, cudaStream_t);
// `scratch` is [2, count].
const char* key_sort_bytes(int64_t count, int64_t keys, size_t* bytes);
const char* sort_by_key(const int32_t* key, int64_t count, int64_t keys, void* memory, size_t bytes, int32_t* scratch, int32_t* place, int64_t* ptr,
                        cudaStream_t);
const char* read_back(const int64_t* from, int64_t* to, cudaStream_t);  // one number; waits for it

}  // namespace graphkit::cuda
