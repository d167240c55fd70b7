// Rows of the orbit adjacencies of pairs at distance 2 and of (4,4) on a CUDA device; see orbit_rows.h for what the arguments mean.
//
// A thread takes one step of one walk, whatever row the walk belongs to: a hub's row is shared by as many threads as it has steps.
// Steps of one pair meet in its sums, which are whole numbers and come out the same in any order, so runs repeat and are those of
// the CPU. Rows are listed by a warp each, in the order of the nodes.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "orbit_rows.h"

#include "filters.cuh"
#include "steps.cuh"

namespace graphkit::cuda {
namespace {

GK_INLINE int64_t degree(const OrbitGraph& g, int64_t u) { return g.ptr[u + 1] - g.ptr[u]; }

// The pair (u, v), or -1 if they are not at distance 2.
GK_INLINE int64_t find_pair(const PairRows& pairs, int64_t u, int64_t v) {
  return find_entry(pairs.col, pairs.ptr[u - pairs.begin], pairs.ptr[u - pairs.begin + 1], v);
}

// ---- steps ----------------------------------------------------------------------------------------------------

struct EntrySteps {
  OrbitGraph g;
  int64_t first;
  int32_t* owner;
  int64_t* size;
  GK_INLINE void operator()(int64_t i) const { owner[i] = int32_t(row_of(g.ptr, g.N, first + i)), size[i] = degree(g, g.col[first + i]); }
};

struct OppositeSteps {
  OrbitGraph g;
  int64_t first;
  int32_t* owner;
  int64_t* size;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t edge = g.opp[first + i], common = g.com_ptr[edge + 1] - g.com_ptr[edge];
    owner[i] = int32_t(row_of(g.opp_ptr, g.N, first + i)), size[i] = common < 2 ? 0 : common;  // the only one is the owner itself
  }
};

struct PairSteps {
  OrbitGraph g;
  PairRows pairs;
  int64_t first;
  int32_t* owner;
  int64_t* size;
  GK_INLINE void operator()(int64_t i) const {
    owner[i] = int32_t(pairs.begin + row_of(pairs.ptr, pairs.rows, first + i)), size[i] = degree(g, pairs.col[first + i]);
  }
};

// ---- nodes at distance 2 --------------------------------------------------------------------------------------

struct MarkPairs {
  OrbitGraph g;
  MarkedRows to;
  GK_INLINE void operator()(int64_t u, int64_t e, int64_t step) const {
    const int64_t v = g.col[g.ptr[g.col[e]] + step];
    if (v == u || find_entry(g.col, g.ptr[u], g.ptr[u + 1], v) >= 0) return;
    set_bits(to.bits + (u - to.begin) * to.words + v / 32, uint32_t(1) << v % 32);
  }
};

template <bool List> struct Marked {
  int64_t N;
  MarkedRows of;
  int64_t* sizes;
  const int64_t* ptr;
  int32_t* col;
  GK_INLINE int64_t size(int64_t) const { return N; }
  GK_INLINE bool hit(int64_t r, int64_t v) const { return of.bits[r * of.words + v / 32] >> v % 32 & 1; }
  GK_INLINE void emit(int64_t r, int64_t v, int64_t n) const {
    if constexpr (List) col[ptr[r] + n] = int32_t(v);
  }
  GK_INLINE void finish(int64_t r, int64_t hits) const {
    if constexpr (!List) sizes[r] = hits;
  }
};

// ---- values of the pairs at distance 2 ------------------------------------------------------------------------

// Step (w, v) of entry (u, w).
template <class V> struct AddWedges {
  OrbitGraph g;
  PairRows pairs;
  PairSums to;
  GK_INLINE void operator()(int64_t u, int64_t e, int64_t step) const {
    const int64_t w = g.col[e], f = g.ptr[w] + step, i = find_pair(pairs, u, g.col[f]);
    if (i < 0) return;
    add_to(static_cast<V*>(to.common) + i, V(1));
    if (!to.ends) return;
    add_to(static_cast<V*>(to.beside_v) + i, V(g.T[f]));
    add_to(static_cast<V*>(to.beside_u) + i, V(g.T[e]));
    add_to(static_cast<V*>(to.ends) + i, V(degree(g, w) - 2));
  }
};

// Every edge among the neighbours of u makes a diamond of u with each of its other common neighbours.
template <class V> struct AddDiamonds {
  OrbitGraph g;
  PairRows pairs;
  PairSums to;
  GK_INLINE void operator()(int64_t u, int64_t k, int64_t step) const {
    const int64_t i = find_pair(pairs, u, g.com[g.com_ptr[g.opp[k]] + step]);
    if (i >= 0) add_to(static_cast<V*>(to.diamonds) + i, V(1));
  }
};

template <class V> struct PairValues {
  OrbitGraph g;
  PairRows pairs;
  PairSums of;
  PairOutputs out;
  GK_INLINE int64_t sum(const void* of, int64_t i) const { return static_cast<const V*>(of)[i]; }
  GK_INLINE void operator()(int64_t i) const {
    const int64_t c = sum(of.common, i), Y = sum(of.beside_v, i), Yt = sum(of.beside_u, i), W = sum(of.ends, i), Z = sum(of.diamonds, i);
    const int64_t du = degree(g, pairs.begin + row_of(pairs.ptr, pairs.rows, i)), dv = degree(g, pairs.col[i]);
    int64_t value[kPairKeys];
    value[p1_1] = c, value[p8_8] = c * (c - 1) / 2 - Z, value[p12_12] = Z;
    value[p4_5] = c * (dv - c) - Y + 2 * Z, value[p5_4] = c * (du - c) - Yt + 2 * Z;
    value[p6_6] = W - Y - Yt + 2 * Z, value[p9_10] = Y - 2 * Z, value[p10_9] = Yt - 2 * Z;
    GK_UNROLL for (int key = 0; key < kPairKeys; ++key)
      if (out.to[key]) static_cast<V*>(out.to[key])[i] = V(value[key]);
  }
};

// ---- (4,4) ----------------------------------------------------------------------------------------------------

// Step (b, v) of the pair (u, b): one more step from each walk of two that ends at distance 2. It cannot lead back to u.
template <class V> struct AddWalks {
  OrbitGraph g;
  PairRows pairs;
  const V* common;
  WalkTable to;
  GK_INLINE void operator()(int64_t u, int64_t i, int64_t step) const {
    const int64_t v = g.col[g.ptr[pairs.col[i]] + step];
    add_to(static_cast<V*>(to.walks) + (u - to.begin) * g.N + v, common[i]);
  }
};

// Of those to a node at distance 2, the ones whose last two nodes are both adjacent to it.
template <class V> struct TakeTails {
  OrbitGraph g;
  PairRows pairs;
  int64_t first;
  const int32_t* owner;
  const V* tails;
  WalkTable to;
  GK_INLINE void operator()(int64_t k) const {
    static_cast<V*>(to.walks)[(owner[k] - to.begin) * g.N + pairs.col[first + k]] -= tails[first + k];
  }
};

// Those that end at a neighbour close a cycle.
template <class V> struct DropNeighbors {
  OrbitGraph g;
  int64_t first;
  WalkTable to;
  GK_INLINE void operator()(int64_t k) const {
    const int64_t e = first + k;
    static_cast<V*>(to.walks)[(row_of(g.ptr, g.N, e) - to.begin) * g.N + g.col[e]] = 0;
  }
};

template <class V, bool List> struct FoundWalks {
  int64_t N;
  const V* walks;
  int64_t* sizes;
  const int64_t* ptr;
  int32_t* col;
  V* values;
  GK_INLINE int64_t size(int64_t) const { return N; }
  GK_INLINE bool hit(int64_t r, int64_t v) const { return walks[r * N + v] != 0; }
  GK_INLINE void emit(int64_t r, int64_t v, int64_t n) const {
    if constexpr (List) col[ptr[r] + n] = int32_t(v), values[ptr[r] + n] = walks[r * N + v];
  }
  GK_INLINE void finish(int64_t r, int64_t hits) const {
    if constexpr (!List) sizes[r] = hits;
  }
};

}  // namespace

