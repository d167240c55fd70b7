// The relational kernels on a CUDA device; see relational.h for what the arguments mean and ../cpu/relational.inc for the
// same on a CPU. No atomics anywhere: every result has one writer and one order of addition, so runs repeat bit for bit.
//
// One thread owns V neighbouring channels of one query and walks the edges of one piece alone; it shares nothing with other
// threads. The threads of a warp differ in channels, then in queries: they walk the same edges in step, ids are read once for
// all of them, and rows of x are read whole. A hub's row is shared by several pieces, whose partial results go to a workspace
// and are joined in the order of the pieces by a second kernel.
//
// Threads that share nothing can also run one after the other: compiled as plain C++ this file runs on a CPU, which is how
// its logic is checked where there is no device.
#include "relational.h"

#include "launch.cuh"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <type_traits>

#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#else
#include <numeric>
#endif

namespace graphkit::cuda {
namespace {

// ---- numbers and memory ---------------------------------------------------------------------------------------

// Channels per thread where the addresses allow it: 16 bytes of accumulators.
template <class T> constexpr int kWidth = 16 / int(sizeof(Accumulator<T>));

// V values in one access; the address must be a multiple of its size.
template <class T, int V> struct alignas(sizeof(T) * V) Pack { T v[V]; };

template <class T, int V, class A> GK_INLINE void load(A (&to)[V], const T* from) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
  GK_UNROLL for (int v = 0; v < V; ++v) to[v] = widen(pack.v[v]);
}
template <class T, int V, class A> GK_INLINE void store(T* to, const A (&from)[V]) {
  Pack<T, V> pack;
  GK_UNROLL for (int v = 0; v < V; ++v) pack.v[v] = narrow<T>(from[v]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

template <class A> GK_INLINE A square_root(A value) {
  if constexpr (sizeof(A) == 4) return sqrtf(value); else return sqrt(value);
}

constexpr double kInfinity = __builtin_huge_val();
template <class T> constexpr double kEpsilon = sizeof(T) == 8 ? 0x1p-52 : sizeof(T) == 4 ? 0x1p-23 : 0x1p-8;

// ---- pieces ---------------------------------------------------------------------------------------------------

// As in pieces.h, whose functions a device cannot call; `items` is rows + edges.
GK_INLINE int64_t row_of_item(const int64_t* ptr, int64_t rows, int64_t item) {
  int64_t low = 0, high = rows;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (ptr[middle] + middle <= item) low = middle; else high = middle - 1;
  }
  return low;
}

GK_INLINE int64_t item_of_border(const Order& order, int64_t k) {
  const int64_t items = order.rows + order.edges, item = k * order.pieces.size;
  return item < items ? item : items;
}

// The bisection is done once per border and not by every thread of its piece.
struct FindBorders {
  Order order;
  int64_t* border;
  GK_INLINE void operator()(int64_t k) const { border[k] = row_of_item(order.ptr, order.rows, item_of_border(order, k)); }
};

GK_INLINE Range piece_range(const Order& order, int64_t k) {
  Range range;
  range.row_begin = order.border[k];
  range.edge_begin = item_of_border(order, k) - range.row_begin;
  range.row_end = order.border[k + 1];
  range.edge_end = item_of_border(order, k + 1) - range.row_end;
  return range;
}

// Border k, 0 < k < count, answers for a row if the row began in piece k - 1 and goes on: each shared row has exactly one such.
struct SharedRow { int64_t row, first, last; };
GK_INLINE bool shared_row(const Order& order, int64_t k, SharedRow& shared) {
  const int64_t item = k * order.pieces.size, row = order.border[k], begin = order.ptr[row] + row;
  shared = {row, begin / order.pieces.size, (order.ptr[row + 1] + row) / order.pieces.size};
  return begin < item && shared.first == k - 1;
}

// ---- threads --------------------------------------------------------------------------------------------------

// Which query, piece and channels thread i works on. The threads of a warp take `together` queries of one piece; later
// queries come later, so that the rows gathered from, x[b] of few queries at a time, stay in the cache.
struct Spot { int64_t query, piece, lane; };
struct Layout {
  int64_t queries, pieces, lanes, together;
  int64_t count() const { return (queries + together - 1) / together * pieces * together * lanes; }
  GK_INLINE bool locate(int64_t i, Spot& spot) const {
    spot.lane = i % lanes, i /= lanes;
    const int64_t within = i % together;
    i /= together;
    spot.piece = i % pieces;
    spot.query = i / pieces * together + within;
    return spot.query < queries;
  }
};

Layout layout_for(int64_t queries, int64_t pieces, int64_t lanes) {
  const int64_t fit = std::max<int64_t>(1, kWarp / std::max<int64_t>(1, lanes));
  return {queries, pieces, lanes, std::max<int64_t>(1, std::min(fit, queries))};
}

// Rotation needs the real and the imaginary half together: NV = 2 vectors that lie D / 2 apart.
template <int NV> struct Tile { int64_t at[NV]; };
template <int NV> GK_INLINE Tile<NV> tile_at(int64_t channel, int64_t D) {
  Tile<NV> tile;
  GK_UNROLL for (int n = 0; n < NV; ++n) tile.at[n] = channel + n * (D / 2);
  return tile;
}
template <int M> constexpr int kVectors = M == kRotate ? 2 : 1;
constexpr int64_t lanes_of(int message, int64_t D, int width) { return D / ((message == kRotate ? 2 : 1) * width); }

template <class T, int NV, int V, class A> GK_INLINE void load_tile(A (&to)[NV][V], const T* row, const Tile<NV>& tile) {
  GK_UNROLL for (int n = 0; n < NV; ++n) load<T, V>(to[n], row + tile.at[n]);
}
template <class T, int NV, int V, class A> GK_INLINE void store_tile(T* row, const A (&from)[NV][V], const Tile<NV>& tile) {
  GK_UNROLL for (int n = 0; n < NV; ++n) store<T, V>(row + tile.at[n], from[n]);
}
template <int NV, int V, class A> GK_INLINE void fill_tile(A (&to)[NV][V], A value) {
  GK_UNROLL for (int n = 0; n < NV; ++n)
    GK_UNROLL for (int v = 0; v < V; ++v) to[n][v] = value;
}
template <int NV, int V, class A> GK_INLINE void scale_tile(A (&to)[NV][V], A factor) {
  GK_UNROLL for (int n = 0; n < NV; ++n)
    GK_UNROLL for (int v = 0; v < V; ++v) to[n][v] *= factor;
}

// ---- messages -------------------------------------------------------------------------------------------------

template <int M, int NV, int V, class A>
GK_INLINE void make_message(A (&m)[NV][V], const A (&x)[NV][V], const A (&r)[NV][V]) {
  GK_UNROLL for (int v = 0; v < V; ++v) {
    if constexpr (M == kRotate) {
      m[0][v] = x[0][v] * r[0][v] - x[1][v] * r[1][v];
      m[1][v] = x[0][v] * r[1][v] + x[1][v] * r[0][v];
    }
    if constexpr (M == kMul) m[0][v] = x[0][v] * r[0][v];
    if constexpr (M == kAdd) m[0][v] = x[0][v] + r[0][v];
    if constexpr (M == kMin) m[0][v] = r[0][v] < x[0][v] ? r[0][v] : x[0][v];
  }
}

// Gradient of the message passed on to its first factor; `r` is the second. Ties of the minimum belong to x.
template <int M, int NV, int V, class A>
GK_INLINE void message_to_x(A (&to)[NV][V], const A (&g)[NV][V], const A (&x)[NV][V], const A (&r)[NV][V]) {
  GK_UNROLL for (int v = 0; v < V; ++v) {
    if constexpr (M == kRotate) {
      to[0][v] = g[0][v] * r[0][v] + g[1][v] * r[1][v];
      to[1][v] = g[1][v] * r[0][v] - g[0][v] * r[1][v];
    }
    if constexpr (M == kMul) to[0][v] = g[0][v] * r[0][v];
    if constexpr (M == kAdd) to[0][v] = g[0][v];
    if constexpr (M == kMin) to[0][v] = r[0][v] < x[0][v] ? A(0) : g[0][v];
  }
}
template <int M, int NV, int V, class A>
GK_INLINE void message_to_relation(A (&to)[NV][V], const A (&g)[NV][V], const A (&x)[NV][V], const A (&r)[NV][V]) {
  if constexpr (M == kMin) {
    GK_UNROLL for (int v = 0; v < V; ++v) to[0][v] = r[0][v] < x[0][v] ? g[0][v] : A(0);
  } else {
    message_to_x<M, NV, V, A>(to, g, r, x);
  }
}

// ---- reductions -----------------------------------------------------------------------------------------------

template <class A, int NV, int V> struct SumState {
  static constexpr int kFields = 1;
  A sum[NV][V];
  GK_INLINE void clear() { fill_tile<NV, V, A>(sum, A(0)); }
  GK_INLINE void add(const A (&m)[NV][V], int32_t) {
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) sum[n][v] += m[n][v];
  }
  GK_INLINE void save(A* field, int32_t*, const Tile<NV>& tile, int64_t) const { store_tile<A, NV, V, A>(field, sum, tile); }
  GK_INLINE void merge(const A* field, const int32_t*, const Tile<NV>& tile, int64_t, int64_t) {
    A part[NV][V];
    load_tile<A, NV, V, A>(part, field, tile);
    add(part, 0);
  }
};

// Sign +1: maximum; -1: minimum. The lowest position wins a tie, and pieces are merged in the order of positions.
template <class A, int NV, int V, int Sign> struct ExtremeState {
  static constexpr int kFields = 1;
  A best[NV][V];
  int32_t at[NV][V];
  static GK_INLINE bool better(A a, A b) { return Sign > 0 ? a > b : a < b; }
  GK_INLINE void clear() {
    fill_tile<NV, V, A>(best, A(Sign > 0 ? -kInfinity : kInfinity));
    fill_tile<NV, V, int32_t>(at, -1);
  }
  GK_INLINE void add(const A (&m)[NV][V], int32_t position) {
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        const bool won = better(m[n][v], best[n][v]);
        best[n][v] = won ? m[n][v] : best[n][v];
        at[n][v] = won ? position : at[n][v];
      }
  }
  GK_INLINE void save(A* field, int32_t* arg, const Tile<NV>& tile, int64_t) const {
    store_tile<A, NV, V, A>(field, best, tile);
    store_tile<int32_t, NV, V, int32_t>(arg, at, tile);
  }
  GK_INLINE void merge(const A* field, const int32_t* arg, const Tile<NV>& tile, int64_t, int64_t) {
    A part[NV][V];
    int32_t part_at[NV][V];
    load_tile<A, NV, V, A>(part, field, tile);
    load_tile<int32_t, NV, V, int32_t>(part_at, arg, tile);
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        const bool won = better(part[n][v], best[n][v]);
        best[n][v] = won ? part[n][v] : best[n][v];
        at[n][v] = won ? part_at[n][v] : at[n][v];
      }
  }
};

