// Launch functions of the edges among the nodes of many sets on a CUDA device: raw device pointers and sizes, nothing of torch.
// induced_edges_plan.h puts them together.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "steps.h"

namespace graphkit::cuda {

struct StoredEdges {
  int64_t N;
  const int64_t* ptr;   // [N + 1]
  const int32_t* col;   // [entries], sorted in each row
  const int64_t* edge;  // [entries], what an entry is called
};

// Members of all sets, one set after the other, and a table that knows the place of each in its set.
struct NodeSets {
  int64_t sets, members;
  const int64_t *ptr, *node;  // [sets + 1], [members]
  uint64_t* table;            // [2 members]
};

// Edges of each member, in the order in which they were found.
struct FoundEdges {
  int64_t count;
  const int64_t* at;        // [members + 1]
  int32_t *target, *entry;  // [count] place in the set, entry of the row
};

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against it.

// `repeated` becomes the first set that holds a node twice, or -1. The table is zero before.
const char* fill_table(const NodeSets&, int64_t* repeated, cudaStream_t);
// Set and number of steps of members: a step is an entry of the member's row, or another member that is looked for in a long one.
const char* member_steps(const StoredEdges&, const NodeSets&, int32_t* owner, int64_t* size, cudaStream_t);
// size [members], zeros before
const char* count_edges(const StoredEdges&, const NodeSets&, const Steps& of_members, int64_t* size, cudaStream_t);
// taken [members], zeros before
const char* find_edges(const StoredEdges&, const NodeSets&, const Steps& of_members, const FoundEdges&, int32_t* taken, cudaStream_t);
// The edges of a member sorted by target and entry; and the first edge of each set.
const char* sort_edges(const StoredEdges&, const NodeSets&, const Steps& of_members, const FoundEdges&, int64_t* source, int64_t* target,
                       int64_t* edge, cudaStream_t);
const char* edge_pointers(const NodeSets&, const int64_t* at, int64_t* ptr, cudaStream_t);

}  // namespace graphkit::cuda