const char* entry_steps(const OrbitGraph& g, int64_t first, int64_t count, int32_t* owner, int64_t* size, cudaStream_t stream) {
  return launch(EntrySteps{g, first, owner, size}, count, stream);
}
const char* opposite_steps(const OrbitGraph& g, int64_t first, int64_t count, int32_t* owner, int64_t* size, cudaStream_t stream) {
  return launch(OppositeSteps{g, first, owner, size}, count, stream);
}
const char* pair_steps(const OrbitGraph& g, const PairRows& pairs, int64_t first, int64_t count, int32_t* owner, int64_t* size,
                       cudaStream_t stream) {
  return launch(PairSteps{g, pairs, first, owner, size}, count, stream);
}

const char* mark_pairs(const OrbitGraph& g, const Steps& steps, const MarkedRows& to, cudaStream_t stream) {
  return launch_steps(MarkPairs{g, to}, steps, stream);
}
const char* count_marked(int64_t N, const MarkedRows& of, int64_t* size, cudaStream_t stream) {
  return launch_filters(Marked<false>{N, of, size, nullptr, nullptr}, of.rows, stream);
}
const char* list_marked(int64_t N, const MarkedRows& of, const int64_t* ptr, int32_t* col, cudaStream_t stream) {
  return launch_filters(Marked<true>{N, of, nullptr, ptr, col}, of.rows, stream);
}

