// Orbit counts of edges and nodes on a CUDA device; see orbit_edges.h for what the arguments mean. Whole numbers, and every result
// has one writer, so runs repeat and are those of the CPU.
//
// Triangles of an edge: the shorter of the rows of its ends is looked up in the longer one. 4-cliques: pairs of its common
// neighbours that are adjacent. 4-cycles: a block of threads adds up the walks of two steps from its node, then every neighbour
// collects those of its own row.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "orbit_edges.h"

#include "rows.cuh"

namespace graphkit::cuda {
namespace {

GK_INLINE int64_t degree(const EdgeGraph& g, int64_t u) { return g.ptr[u + 1] - g.ptr[u]; }

// f(w, entry of w in the row of u, entry of w in the row of v) for every `step`-th common neighbour candidate; w rises.
template <class F> GK_INLINE void each_common(const EdgeGraph& g, int64_t u, int64_t v, int64_t from, int64_t step, const F& f) {
  const bool swapped = degree(g, u) > degree(g, v);
  const int64_t one = swapped ? v : u, two = swapped ? u : v;
  for (int64_t i = g.ptr[one] + from; i < g.ptr[one + 1]; i += step) {
    const int64_t j = find_entry(g.col, g.ptr[two], g.ptr[two + 1], g.col[i]);
    if (j >= 0) f(int64_t(g.col[i]), swapped ? j : i, swapped ? i : j);
  }
}

// ---- edges and triangles --------------------------------------------------------------------------------------

struct LowerEntries {
  EdgeGraph g;
  int32_t* row;
  int64_t* is_lower;
  GK_INLINE void operator()(int64_t e) const {
    const int64_t u = row_of(g.ptr, g.N, e);
    row[e] = int32_t(u), is_lower[e] = u < g.col[e];
  }
};

struct NumberEdges {
  EdgeGraph g;
  const int32_t* row;
  const int64_t* before;
  int32_t* edge;
  GK_INLINE void operator()(int64_t e) const {
    const int64_t u = row[e], v = g.col[e];
    edge[e] = int32_t(before[u < v ? e : find_entry(g.col, g.ptr[v], g.ptr[v + 1], u)]);
  }
};

struct CountTriangles {
  EdgeGraph g;
  TrianglesOfEdges to;
  // both counts are below 2^31: one number carries them
  GK_INLINE uint64_t partial(int64_t e, int lane) const {
    const int64_t v = g.col[e];
    uint64_t found = 0;
    each_common(g, to.row[e], v, lane, kWarp, [&](int64_t w, int64_t, int64_t) { found += 1 + (uint64_t(w > v) << 32); });
    return found;
  }
  GK_INLINE void finish(int64_t e, uint64_t total) const {
    const int64_t triangles = int64_t(total & 0xffffffffu);
    to.T[e] = int32_t(triangles), to.later[e] = int64_t(total >> 32);
    if (to.row[e] < g.col[e]) to.of_edge[to.edge[e]] = triangles;
  }
};

// Entry (u, v) writes the common neighbours of its edge if u < v, and always the edges (v, w), v < w, that u is opposite to.
struct FillLists {
  EdgeGraph g;
  TrianglesOfEdges of;
  OrbitLists to;
  GK_INLINE void operator()(int64_t e) const {
    const int64_t u = of.row[e], v = g.col[e];
    int64_t com = u < v ? to.com_ptr[of.edge[e]] : -1, opp = to.opp ? to.opp_at[e] : -1;
    each_common(g, u, v, 0, 1, [&](int64_t w, int64_t, int64_t beside) {
      if (com >= 0) to.com[com++] = int32_t(w);
      if (opp >= 0 && w > v) to.opp[opp++] = of.edge[beside];
    });
  }
};

struct OppositePointers {
  EdgeGraph g;
  OrbitLists to;
  GK_INLINE void operator()(int64_t v) const { to.opp_ptr[v] = to.opp_at[g.ptr[v]]; }
};

// ---- sums over the neighbourhood of an edge -------------------------------------------------------------------

template <class V> GK_INLINE V* base_of(const EdgeGraph& g, const EdgeBases& to, int base) { return static_cast<V*>(to.base) + base * g.entries; }

template <class V> struct SumSupport {
  EdgeGraph g;
  const int32_t* row;
  EdgeBases to;
  GK_INLINE void operator()(int64_t e) const {
    int64_t S = 0, R = 0, D = 0;
    each_common(g, row[e], g.col[e], 0, 1, [&](int64_t w, int64_t i, int64_t j) { S += to.T[j], R += to.T[i], D += degree(g, w); });
    base_of<V>(g, to, bS)[e] = V(S), base_of<V>(g, to, bR)[e] = V(R), base_of<V>(g, to, bD)[e] = V(D);
  }
};

template <class V> struct SumCliques {
  EdgeGraph g;
  const int32_t* edge;
  OrbitLists of;
  EdgeBases to;
  GK_INLINE int64_t partial(int64_t e, int lane) const {
    const int64_t begin = of.com_ptr[edge[e]], end = of.com_ptr[edge[e] + 1];
    int64_t cliques = 0;
    for (int64_t i = begin + lane; i < end; i += kWarp) {
      const int64_t w = of.com[i];
      for (int64_t j = i + 1; j < end; ++j) cliques += find_entry(g.col, g.ptr[w], g.ptr[w + 1], of.com[j]) >= 0;
    }
    return cliques;
  }
  GK_INLINE void finish(int64_t e, int64_t total) const { base_of<V>(g, to, bK)[e] = V(total); }
};

// ways[w]: walks of two steps from u to w.
template <class V> struct SumCycles {
  EdgeGraph g;
  EdgeBases to;
  GK_INLINE int64_t partial(const int32_t* ways, int64_t u, int64_t e, int lane, int lanes) const {
    const int64_t v = g.col[e];
    int64_t others = 0;
    for (int64_t f = g.ptr[v] + lane; f < g.ptr[v + 1]; f += lanes)
      if (g.col[f] != u) others += ways[g.col[f]] - 1;  // not the one through v
    return others;
  }
  GK_INLINE void finish(int64_t e, int64_t total) const { base_of<V>(g, to, bQ)[e] = V(total); }
};

#ifdef __CUDACC__

template <class Task> __global__ void __launch_bounds__(kBlock) run_cycles(const Task task, int32_t* scratch) {
  const EdgeGraph& g = task.g;
  int32_t* ways = scratch + int64_t(blockIdx.x) * g.N;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = kBlock / kWarp;
  for (int64_t u = blockIdx.x; u < g.N; u += gridDim.x) {  // u is the same for all threads of a block, so all reach every barrier
    const int64_t begin = g.ptr[u], end = g.ptr[u + 1];
    for (int64_t e = begin + warp; e < end; e += warps)
      for (int64_t w = g.col[e], f = g.ptr[w] + lane; f < g.ptr[w + 1]; f += kWarp) atomicAdd(ways + g.col[f], 1);
    __syncthreads();
    for (int64_t e = begin + warp; e < end; e += warps) {
      int64_t total = task.partial(ways, u, e, lane, kWarp);
      for (int distance = kWarp / 2; distance > 0; distance /= 2) total += __shfl_xor_sync(0xffffffffu, total, distance);
      if (lane == 0) task.finish(e, total);
    }
    __syncthreads();
    for (int64_t e = begin + warp; e < end; e += warps)
      for (int64_t w = g.col[e], f = g.ptr[w] + lane; f < g.ptr[w + 1]; f += kWarp) ways[g.col[f]] = 0;
    __syncthreads();
  }
}

template <class Task> const char* launch_cycles(const Task& task, int32_t* ways, int64_t slots, cudaStream_t stream) {
  if (task.g.entries <= 0) return nullptr;
  run_cycles<Task><<<unsigned(slots), kBlock, 0, stream>>>(task, ways);
  return told(cudaGetLastError());
}

#else

template <class Task> const char* launch_cycles(const Task& task, int32_t* ways, int64_t, cudaStream_t) {
  const EdgeGraph& g = task.g;
  for (int64_t u = 0; u < g.N; ++u) {
    for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e)
      for (int64_t w = g.col[e], f = g.ptr[w]; f < g.ptr[w + 1]; ++f) ++ways[g.col[f]];
    for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) {
      int64_t total = 0;
      for (int lane = 0; lane < kWarp; ++lane) total += task.partial(ways, u, e, lane, kWarp);
      task.finish(e, total);
    }
    for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e)
      for (int64_t w = g.col[e], f = g.ptr[w]; f < g.ptr[w + 1]; ++f) ways[g.col[f]] = 0;
  }
  return nullptr;
}

