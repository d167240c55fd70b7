// Launch functions of the relational kernels on a CUDA device: raw device pointers and sizes, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "../cpu/relational.h"  // the enumerations and the description of a call, the same for both devices

namespace graphkit::cuda {

// Edges sorted by row and cut into pieces of equal work (pieces.h). The rows are the targets, the sources or the relations.
struct Order {
  int64_t rows, edges;
  const int64_t* ptr;     // [rows + 1] first edge of each row
  Pieces pieces;
  const int64_t* border;  // [pieces.count + 1] the row in which each piece begins; filled by find_borders
};

struct Forward : Relational {
  Order order;  // by target
  double empty;
  void* out;             // [B, N, D]; PNA: [B, N, 4, D]
  int32_t* arg;          // max, min: [B, N, D]; PNA: [B, N, 2, D]; null when no gradient will be asked for
  void* carry;           // [B, pieces, 2, carry_fields, D] accumulators of rows that cross a border
  int32_t* carry_arg;    // [B, pieces, 2, 2, D]
  int64_t* carry_count;  // [B, pieces, 2]
};

// What the edges carry, in the order of sources or of relations.
struct SortedEdges : Order {
  const int32_t* other;     // [E] the other factor of the message: relations by source, sources by relation
  const int32_t* target;    // [E]
  const int32_t* position;  // [E]
  const void* weight;       // [E] accumulators, or null
  const uint8_t* keep;      // [E] or null
};

struct Backward : Relational {
  const void* out;          // PNA: the forward's result
  const int32_t* arg;
  const void* grad_out;
  const void* scale;        // mean, PNA: [N] accumulators, 1 / number of messages; else null
  const int32_t* target;    // [E] by position; for weight_gradient
  void* coefficients;       // PNA: [batch_count, N, 2, D] accumulators, for the queries of one call
  int64_t batch_begin, batch_count;
};

// Copies edge values from the order of positions. A null destination is skipped.
struct Gather {
  int64_t edges;
  int dtype;
  const int32_t* position;
  const int32_t *other_from, *target_from;
  const void* weight_from;
  const uint8_t* keep_from;
  int32_t *other, *target;
  void* weight;
  uint8_t* keep;
};

constexpr int64_t carry_fields(int reduce) { return reduce == kPna ? 5 : 1; }

// Pieces for a launch over `queries` queries of D channels: short enough to fill the device, long enough that few rows cross
// borders. Depends on sizes alone, never on the device.
Pieces cut(int64_t rows, int64_t edges, int64_t queries, int64_t D);

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against the launch.
const char* find_borders(const Order&, int64_t* border, cudaStream_t);
const char* forward(const Forward&, cudaStream_t);

const char* message_share(const Relational&, void* scale, cudaStream_t);
const char* find_targets(int64_t edges, const int32_t* t_target, const int32_t* t_position, int32_t* target, cudaStream_t);
const char* gather_edges(const Gather&, cudaStream_t);

// Stable sort of the positions by relation. `scratch` is [2, E]: sorted types and the numbers 0, 1, 2, ...
const char* sort_bytes(int64_t edges, int64_t relations, size_t* bytes);
const char* sort_by_relation(const int32_t* type, int64_t edges, int64_t relations, void* memory, size_t bytes, int32_t* scratch,
                             int32_t* position, int64_t* ptr, cudaStream_t);

const char* coefficients(const Backward&, cudaStream_t);
const char* boundary_gradient(const Backward&, void* grad_boundary, cudaStream_t);
const char* weight_gradient(const Backward&, void* grad_weight, cudaStream_t);  // adds to what is there

// Gradient of one factor of the messages, for the queries of one call; `to` and `carry` begin at the first of them.
// carry: [batch_count, pieces, 2, D] accumulators.
const char* source_gradient(const Backward&, const SortedEdges&, void* to, void* carry, cudaStream_t);    // to: [batch_count, N, D]
const char* relation_gradient(const Backward&, const SortedEdges&, void* to, void* carry, cudaStream_t);  // to: [batch_count, R, D] accumulators
const char* add_queries(int dtype, int64_t queries, int64_t size, const void* from, void* to, cudaStream_t);  // to[i] += from[0][i] + from[1][i] + ...

}  // namespace graphkit::cuda