const char* add_wedges(const OrbitGraph& g, const Steps& steps, const PairRows& pairs, const PairSums& to, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() { return launch_steps(AddWedges<V>{g, pairs, to}, steps, stream); });
}
const char* add_diamonds(const OrbitGraph& g, const Steps& steps, const PairRows& pairs, const PairSums& to, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() { return launch_steps(AddDiamonds<V>{g, pairs, to}, steps, stream); });
}
const char* pair_values(const OrbitGraph& g, const PairRows& pairs, int64_t count, const PairSums& of, const PairOutputs& out,
                        cudaStream_t stream) {
  return with_values(of.wide, [&]<class V>() { return launch(PairValues<V>{g, pairs, of, out}, count, stream); });
}

const char* walk_values(const OrbitGraph& g, const Steps& steps, const PairRows& pairs, const void* common, const void* tails,
                        const WalkTable& to,
                        int64_t first_entry, int64_t entries, cudaStream_t stream) {
  return with_values(to.wide, [&]<class V>() {
    const V *walks = static_cast<const V*>(common), *taken = static_cast<const V*>(tails);
    if (const char* error = launch_steps(AddWalks<V>{g, pairs, walks, to}, steps, stream)) return error;
    if (const char* error = launch(TakeTails<V>{g, pairs, steps.first, steps.owner, taken, to}, steps.count, stream)) return error;
    return launch(DropNeighbors<V>{g, first_entry, to}, entries, stream);
  });
}
const char* count_walks(int64_t N, const WalkTable& of, int64_t* size, cudaStream_t stream) {
  return with_values(of.wide, [&]<class V>() {
    return launch_filters(FoundWalks<V, false>{N, static_cast<const V*>(of.walks), size, nullptr, nullptr, nullptr}, of.rows, stream);
  });
}
const char* list_walks(int64_t N, const WalkTable& of, const int64_t* ptr, int32_t* col, void* values, cudaStream_t stream) {
  return with_values(of.wide, [&]<class V>() {
    return launch_filters(FoundWalks<V, true>{N, static_cast<const V*>(of.walks), nullptr, ptr, col, static_cast<V*>(values)}, of.rows,
                          stream);
  });
}

}  // namespace graphkit::cuda
