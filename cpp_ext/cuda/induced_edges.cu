// The edges among the nodes of many sets on a CUDA device; see induced_edges.h for what the arguments mean.
//
// A thread asks one question: is the far end of this entry in the set, or, if the row is long beside the set, where does that member
// stand in the row? The edges of a member are found in any order; how many of them come before an edge is its place in the result.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "induced_edges.h"

#include "node_table.cuh"

namespace graphkit::cuda {
namespace {

GK_INLINE int64_t degree(const StoredEdges& g, int64_t u) { return g.ptr[u + 1] - g.ptr[u]; }
GK_INLINE int64_t size_of(const NodeSets& of, int64_t s) { return of.ptr[s + 1] - of.ptr[s]; }
GK_INLINE NodeTable table_of(const NodeSets& of, int64_t s) { return {of.table + 2 * of.ptr[s], 2 * size_of(of, s)}; }

// Whether `members` bisections cost less than to read the row.
GK_INLINE bool bisects(int64_t degree, int64_t members) {
  int bits = 0;
  for (int64_t left = degree + 2; left > 0; left /= 2) ++bits;
  return degree > members * bits;
}

struct NoneRepeated {
  int64_t* repeated;
  GK_INLINE void operator()(int64_t) const { *repeated = -1; }
};

struct FillTable {
  NodeSets of;
  int64_t* repeated;
  GK_INLINE void operator()(int64_t k) const {
    const int64_t s = row_of(of.ptr, of.sets, k);
    // read as unsigned, -1 is the largest number
    if (!table_of(of, s).put(of.node[k], uint32_t(k - of.ptr[s]))) lower_to(reinterpret_cast<uint64_t*>(repeated), uint64_t(s));
  }
};

struct MemberSteps {
  StoredEdges g;
  NodeSets of;
  int32_t* owner;
  int64_t* size;
  GK_INLINE void operator()(int64_t k) const {
    const int64_t s = row_of(of.ptr, of.sets, k), d = degree(g, of.node[k]), members = size_of(of, s);
    owner[k] = int32_t(s), size[k] = bisects(d, members) ? members : d;
  }
};

// f(place of the target in the set, entry) for each edge that a step of member k of set s finds.
template <class F> GK_INLINE void each_edge(const StoredEdges& g, const NodeSets& of, int64_t s, int64_t k, int64_t step, const F& f) {
  const int64_t begin = g.ptr[of.node[k]], end = g.ptr[of.node[k] + 1];
  if (bisects(end - begin, size_of(of, s))) {
    const int64_t other = of.node[of.ptr[s] + step], e = find_entry(g.col, begin, end, other);
    if (e >= 0)
      for (int64_t copy = e; copy < end && g.col[copy] == other; ++copy) f(step, copy);
  } else {
    const int64_t place = table_of(of, s).find(g.col[begin + step]);
    if (place >= 0) f(place, begin + step);
  }
}

struct CountEdges {
  StoredEdges g;
  NodeSets of;
  int64_t* size;
  GK_INLINE void operator()(int64_t s, int64_t k, int64_t step) const {
    each_edge(g, of, s, k, step, [&](int64_t, int64_t) { add_to(size + k, int64_t(1)); });
  }
};

struct FindEdges {
  StoredEdges g;
  NodeSets of;
  FoundEdges to;
  int32_t* taken;
  GK_INLINE void operator()(int64_t s, int64_t k, int64_t step) const {
    each_edge(g, of, s, k, step, [&](int64_t place, int64_t entry) {
      const int64_t free = to.at[k] + add_to(taken + k, int32_t(1));
      to.target[free] = int32_t(place), to.entry[free] = int32_t(entry);
    });
  }
};

struct SortEdges {
  StoredEdges g;
  NodeSets of;
  const int32_t* owner;
  FoundEdges found;
  int64_t *source, *target, *edge;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t k = row_of(found.at, of.members, i);
    const int32_t place = found.target[i], entry = found.entry[i];
    int64_t to = found.at[k];
    for (int64_t j = found.at[k]; j < found.at[k + 1]; ++j) to += found.target[j] < place
        || (found.target[j] == place && found.entry[j] < entry);
    source[to] = k - of.ptr[owner[k]], target[to] = place, edge[to] = g.edge[entry];
  }
};

struct EdgePointers {
  NodeSets of;
  const int64_t* at;
  int64_t* ptr;
  GK_INLINE void operator()(int64_t s) const { ptr[s] = at[of.ptr[s]]; }
};

}  // namespace

const char* fill_table(const NodeSets& of, int64_t* repeated, cudaStream_t stream) {
  if (const char* error = launch(NoneRepeated{repeated}, 1, stream)) return error;
  return launch(FillTable{of, repeated}, of.members, stream);
}
const char* member_steps(const StoredEdges& g, const NodeSets& of, int32_t* owner, int64_t* size, cudaStream_t stream) {
  return launch(MemberSteps{g, of, owner, size}, of.members, stream);
}
const char* count_edges(const StoredEdges& g, const NodeSets& of, const Steps& steps, int64_t* size, cudaStream_t stream) {
  return launch_steps(CountEdges{g, of, size}, steps, stream);
}
const char* find_edges(const StoredEdges& g, const NodeSets& of, const Steps& steps, const FoundEdges& to, int32_t* taken,
                       cudaStream_t stream) {
  return launch_steps(FindEdges{g, of, to, taken}, steps, stream);
}
const char* sort_edges(const StoredEdges& g, const NodeSets& of, const Steps& steps, const FoundEdges& found, int64_t* source,
                       int64_t* target, int64_t* edge,
                       cudaStream_t stream) {
  return launch(SortEdges{g, of, steps.owner, found, source, target, edge}, found.count, stream);
}
const char* edge_pointers(const NodeSets& of, const int64_t* at, int64_t* ptr, cudaStream_t stream) {
  return launch(EdgePointers{of, at, ptr}, of.sets + 1, stream);
}

}  // namespace graphkit::cuda
