// Launch functions of the orbit adjacencies of pairs at distance 2 and of (4,4) on a CUDA device: raw device pointers and sizes, nothing
// of torch. orbit_rows_plan.h puts them together.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../cpu/orbits.h"  // the graph and the order of the keys, the same for both devices
#include "steps.h"

namespace graphkit::cuda {

// The nodes at distance 2 of the rows begin .. begin + rows - 1.
struct PairRows {
  int64_t begin, rows;
  const int64_t* ptr;  // [rows + 1]
  const int32_t* col;  // [pairs], sorted in each row
};

// A bit for each node, or a number, in each of the rows begin .. begin + rows - 1.
struct MarkedRows {
  int64_t begin, rows, words;
  uint32_t* bits;  // [rows, words]
};
struct WalkTable {
  bool wide;
  int64_t begin, rows;
  void* walks;  // [rows, N]
};

// Sums over the common neighbours w of each pair (u, v), as int64 or int32; all but `common` may be null together.
struct PairSums {
  bool wide;
  void* common;                      // 1
  void *beside_v, *beside_u, *ends;  // triangles on (w, v), triangles on (u, w), neighbours of w that are neither u nor v
  void* diamonds;                    // of these, pairs that are adjacent
};
struct PairOutputs { void* to[kPairKeys]; };  // [pairs] each, in the type of the sums, or null

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against it.

// Owner and number of steps of entries: a step is a neighbour of the node that the entry leads to.
const char* entry_steps(const OrbitGraph&, int64_t first, int64_t count, int32_t* owner, int64_t* size, cudaStream_t);
// The same of the edges among the neighbours of nodes: a step is a common neighbour of the ends of the edge, if there are two or more.
const char* opposite_steps(const OrbitGraph&, int64_t first, int64_t count, int32_t* owner, int64_t* size, cudaStream_t);
// The same of pairs: a step is a neighbour of the second node.
const char* pair_steps(const OrbitGraph&, const PairRows&, int64_t first, int64_t count, int32_t* owner, int64_t* size, cudaStream_t);

const char* mark_pairs(const OrbitGraph&, const Steps& of_entries, const MarkedRows&, cudaStream_t);  // bits are zero before
const char* count_marked(int64_t N, const MarkedRows&, int64_t* size, cudaStream_t);                  // size [rows]
const char* list_marked(int64_t N, const MarkedRows&, const int64_t* ptr, int32_t* col, cudaStream_t);  // ptr [rows]

// Sums are zero before.
const char* add_wedges(const OrbitGraph&, const Steps& of_entries, const PairRows&, const PairSums&, cudaStream_t);
const char* add_diamonds(const OrbitGraph&, const Steps& of_opposites, const PairRows&, const PairSums&, cudaStream_t);
const char* pair_values(const OrbitGraph&, const PairRows&, int64_t pairs, const PairSums&, const PairOutputs&, cudaStream_t);

// walks[u][v] = (4,4) of u and v, zeros before; from the values of (1,1) and (9,10).
const char* walk_values(const OrbitGraph&, const Steps& of_pairs, const PairRows&, const void* common, const void* tails, const WalkTable&,
                        int64_t first_entry, int64_t entries, cudaStream_t);
const char* count_walks(int64_t N, const WalkTable&, int64_t* size, cudaStream_t);                                // size [rows]
const char* list_walks(int64_t N, const WalkTable&, const int64_t* ptr, int32_t* col, void* values, cudaStream_t);  // ptr [rows]

}  // namespace graphkit::cuda