#endif

// ---- values ---------------------------------------------------------------------------------------------------

// Both sums are below 2^63: one after the other.
template <bool kOpenEnds> struct SumNodes {
  EdgeGraph g;
  const int32_t* T;
  int64_t* to;
  GK_INLINE int64_t partial(int64_t u, int lane) const {
    int64_t sum = 0;
    for (int64_t e = g.ptr[u] + lane; e < g.ptr[u + 1]; e += kWarp) sum += kOpenEnds ? degree(g, g.col[e]) - 1 - T[e] : T[e];
    return sum;
  }
  GK_INLINE void finish(int64_t u, int64_t total) const { to[u] = kOpenEnds ? total : total / 2; }
};

template <class V> struct Values {
  EdgeGraph g;
  EdgeBases of;
  NodeSums node;
  GK_INLINE void at(int64_t u, int64_t e, int64_t* to) const {
    const int64_t v = g.col[e];
    auto base = [&](int which) { return int64_t(base_of<V>(g, of, which)[e]); };
    const EdgeSums sums{of.T[e], base(bK), base(bS), base(bR), base(bD), base(bQ), {degree(g, u), degree(g, v)}, {node.t[u], node.t[v]}, {node.R[u], node.R[v]}};
    edge_orbits(sums, to);
  }
};