// The moments are taken about the first message, so that a small variance beside a large mean is not lost to rounding.
// Pieces are short here and many rows are shared: each part keeps its own origin, and the join moves the parts' moments to
// the origin of the first (Chan, Golub, LeVeque 1983), so a shared row is as exact as a whole one.
template <class A, int NV, int V> struct PnaState {
  static constexpr int kFields = 5;
  A origin[NV][V], sum[NV][V], square[NV][V];
  bool placed;
  ExtremeState<A, NV, V, 1> high;
  ExtremeState<A, NV, V, -1> low;
  GK_INLINE void clear() {
    fill_tile<NV, V, A>(origin, A(0)), fill_tile<NV, V, A>(sum, A(0)), fill_tile<NV, V, A>(square, A(0));
    placed = false;
    high.clear(), low.clear();
  }
  GK_INLINE void place(const A (&m)[NV][V]) {
    if (placed) return;
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) origin[n][v] = m[n][v];
    placed = true;
  }
  GK_INLINE void count(const A (&m)[NV][V]) {
    place(m);
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        const A d = m[n][v] - origin[n][v];
        sum[n][v] += d, square[n][v] += d * d;
      }
  }
  GK_INLINE void add(const A (&m)[NV][V], int32_t position) { count(m), high.add(m, position), low.add(m, position); }
  GK_INLINE void save(A* field, int32_t* arg, const Tile<NV>& tile, int64_t D) const {
    store_tile<A, NV, V, A>(field, sum, tile), store_tile<A, NV, V, A>(field + D, square, tile);
    high.save(field + 2 * D, arg, tile, D), low.save(field + 3 * D, arg + D, tile, D);
    store_tile<A, NV, V, A>(field + 4 * D, origin, tile);
  }
  GK_INLINE void merge(const A* field, const int32_t* arg, const Tile<NV>& tile, int64_t D, int64_t number) {
    if (number == 0) return;  // a part without a kept edge has no origin
    A part_sum[NV][V], part_square[NV][V], part_origin[NV][V];
    load_tile<A, NV, V, A>(part_sum, field, tile), load_tile<A, NV, V, A>(part_square, field + D, tile);
    load_tile<A, NV, V, A>(part_origin, field + 4 * D, tile);
    place(part_origin);
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        const A shift = part_origin[n][v] - origin[n][v];
        square[n][v] += part_square[n][v] + shift * (A(2) * part_sum[n][v] + A(number) * shift);
        sum[n][v] += part_sum[n][v] + A(number) * shift;
      }
    high.merge(field + 2 * D, arg, tile, D, number), low.merge(field + 3 * D, arg + D, tile, D, number);
  }
};

