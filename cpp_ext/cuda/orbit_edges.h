// Launch functions of the orbit counts of edges and nodes on a CUDA device: raw device pointers and sizes, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../cpu/orbit_formulas.h"

namespace graphkit::cuda {

// A simple graph. Edges are numbered in the order of their entries (u, v) with u < v.
struct EdgeGraph {
  int64_t N, entries;
  const int64_t* ptr;  // [N + 1]
  const int32_t* col;  // [2M], sorted in each row
};

struct TrianglesOfEdges {
  int32_t *row, *edge;  // [2M] row and edge of each entry
  int32_t* T;           // [2M]
  int64_t* of_edge;     // [M] triangles of each edge
  int64_t* later;       // [2M] of these, how many have a third node behind the far end of the entry
};

// For each edge its common neighbours, for each node the edges among its neighbours; rows sorted.
struct OrbitLists {
  const int64_t *com_ptr, *opp_at;  // [M + 1] and [2M + 1], running sums of of_edge and later
  int32_t *com, *opp;               // opp may be null
  int64_t* opp_ptr;                 // [N + 1], or null
};

// Values of edges, as int64 or int32.
struct EdgeBases {
  bool wide;
  const int32_t* T;  // [2M]
  void* base;        // [kBases, 2M]
};
struct NodeSums { int64_t *t, *R; };  // [N] triangles, and open ends around each node

struct EdgeOutputs { void* to[kEdgeKeys]; };  // [2M] each, in the type of the bases, or null

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against it.

const char* lower_entries(const EdgeGraph&, int32_t* row, int64_t* is_lower, cudaStream_t);  // fills both, [2M]
const char* number_edges(const EdgeGraph&, const int32_t* row, const int64_t* before, int32_t* edge, cudaStream_t);  // before: [2M + 1] sums of is_lower
const char* count_triangles(const EdgeGraph&, const TrianglesOfEdges&, cudaStream_t);
const char* fill_lists(const EdgeGraph&, const TrianglesOfEdges&, const OrbitLists&, cudaStream_t);
const char* sum_support(const EdgeGraph&, const int32_t* row, const EdgeBases&, cudaStream_t);
const char* sum_cliques(const EdgeGraph&, const int32_t* edge, const OrbitLists&, const EdgeBases&, cudaStream_t);
// ways: [slots, N] zeros; zeros again afterwards.
const char* sum_cycles(const EdgeGraph&, int32_t* ways, int64_t slots, const EdgeBases&, cudaStream_t);

const char* sum_nodes(const EdgeGraph&, const int32_t* T, const NodeSums&, cudaStream_t);
const char* edge_values(const EdgeGraph&, const EdgeBases&, const NodeSums&, const EdgeOutputs&, cudaStream_t);
const char* edge_counts(const EdgeGraph&, const EdgeBases&, const NodeSums&, const int32_t* row, const int64_t* before, int64_t* ends, int64_t* counts,
                        cudaStream_t);  // ends [2, M], counts [M, 12]
const char* node_counts(const EdgeGraph&, const EdgeBases&, const NodeSums&, int64_t* counts, cudaStream_t);  // [N, 15], from wide bases

}  // namespace graphkit::cuda