template <class V> struct WriteValues {
  Values<V> values;
  EdgeOutputs out;
  GK_INLINE void operator()(int64_t e) const {
    int64_t value[kEdgeKeys];
    values.at(row_of(values.g.ptr, values.g.N, e), e, value);
    GK_UNROLL for (int key = 0; key < kEdgeKeys; ++key)
      if (out.to[key]) static_cast<V*>(out.to[key])[e] = V(value[key]);
  }
};

template <class V> struct WriteCounts {
  Values<V> values;
  const int32_t* row;
  const int64_t* before;
  int64_t *ends, *counts;
  GK_INLINE void operator()(int64_t e) const {
    const int64_t u = row[e], v = values.g.col[e], k = before[e];
    if (u > v) return;
    int64_t value[kEdgeKeys];
    values.at(u, e, value);
    ends[k] = u, ends[values.g.entries / 2 + k] = v;
    undirected_orbits(value, counts + 12 * k);
  }
};

// Orbit o of node u: a row sum, and how often it counts each occurrence.
struct CountNodes {
  Values<int64_t> values;
  int64_t* counts;
  GK_INLINE int64_t partial(int64_t i, int lane) const {
    constexpr int kSource[15] = {k0_0, k1_2, k2_1, k3_3, k4_5, k5_5, k6_7, k7_6, k8_8, k9_11, k10_10, k11_10, k12_13, k13_13, k14_14};
    const int64_t u = i / 15;
    int64_t sum = 0, value[kEdgeKeys];
    for (int64_t e = values.g.ptr[u] + lane; e < values.g.ptr[u + 1]; e += kWarp) {
      values.at(u, e, value);
      sum += value[kSource[i % 15]];
    }
    return sum;
  }
  GK_INLINE void finish(int64_t i, int64_t total) const {
    constexpr int kTimes[15] = {1, 1, 2, 2, 1, 1, 1, 3, 2, 1, 1, 2, 2, 1, 3};
    counts[i] = total / kTimes[i % 15];
  }
};

}  // namespace

const char* lower_entries(const EdgeGraph& g, int32_t* row, int64_t* is_lower, cudaStream_t stream) {
  return launch(LowerEntries{g, row, is_lower}, g.entries, stream);
}
const char* number_edges(const EdgeGraph& g, const int32_t* row, const int64_t* before, int32_t* edge, cudaStream_t stream) {
  return launch(NumberEdges{g, row, before, edge}, g.entries, stream);
}
const char* count_triangles(const EdgeGraph& g, const TrianglesOfEdges& to, cudaStream_t stream) {
  return launch_warps(CountTriangles{g, to}, g.entries, stream);
}
const char* fill_lists(const EdgeGraph& g, const TrianglesOfEdges& of, const OrbitLists& to, cudaStream_t stream) {
  if (to.opp_ptr)
    if (const char* error = launch(OppositePointers{g, to}, g.N + 1, stream)) return error;
  return launch(FillLists{g, of, to}, g.entries, stream);
}
const char* sum_support(const EdgeGraph& g, const int32_t* row, const EdgeBases& to, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() { return launch(SumSupport<V>{g, row, to}, g.entries, stream); });
}
const char* sum_cliques(const EdgeGraph& g, const int32_t* edge, const OrbitLists& of, const EdgeBases& to, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() { return launch_warps(SumCliques<V>{g, edge, of, to}, g.entries, stream); });
}
const char* sum_cycles(const EdgeGraph& g, int32_t* ways, int64_t slots, const EdgeBases& to, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() { return launch_cycles(SumCycles<V>{g, to}, ways, slots, stream); });
}

const char* sum_nodes(const EdgeGraph& g, const int32_t* T, const NodeSums& to, cudaStream_t stream) {
  const char* error = launch_warps(SumNodes<false>{g, T, to.t}, g.N, stream);
  return error ? error : launch_warps(SumNodes<true>{g, T, to.R}, g.N, stream);
}
const char* edge_values(const EdgeGraph& g, const EdgeBases& of, const NodeSums& node, const EdgeOutputs& out, cudaStream_t stream) {
  return with_values(of.wide, [&]<class V>() { return launch(WriteValues<V>{{g, of, node}, out}, g.entries, stream); });
}
const char* edge_counts(const EdgeGraph& g, const EdgeBases& of, const NodeSums& node, const int32_t* row, const int64_t* before, int64_t* ends,
                        int64_t* counts, cudaStream_t stream) {
  return with_values(of.wide, [&]<class V>() { return launch(WriteCounts<V>{{g, of, node}, row, before, ends, counts}, g.entries, stream); });
}
const char* node_counts(const EdgeGraph& g, const EdgeBases& of, const NodeSums& node, int64_t* counts, cudaStream_t stream) {
  return launch_warps(CountNodes{{g, of, node}, counts}, 15 * g.N, stream);
}

}  // namespace graphkit::cuda