template <class A, int R, int NV, int V> struct StateOf;
template <class A, int NV, int V> struct StateOf<A, kSum, NV, V> { using type = SumState<A, NV, V>; };
template <class A, int NV, int V> struct StateOf<A, kMaximum, NV, V> { using type = ExtremeState<A, NV, V, 1>; };
template <class A, int NV, int V> struct StateOf<A, kMinimum, NV, V> { using type = ExtremeState<A, NV, V, -1>; };
template <class A, int NV, int V> struct StateOf<A, kPna, NV, V> { using type = PnaState<A, NV, V>; };

// The boundary message of node `row` (absent: false). It counts as the first message of its row.
template <class T, int NV, int V, class A>
GK_INLINE bool boundary_message(A (&m)[NV][V], const Relational& a, int64_t b, int64_t row, const Tile<NV>& tile) {
  if (a.boundary_kind == kNone) return false;
  const T* values = static_cast<const T*>(a.boundary);
  if (a.boundary_kind == kDense) load_tile<T, NV, V, A>(m, values + (b * a.N + row) * a.D, tile);
  else if (a.boundary_source[b] == row) load_tile<T, NV, V, A>(m, values + b * a.D, tile);
  else fill_tile<NV, V, A>(m, A(0));
  return true;
}

// Writes a maximum or minimum. The boundary keeps a tie.
template <class T, int NV, int V, class Extreme, class A>
GK_INLINE void settle(Extreme& extreme, const A (&first)[NV][V], bool bounded, bool empty, A empty_value, T* out, int32_t* arg,
                      const Tile<NV>& tile) {
  GK_UNROLL for (int n = 0; n < NV; ++n)
    GK_UNROLL for (int v = 0; v < V; ++v) {
      if (bounded && !Extreme::better(extreme.best[n][v], first[n][v])) extreme.best[n][v] = first[n][v], extreme.at[n][v] = -1;
      if (empty) extreme.best[n][v] = empty_value;
    }
  store_tile<T, NV, V, A>(out, extreme.best, tile);
  if (arg) store_tile<int32_t, NV, V, int32_t>(arg, extreme.at, tile);
}

template <class T, int R, int NV, int V, class State>
GK_INLINE void finish_row(const Forward& a, int64_t b, int64_t row, const Tile<NV>& tile, State& state, int64_t count) {
  using A = Accumulator<T>;
  A first[NV][V];
  fill_tile<NV, V, A>(first, A(0));
  const bool bounded = boundary_message<T, NV, V, A>(first, a, b, row, tile);
  const int64_t node = b * a.N + row, D = a.D;
  const bool empty = count == 0 && !bounded;
  const A total = A(count + (bounded ? 1 : 0)), empty_value = A(a.empty);
  if constexpr (R == kSum) {
    A value[NV][V];
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        value[n][v] = bounded ? first[n][v] + state.sum[n][v] : state.sum[n][v];
        if (a.reduce == kMean) value[n][v] = value[n][v] / total;
        if (empty) value[n][v] = empty_value;
      }
    store_tile<T, NV, V, A>(static_cast<T*>(a.out) + node * D, value, tile);
  } else if constexpr (R == kPna) {
    T* out = static_cast<T*>(a.out) + node * 4 * D;
    int32_t* arg = a.arg ? a.arg + node * 2 * D : nullptr;
    settle<T, NV, V>(state.high, first, bounded, empty, empty_value, out + D, arg, tile);
    settle<T, NV, V>(state.low, first, bounded, empty, empty_value, out + 2 * D, arg ? arg + D : nullptr, tile);
    if (bounded) state.count(first);
    const A share = A(1) / total, floor = A(kVarianceFloor);
    A mean[NV][V], std[NV][V];
    GK_UNROLL for (int n = 0; n < NV; ++n)
      GK_UNROLL for (int v = 0; v < V; ++v) {
        const A shift = state.sum[n][v] * share, variance = state.square[n][v] * share - shift * shift;
        mean[n][v] = empty ? empty_value : state.origin[n][v] + shift;
        // written so that a variance that is not a number stays one
        std[n][v] = empty ? empty_value : square_root(variance < floor ? floor : variance);
      }
    store_tile<T, NV, V, A>(out, mean, tile), store_tile<T, NV, V, A>(out + 3 * D, std, tile);
  } else {
    settle<T, NV, V>(state, first, bounded, empty, empty_value, static_cast<T*>(a.out) + node * D, a.arg ? a.arg + node * D : nullptr,
                     tile);
  }
}

template <class T, int M, int R, int V> struct ForwardPiece {
  Forward a;
  Layout layout;
  GK_INLINE void operator()(int64_t i) const {
    using A = Accumulator<T>;
    constexpr int NV = kVectors<M>;
    // Rows of this many edges are asked for before the first is used: a gather takes hundreds of cycles to arrive.
    constexpr int kAhead = NV == 1 ? 4 : 2;
    using State = typename StateOf<A, R, NV, V>::type;
    Spot spot;
    if (!layout.locate(i, spot)) return;
    const int64_t b = spot.query, D = a.D;
    const Range range = piece_range(a.order, spot.piece);
    const Tile<NV> tile = tile_at<NV>(spot.lane * V, D);
    const T* x = static_cast<const T*>(a.x) + b * a.N * D;
    const T* relation = static_cast<const T*>(a.relation) + b * a.relation_stride;
    const A* weight = static_cast<const A*>(a.weight);
    int64_t edge = range.edge_begin;
    for (int64_t row = range.row_begin; row <= range.row_end && row < a.N; ++row) {
      const bool whole_end = row < range.row_end;
      const int64_t end = whole_end ? a.ptr[row + 1] : range.edge_end;
      const bool whole_begin = edge == a.ptr[row];
      State state;
      state.clear();
      int64_t count = 0;
      for (; edge < end; edge += kAhead) {
        A xs[kAhead][NV][V], rs[kAhead][NV][V], w[kAhead];
        bool live[kAhead];
        GK_UNROLL for (int u = 0; u < kAhead; ++u) {
          const int64_t at = edge + u < end ? edge + u : end - 1;  // past the end: any edge of the row, read and not used
          live[u] = edge + u < end && !(a.keep && !a.keep[at]);
          w[u] = weight ? weight[at] : A(1);
          load_tile<T, NV, V, A>(xs[u], x + int64_t(a.source[at]) * D, tile);
          load_tile<T, NV, V, A>(rs[u], relation + int64_t(a.type[at]) * D, tile);
        }
        GK_UNROLL for (int u = 0; u < kAhead; ++u) {
          if (!live[u]) continue;
          A m[NV][V];
          make_message<M, NV, V, A>(m, xs[u], rs[u]);
          if (weight) scale_tile<NV, V, A>(m, w[u]);
          state.add(m, int32_t(edge + u));
          ++count;
        }
      }
      edge = end;
      if (whole_begin && whole_end) {
        finish_row<T, R, NV, V>(a, b, row, tile, state, count);
      } else {
        // Slot 0: the row was open when the piece began. Slot 1: it is open when the piece ends.
        const int64_t slot = (b * a.order.pieces.count + spot.piece) * 2 + (whole_begin ? 1 : 0);
        state.save(static_cast<A*>(a.carry) + slot * State::kFields * D, a.carry_arg + slot * 2 * D, tile, D);
        if (spot.lane == 0) a.carry_count[slot] = count;
      }
    }
  }
};

// The parts of a shared row are added in the order of the pieces: slot 1 of the first, slot 0 of the others.
template <class T, int R> struct ForwardJoin {
  Forward a;
  Layout layout;
  GK_INLINE void operator()(int64_t i) const {
    using A = Accumulator<T>;
    using State = typename StateOf<A, R, 1, 1>::type;
    Spot spot;
    SharedRow shared;
    if (!layout.locate(i, spot) || !shared_row(a.order, spot.piece + 1, shared)) return;
    const Tile<1> tile = tile_at<1>(spot.lane, a.D);
    State state;
    state.clear();
    int64_t count = 0;
    for (int64_t k = shared.first; k <= shared.last; ++k) {
      const int64_t slot = (spot.query * a.order.pieces.count + k) * 2 + (k == shared.first ? 1 : 0);
      const int64_t number = a.carry_count[slot];
      state.merge(static_cast<const A*>(a.carry) + slot * State::kFields * a.D, a.carry_arg + slot * 2 * a.D, tile, a.D, number);
      count += number;
    }
    finish_row<T, R, 1, 1>(a, spot.query, shared.row, tile, state, count);
  }
};

// ---- backward: what comes before ------------------------------------------------------------------------------

// 1 / number of messages of each target. One warp per row, so that a hub under a mask does not hang on one thread.
template <class A> struct MessageShare {
  Relational a;
  A* scale;
  GK_INLINE int partial(int64_t row, int lane) const {
    const int64_t begin = a.ptr[row], end = a.ptr[row + 1];
    if (!a.keep) return lane == 0 ? int(end - begin) : 0;
    int count = 0;
    for (int64_t edge = begin + lane; edge < end; edge += kWarp) count += a.keep[edge] != 0;
    return count;
  }
  GK_INLINE void finish(int64_t row, int total) const {
    const int64_t count = int64_t(total) + (a.boundary_kind == kNone ? 0 : 1);
    scale[row] = A(1) / A(count > 0 ? count : 1);
  }
};

// The order by source holds each position once: a scatter with one writer per entry.
struct FindTargets {
  const int32_t *t_target, *t_position;
  int32_t* target;
  GK_INLINE void operator()(int64_t i) const { target[t_position[i]] = t_target[i]; }
};

template <class A> struct GatherEdges {
  Gather a;
  GK_INLINE void operator()(int64_t i) const {
    const int32_t at = a.position[i];
    if (a.other) a.other[i] = a.other_from[at];
    if (a.target) a.target[i] = a.target_from[at];
    if (a.weight) static_cast<A*>(a.weight)[i] = static_cast<const A*>(a.weight_from)[at];
    if (a.keep) a.keep[i] = a.keep_from[at];
  }
};

struct Numbers {
  int32_t* to;
  GK_INLINE void operator()(int64_t i) const { to[i] = int32_t(i); }
};

// First entry of each relation in the sorted types.
struct RelationPointers {
  const int32_t* sorted;
  int64_t edges;
  int64_t* ptr;
  GK_INLINE void operator()(int64_t relation) const {
    int64_t low = 0, high = edges;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (sorted[middle] < relation) low = middle + 1; else high = middle;
    }
    ptr[relation] = low;
  }
};

// PNA: with messages m, their number n, mean and std, the gradient of a message is
//   a + c m + [m is the maximum] g_max + [m is the minimum] g_min,  c = [variance > floor] g_std / (n std),  a = g_mean / n - c mean.
// a and c are prepared here; the other two are needed by one edge of a row and stay where they are.
template <class T> struct Coefficients {
  Backward a;
  GK_INLINE void operator()(int64_t i) const {
    using A = Accumulator<T>;
    const int64_t D = a.D, c = i % D, local = i / D, row = local % a.N;  // local: query of this call * N + row
    const int64_t node = a.batch_begin * a.N + local;
    const T* out = static_cast<const T*>(a.out) + node * 4 * D + c;
    const T* grad = static_cast<const T*>(a.grad_out) + node * 4 * D + c;
    A* to = static_cast<A*>(a.coefficients) + local * 2 * D + c;
    const A share = static_cast<const A*>(a.scale)[row], mean = widen(out[0]), std = widen(out[3 * D]);
    // the floor as the forward stored it, so that a clamped deviation is recognised exactly
    const A floor = widen(narrow<T>(square_root(A(kVarianceFloor)))), size = (mean < A(0) ? -mean : mean) * A(kEpsilon<T>);
    // a deviation at the floor, or below what the stored mean resolves, passes nothing on
    const A slope = std > (size > floor ? size : floor) ? widen(grad[3 * D]) * share / std : A(0);
    to[0] = widen(grad[0]) * share - slope * mean;
    to[D] = slope;
  }
};

// ---- backward: the gradient of a message ----------------------------------------------------------------------

// What target node `row` holds for the gradients of its messages: read first, used when the message is known.
template <class T, int R, int NV, int V> struct Incoming {
  using A = Accumulator<T>;
  A value[NV][V], slope[NV][V];
  int32_t high[NV][V], low[NV][V];

  GK_INLINE void read(const Backward& a, int64_t b, int64_t row, const Tile<NV>& tile) {
    const int64_t node = b * a.N + row, D = a.D;
    if constexpr (R == kPna) {
      const A* from = static_cast<const A*>(a.coefficients) + (node - a.batch_begin * a.N) * 2 * D;
      load_tile<A, NV, V, A>(value, from, tile), load_tile<A, NV, V, A>(slope, from + D, tile);
      load_tile<int32_t, NV, V, int32_t>(high, a.arg + node * 2 * D, tile);
      load_tile<int32_t, NV, V, int32_t>(low, a.arg + node * 2 * D + D, tile);
    } else if constexpr (R == kMaximum) {
      load_tile<int32_t, NV, V, int32_t>(high, a.arg + node * D, tile);
    } else {
      load_tile<T, NV, V, A>(value, static_cast<const T*>(a.grad_out) + node * D, tile);
      if (a.scale) scale_tile<NV, V, A>(value, static_cast<const A*>(a.scale)[row]);
    }
  }

  // Adds the gradients of an extreme where this message attained it. Few do, so most never read them.
  static GK_INLINE void add_attained(A (&g)[NV][V], const int32_t (&at)[NV][V], int32_t position, const T* grad, const Tile<NV>& tile) {
    GK_UNROLL for (int n = 0; n < NV; ++n) {
      bool any = false;
      GK_UNROLL for (int v = 0; v < V; ++v) any = any || at[n][v] == position;
      if (!any) continue;
      A passed[V];
      load<T, V>(passed, grad + tile.at[n]);
      GK_UNROLL for (int v = 0; v < V; ++v) g[n][v] += at[n][v] == position ? passed[v] : A(0);
    }
  }

  // Gradient of the message m at `position` of target node `row`.
  GK_INLINE void gradient(A (&g)[NV][V], const Backward& a, int64_t b, int64_t row, int32_t position, const A (&m)[NV][V],
                          const Tile<NV>& tile) const {
    const int64_t node = b * a.N + row, D = a.D;
    const T* grad = static_cast<const T*>(a.grad_out);
    if constexpr (R == kPna) {
      GK_UNROLL for (int n = 0; n < NV; ++n)
        GK_UNROLL for (int v = 0; v < V; ++v) g[n][v] = value[n][v] + slope[n][v] * m[n][v];
      add_attained(g, high, position, grad + node * 4 * D + D, tile);
      add_attained(g, low, position, grad + node * 4 * D + 2 * D, tile);
    } else if constexpr (R == kMaximum) {
      fill_tile<NV, V, A>(g, A(0));
      add_attained(g, high, position, grad + node * D, tile);
    } else {
      GK_UNROLL for (int n = 0; n < NV; ++n)
        GK_UNROLL for (int v = 0; v < V; ++v) g[n][v] = value[n][v];
    }
  }
};

template <class T, int R> struct BoundaryGradient {
  Backward a;
  T* to;
  GK_INLINE void operator()(int64_t i) const {
    using A = Accumulator<T>;
    const int64_t c = i % a.D, local = i / a.D;  // sparse: the query of this call; dense: that * N + row
    const bool sparse = a.boundary_kind == kSparse;
    const int64_t b = a.batch_begin + (sparse ? local : local / a.N), row = sparse ? a.boundary_source[b] : local % a.N;
    const Tile<1> tile = tile_at<1>(c, a.D);
    A m[1][1] = {}, g[1][1];
    boundary_message<T, 1, 1, A>(m, a, b, row, tile);
    Incoming<T, R, 1, 1> incoming;
    incoming.read(a, b, row, tile);
    incoming.gradient(g, a, b, row, -1, m, tile);
    store_tile<T, 1, 1, A>(to + (sparse ? b : b * a.N + row) * a.D, g, tile);
  }
};

// ---- backward: the factors ------------------------------------------------------------------------------------

// The gradient of x, over the edges sorted by source, and of the relations, over the edges sorted by relation: a segmented
// sum either way, with the same pieces and the same join as the forward. For the relations the other way would be tables of
// [R, D] per group of pieces, added to edge by edge. A table has one writer, so tables bound how many threads can work, and
// the additions wait for one another in memory; with R near E they are larger than the messages. The sort costs one radix
// pass per 8 bits of R over E ids, little beside the gathers, and holds for any R. Its order is stable, so targets ascend
// within a relation and their rows are met in the order of memory.
template <class T, int M, int R, int V, bool ToRelation> struct FactorGradient {
  using A = Accumulator<T>;
  using Out = std::conditional_t<ToRelation, A, T>;
  Backward a;
  SortedEdges edges;
  Layout layout;
  Out* to;
  A* carry;
  GK_INLINE void operator()(int64_t i) const {
    constexpr int NV = kVectors<M>, kAhead = 2;
    Spot spot;
    if (!layout.locate(i, spot)) return;
    const int64_t b = a.batch_begin + spot.query, D = a.D;
    const Range range = piece_range(edges, spot.piece);
    const Tile<NV> tile = tile_at<NV>(spot.lane * V, D);
    const T* x = static_cast<const T*>(a.x) + b * a.N * D;
    const T* relation = static_cast<const T*>(a.relation) + b * a.relation_stride;
    const T* owns = ToRelation ? relation : x;
    const T* others = ToRelation ? x : relation;
    const A* weight = static_cast<const A*>(edges.weight);
    int64_t edge = range.edge_begin;
    for (int64_t row = range.row_begin; row <= range.row_end && row < edges.rows; ++row) {
      const bool whole_end = row < range.row_end;
      const int64_t end = whole_end ? edges.ptr[row + 1] : range.edge_end;
      const bool whole_begin = edge == edges.ptr[row];
      A own[NV][V], total[NV][V];
      load_tile<T, NV, V, A>(own, owns + row * D, tile);
      fill_tile<NV, V, A>(total, A(0));
      for (; edge < end; edge += kAhead) {
        A other[kAhead][NV][V], w[kAhead];
        Incoming<T, R, NV, V> incoming[kAhead];
        int32_t target[kAhead], position[kAhead];
        bool live[kAhead];
        GK_UNROLL for (int u = 0; u < kAhead; ++u) {
          const int64_t at = edge + u < end ? edge + u : end - 1;  // past the end: any edge of the row, read and not used
          live[u] = edge + u < end && !(edges.keep && !edges.keep[at]);
          w[u] = weight ? weight[at] : A(1);
          target[u] = edges.target[at], position[u] = edges.position[at];
          load_tile<T, NV, V, A>(other[u], others + int64_t(edges.other[at]) * D, tile);
          incoming[u].read(a, b, target[u], tile);
        }
        GK_UNROLL for (int u = 0; u < kAhead; ++u) {
          if (!live[u]) continue;
          const A (&xs)[NV][V] = ToRelation ? other[u] : own;
          const A (&rs)[NV][V] = ToRelation ? own : other[u];
          A m[NV][V], g[NV][V], passed[NV][V];
          if constexpr (R == kPna) {
            make_message<M, NV, V, A>(m, xs, rs);
            if (weight) scale_tile<NV, V, A>(m, w[u]);
          } else {
            fill_tile<NV, V, A>(m, A(0));  // only PNA's gradient depends on the message
          }
          incoming[u].gradient(g, a, b, target[u], position[u], m, tile);
          if (weight) scale_tile<NV, V, A>(g, w[u]);
          if constexpr (ToRelation) message_to_relation<M, NV, V, A>(passed, g, xs, rs);
          else message_to_x<M, NV, V, A>(passed, g, xs, rs);
          GK_UNROLL for (int n = 0; n < NV; ++n)
            GK_UNROLL for (int v = 0; v < V; ++v) total[n][v] += passed[n][v];
        }
      }
      edge = end;
      if (whole_begin && whole_end) {
        store_tile<Out, NV, V, A>(to + (spot.query * edges.rows + row) * D, total, tile);
      } else {
        const int64_t slot = (spot.query * edges.pieces.count + spot.piece) * 2 + (whole_begin ? 1 : 0);
        store_tile<A, NV, V, A>(carry + slot * D, total, tile);
      }
    }
  }
};

template <class A, class Out> struct FactorJoin {
  Order order;
  Layout layout;
  Out* to;
  const A* carry;
  GK_INLINE void operator()(int64_t i) const {
    Spot spot;
    SharedRow shared;
    if (!layout.locate(i, spot) || !shared_row(order, spot.piece + 1, shared)) return;
    const int64_t D = layout.lanes;
    A total = A(0);
    for (int64_t k = shared.first; k <= shared.last; ++k)
      total += carry[((spot.query * order.pieces.count + k) * 2 + (k == shared.first ? 1 : 0)) * D + spot.lane];
    to[(spot.query * order.rows + shared.row) * D + spot.lane] = narrow<Out>(total);
  }
};

// One query after the other, so the sum does not depend on how many a call takes.
template <class A> struct AddQueries {
  int64_t queries, size;
  const A* from;
  A* to;
  GK_INLINE void operator()(int64_t i) const {
    A total = to[i];
    for (int64_t q = 0; q < queries; ++q) total += from[q * size + i];
    to[i] = total;
  }
};

// One warp per edge. The lanes share out its (query, channel) pairs, in order of queries, whatever the number of channels.
template <class T, int M, int R> struct WeightGradient {
  using A = Accumulator<T>;
  Backward a;
  A* to;
  GK_INLINE A partial(int64_t edge, int lane) const {
    constexpr int NV = kVectors<M>;
    if (a.keep && !a.keep[edge]) return A(0);
    const int64_t D = a.D, lanes = D / NV, query_step = kWarp / lanes, lane_step = kWarp % lanes;
    const int64_t row = a.target[edge];
    const A weight = static_cast<const A*>(a.weight)[edge];
    A total = A(0);
    int64_t query = lane / lanes, channel = lane % lanes;
    while (query < a.batch_count) {
      const int64_t b = a.batch_begin + query;
      const Tile<NV> tile = tile_at<NV>(channel, D);
      A xs[NV][1], rs[NV][1], m[NV][1], scaled[NV][1], g[NV][1];
      load_tile<T, NV, 1, A>(xs, static_cast<const T*>(a.x) + (b * a.N + a.source[edge]) * D, tile);
      load_tile<T, NV, 1, A>(rs, static_cast<const T*>(a.relation) + b * a.relation_stride + a.type[edge] * D, tile);
      Incoming<T, R, NV, 1> incoming;
      incoming.read(a, b, row, tile);
      make_message<M, NV, 1, A>(m, xs, rs);
      GK_UNROLL for (int n = 0; n < NV; ++n) scaled[n][0] = m[n][0] * weight;
      incoming.gradient(g, a, b, row, int32_t(edge), scaled, tile);
      GK_UNROLL for (int n = 0; n < NV; ++n) total += g[n][0] * m[n][0];
      query += query_step, channel += lane_step;
      if (channel >= lanes) channel -= lanes, ++query;
    }
    return total;
  }
  GK_INLINE void finish(int64_t edge, A total) const { to[edge] += total; }
};

// ---- the switch from numbers to templates ---------------------------------------------------------------------

template <class Call> const char* with_dtype(int dtype, Call call) {
  if (dtype == kFloat64) return call.template operator()<double>();
  if (dtype == kBfloat16) return call.template operator()<Bfloat16>();
  return call.template operator()<float>();
}
template <class Call> const char* with_message(int message, Call call) {
  if (message == kMul) return call.template operator()<kMul>();
  if (message == kAdd) return call.template operator()<kAdd>();
  if (message == kRotate) return call.template operator()<kRotate>();
  return call.template operator()<kMin>();
}
template <class Call> const char* with_forward_reduce(int reduce, Call call) {
  if (reduce == kPna) return call.template operator()<kPna>();
  if (reduce == kMaximum) return call.template operator()<kMaximum>();
  if (reduce == kMinimum) return call.template operator()<kMinimum>();
  return call.template operator()<kSum>();
}
// A minimum passes its gradient as a maximum does, a mean as a sum does.
template <class Call> const char* with_backward_reduce(int reduce, Call call) {
  if (reduce == kPna) return call.template operator()<kPna>();
  if (reduce == kMaximum || reduce == kMinimum) return call.template operator()<kMaximum>();
  return call.template operator()<kSum>();
}
template <class T, class Call> const char* with_width(bool wide, Call call) {
  return wide ? call.template operator()<kWidth<T>>() : call.template operator()<1>();
}

// Whether every row can be read kWidth channels at a time: 16 bytes or less per access, from addresses that are multiples of 16.
bool wide(const Relational& a, std::initializer_list<const void*> pointers) {
  const int width = a.dtype == kFloat64 ? kWidth<double> : kWidth<float>;
  if (a.D % (width * (a.message == kRotate ? 2 : 1)) != 0) return false;
  for (const void* pointer : pointers)
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) return false;
  return true;
}

template <bool ToRelation>
const char* factor_gradient(const Backward& a, const SortedEdges& edges, void* to, void* carry, cudaStream_t stream) {
  const bool is_wide = wide(a, {a.x, a.relation, a.arg, a.grad_out, a.coefficients, to, carry});
  return with_dtype(a.dtype, [&]<class T>() {
    using A = Accumulator<T>;
    using Out = std::conditional_t<ToRelation, A, T>;
    const char* error = with_message(a.message, [&]<int M>() {
      return with_backward_reduce(a.reduce, [&]<int R>() {
        return with_width<T>(is_wide, [&]<int V>() {
          const Layout layout = layout_for(a.batch_count, edges.pieces.count, lanes_of(M, a.D, V));
          const FactorGradient<T, M, R, V, ToRelation> task{a, edges, layout, static_cast<Out*>(to), static_cast<A*>(carry)};
          return launch(task, layout.count(), stream);
        });
      });
    });
    if (error || edges.pieces.count < 2) return error;
    const Layout layout = layout_for(a.batch_count, edges.pieces.count - 1, a.D);
    return launch(FactorJoin<A, Out>{edges, layout, static_cast<Out*>(to), static_cast<const A*>(carry)}, layout.count(), stream);
  });
}

}  // namespace

// ---- the interface --------------------------------------------------------------------------------------------

Pieces cut(int64_t rows, int64_t edges, int64_t queries, int64_t D) {
  constexpr int64_t kThreads = int64_t(1) << 19, kSmallest = 64, kLargest = 1024;
  const int64_t items = rows + edges, threads_per_piece = std::max<int64_t>(1, queries) * ((D + 3) / 4);
  const int64_t size = std::min(kLargest, std::max(kSmallest, items * threads_per_piece / kThreads));
  return {(items + size - 1) / size, size};
}

const char* find_borders(const Order& order, int64_t* border, cudaStream_t stream) {
  return launch(FindBorders{order, border}, order.rows > 0 ? order.pieces.count + 1 : 0, stream);
}

const char* forward(const Forward& a, cudaStream_t stream) {
  const bool is_wide = wide(a, {a.x, a.relation, a.boundary, a.out, a.arg, a.carry, a.carry_arg});
  return with_dtype(a.dtype, [&]<class T>() {
    return with_forward_reduce(a.reduce, [&]<int R>() {
      const char* error = with_message(a.message, [&]<int M>() {
        return with_width<T>(is_wide, [&]<int V>() {
          const Layout layout = layout_for(a.B, a.order.pieces.count, lanes_of(M, a.D, V));
          return launch(ForwardPiece<T, M, R, V>{a, layout}, layout.count(), stream);
        });
      });
      if (error || a.order.pieces.count < 2) return error;
      const Layout layout = layout_for(a.B, a.order.pieces.count - 1, a.D);
      return launch(ForwardJoin<T, R>{a, layout}, layout.count(), stream);
    });
  });
}

const char* message_share(const Relational& a, void* scale, cudaStream_t stream) {
  if (a.dtype == kFloat64) return launch_warps(MessageShare<double>{a, static_cast<double*>(scale)}, a.N, stream);
  return launch_warps(MessageShare<float>{a, static_cast<float*>(scale)}, a.N, stream);
}

const char* find_targets(int64_t edges, const int32_t* t_target, const int32_t* t_position, int32_t* target, cudaStream_t stream) {
  return launch(FindTargets{t_target, t_position, target}, edges, stream);
}

const char* gather_edges(const Gather& a, cudaStream_t stream) {
  return a.dtype == kFloat64 ? launch(GatherEdges<double>{a}, a.edges, stream) : launch(GatherEdges<float>{a}, a.edges, stream);
}

#ifdef __CUDACC__

namespace {
// Ids lie in [0, relations): only their low bits need sorting, and read as unsigned they need no care for the sign.
cudaError_t radix_sort(void* memory, size_t& bytes, const int32_t* type, int32_t* sorted, const int32_t* numbers, int32_t* position,
                       int64_t edges, int64_t relations, cudaStream_t stream) {
  int bits = 1;
  while (bits < 32 && (int64_t(1) << bits) < relations) ++bits;
  return cub::DeviceRadixSort::SortPairs(memory, bytes, reinterpret_cast<const uint32_t*>(type), reinterpret_cast<uint32_t*>(sorted),
                                         numbers, position, int(edges), 0, bits, stream);
}
}  // namespace

const char* sort_bytes(int64_t edges, int64_t relations, size_t* bytes) {
  *bytes = 0;
  return edges > 0 ? told(radix_sort(nullptr, *bytes, nullptr, nullptr, nullptr, nullptr, edges, relations, nullptr)) : nullptr;
}

const char* sort_by_relation(const int32_t* type, int64_t edges, int64_t relations, void* memory, size_t bytes, int32_t* scratch,
                             int32_t* position, int64_t* ptr, cudaStream_t stream) {
  int32_t *sorted = scratch, *numbers = scratch + edges;
  if (const char* error = launch(Numbers{numbers}, edges, stream)) return error;
  if (edges > 0)
    if (const char* error = told(radix_sort(memory, bytes, type, sorted, numbers, position, edges, relations, stream))) return error;
  return launch(RelationPointers{sorted, edges, ptr}, relations + 1, stream);
}

#else

const char* sort_bytes(int64_t, int64_t, size_t* bytes) { *bytes = 0; return nullptr; }

const char* sort_by_relation(const int32_t* type, int64_t edges, int64_t relations, void*, size_t, int32_t* scratch, int32_t* position,
                             int64_t* ptr, cudaStream_t stream) {
  std::iota(position, position + edges, 0);
  std::stable_sort(position, position + edges, [&](int32_t i, int32_t j) { return type[i] < type[j]; });
  for (int64_t i = 0; i < edges; ++i) scratch[i] = type[position[i]];
  return launch(RelationPointers{scratch, edges, ptr}, relations + 1, stream);
}

#endif

const char* coefficients(const Backward& a, cudaStream_t stream) {
  return with_dtype(a.dtype, [&]<class T>() { return launch(Coefficients<T>{a}, a.batch_count * a.N * a.D, stream); });
}

const char* boundary_gradient(const Backward& a, void* grad_boundary, cudaStream_t stream) {
  const int64_t count = a.batch_count * (a.boundary_kind == kSparse ? 1 : a.N) * a.D;
  return with_dtype(a.dtype, [&]<class T>() {
    return with_backward_reduce(a.reduce, [&]<int R>() {
      return launch(BoundaryGradient<T, R>{a, static_cast<T*>(grad_boundary)}, count, stream);
    });
  });
}

const char* weight_gradient(const Backward& a, void* grad_weight, cudaStream_t stream) {
  if (a.D == 0) return nullptr;  // nothing to add, and no channels to share out
  return with_dtype(a.dtype, [&]<class T>() {
    return with_message(a.message, [&]<int M>() {
      return with_backward_reduce(a.reduce, [&]<int R>() {
        return launch_warps(WeightGradient<T, M, R>{a, static_cast<Accumulator<T>*>(grad_weight)}, a.E, stream);
      });
    });
  });
}

const char* source_gradient(const Backward& a, const SortedEdges& edges, void* to, void* carry, cudaStream_t stream) {
  return factor_gradient<false>(a, edges, to, carry, stream);
}

const char* relation_gradient(const Backward& a, const SortedEdges& edges, void* to, void* carry, cudaStream_t stream) {
  return factor_gradient<true>(a, edges, to, carry, stream);
}

const char* add_queries(int dtype, int64_t queries, int64_t size, const void* from, void* to, cudaStream_t stream) {
  if (dtype == kFloat64)
    return launch(AddQueries<double>{queries, size, static_cast<const double*>(from), static_cast<double*>(to)}, size, stream);
  return launch(AddQueries<float>{queries, size, static_cast<const float*>(from), static_cast<float*>(to)}, size, stream);
}

}  // namespace graphkit::cuda
