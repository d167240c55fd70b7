// Common neighbours and masked graphs on a CUDA device; see common_neighbors.h for what the arguments mean. No atomics: every
// result has one writer and one order of addition, so runs repeat bit for bit.
//
// A warp owns one pair (or node) and looks up 32 candidates at a time; those that are found are taken one by one, in order, by
// the whole warp, whose lanes differ in channels. Nothing is stored between the intersection and the sum. The gradient asks the
// question the other way round: for a node u, which pairs (i, j) with i next to u have j next to it as well? Pairs are sorted by
// the end with the shorter row, so it costs what the forward pass does.
#include "common_neighbors.h"

#include "filters.cuh"
#include "rows.cuh"

#include <limits>

#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#else
#include <numeric>
#endif

namespace graphkit::cuda {
namespace {

constexpr int kChannels = 4, kTile = kWarp * kChannels;  // channels of a lane, and of a warp

// ---- launching ------------------------------------------------------------------------------------------------

// A sum has runs(i), run(i, r, begin, end), row(i, r, k), which names the row of features to add or is negative, factor(row),
// and finish(i, channel, total). A warp works on one i.
#ifdef __CUDACC__

template <class Task> __global__ void __launch_bounds__(kBlock) run_sums(const Task task, int64_t count, int64_t F) {
  using A = Accumulator<typename Task::Value>;
  const int lane = threadIdx.x % kWarp;
  const int64_t step = int64_t(gridDim.x) * (kBlock / kWarp), tiles = (F + kTile - 1) / kTile;
  for (int64_t item = int64_t(blockIdx.x) * (kBlock / kWarp) + threadIdx.x / kWarp; item < count * tiles; item += step) {
    const int64_t i = item / tiles, first = item % tiles * kTile + lane;
    A sum[kChannels] = {};
    const int64_t runs = task.runs(i);
    for (int64_t r = 0; r < runs; ++r) {
      int64_t begin, end;
      task.run(i, r, begin, end);
      for (int64_t base = begin; base < end; base += kWarp) {
        const int64_t k = base + lane, row = k < end ? task.row(i, r, k) : -1;
        for (unsigned set = __ballot_sync(0xffffffffu, row >= 0); set; set &= set - 1) {
          const int64_t found = __shfl_sync(0xffffffffu, row, __ffs(set) - 1);
          const A factor = task.factor(found);
          GK_UNROLL for (int c = 0; c < kChannels; ++c)
            if (first + c * kWarp < F) sum[c] += factor * widen(task.x[found * F + first + c * kWarp]);
        }
      }
    }
    GK_UNROLL for (int c = 0; c < kChannels; ++c)
      if (first + c * kWarp < F) task.finish(i, first + c * kWarp, sum[c]);
  }
}

template <class Task> const char* launch_sums(const Task& task, int64_t count, int64_t F, cudaStream_t stream) {
  if (count <= 0 || F <= 0) return nullptr;
  run_sums<Task><<<blocks_for(count * ((F + kTile - 1) / kTile), kBlock / kWarp), kBlock, 0, stream>>>(task, count, F);
  return told(cudaGetLastError());
}

#else

template <class Task> const char* launch_sums(const Task& task, int64_t count, int64_t F, cudaStream_t) {
  for (int64_t i = count; i-- > 0;)
    for (int64_t c = 0; c < F; ++c) {
      Accumulator<typename Task::Value> sum = 0;
      for (int64_t r = 0; r < task.runs(i); ++r) {
        int64_t begin, end;
        task.run(i, r, begin, end);
        for (int64_t k = begin; k < end; ++k)
          if (const int64_t row = task.row(i, r, k); row >= 0) sum += task.factor(row) * widen(task.x[row * F + c]);
      }
      task.finish(i, c, sum);
    }
  return nullptr;
}

#endif

template <class Call> const char* with_real(Real dtype, Call call) {
  if (dtype == Real::kFloat64) return call.template operator()<double>();
  if (dtype == Real::kBfloat16) return call.template operator()<Bfloat16>();
  return call.template operator()<float>();
}
template <class Call> const char* with_accumulator(Real dtype, Call call) {
  return dtype == Real::kFloat64 ? call.template operator()<double>() : call.template operator()<float>();
}

// ---- rows of a graph ------------------------------------------------------------------------------------------

GK_INLINE int64_t size_of(const NeighborGraph& g, int64_t u) { return g.ptr[u + 1] - g.ptr[u]; }
GK_INLINE bool left(const NeighborGraph& g, int64_t e) { return !g.gone || !g.gone[e]; }

// Whether v is among the neighbours of u that are left.
GK_INLINE bool has(const NeighborGraph& g, int64_t u, int64_t v) {
  const int64_t e = find_entry(g.col, g.ptr[u], g.ptr[u + 1], v);
  return e >= 0 && left(g, e);
}

GK_INLINE int64_t shorter(const NeighborGraph& g, const Pairs& pairs, int64_t p) {
  return size_of(g, pairs.one[p]) > size_of(g, pairs.two[p]) ? pairs.two[p] : pairs.one[p];
}
GK_INLINE int64_t longer(const NeighborGraph& g, const Pairs& pairs, int64_t p) {
  return size_of(g, pairs.one[p]) > size_of(g, pairs.two[p]) ? pairs.one[p] : pairs.two[p];
}

// ---- sets -----------------------------------------------------------------------------------------------------

template <bool Fill> struct SetRows {
  NeighborGraph g;
  Pairs pairs;
  Sets sets;
  int64_t* sizes;
  const int64_t* ptr;
  int64_t* node;

  GK_INLINE int64_t own(int64_t r) const {
    if (sets == kCommon) return shorter(g, pairs, r);
    return r < pairs.count ? pairs.one[r] : pairs.two[r - pairs.count];
  }
  GK_INLINE int64_t other(int64_t r) const {
    if (sets == kCommon) return longer(g, pairs, r);
    return r < pairs.count ? pairs.two[r] : pairs.one[r - pairs.count];
  }
  GK_INLINE int64_t size(int64_t r) const { return size_of(g, own(r)); }
  GK_INLINE bool hit(int64_t r, int64_t k) const {
    const int64_t e = g.ptr[own(r)] + k, u = g.col[e], v = other(r);
    if (!left(g, e)) return false;
    return sets == kCommon ? has(g, v, u) : u != v && !has(g, v, u);
  }
  GK_INLINE void emit(int64_t r, int64_t k, int64_t n) const {
    if constexpr (Fill) node[ptr[r] + n] = g.col[g.ptr[own(r)] + k];
  }
  GK_INLINE void finish(int64_t r, int64_t hits) const {
    if constexpr (!Fill) sizes[r] = hits;
  }
};

// ---- sums over common neighbours ------------------------------------------------------------------------------

template <class T> struct CnPool {
  using Value = T;
  NeighborGraph g;
  Pairs pairs;
  int64_t F;
  const T* x;
  const Accumulator<T>* weight;
  T* out;

  GK_INLINE int64_t runs(int64_t) const { return 1; }
  GK_INLINE void run(int64_t p, int64_t, int64_t& begin, int64_t& end) const {
    const int64_t u = shorter(g, pairs, p);
    begin = g.ptr[u], end = g.ptr[u + 1];
  }
  GK_INLINE int64_t row(int64_t p, int64_t, int64_t e) const { return left(g, e) && has(g, longer(g, pairs, p), g.col[e]) ? g.col[e] : -1; }
  GK_INLINE Accumulator<T> factor(int64_t u) const { return weight ? weight[u] : Accumulator<T>(1); }
  GK_INLINE void finish(int64_t p, int64_t c, Accumulator<T> sum) const { out[p * F + c] = narrow<T>(sum); }
};

struct ShorterRows {
  NeighborGraph g;
  Pairs pairs;
  int32_t* node;
  GK_INLINE void operator()(int64_t p) const { node[p] = int32_t(shorter(g, pairs, p)); }
};

template <class A> struct CnSpread {
  using Value = A;
  NeighborGraph g;
  Pairs pairs;
  Sorted by_shorter;
  int64_t F;
  const A* x;  // the gradient, a row for each pair
  A* table;

  GK_INLINE int64_t runs(int64_t u) const { return size_of(g, u); }
  GK_INLINE void run(int64_t u, int64_t r, int64_t& begin, int64_t& end) const {
    const int64_t e = g.ptr[u] + r, i = g.col[e];
    begin = by_shorter.ptr[i], end = left(g, e) ? by_shorter.ptr[i + 1] : begin;
  }
  GK_INLINE int64_t row(int64_t u, int64_t, int64_t k) const {
    const int64_t p = by_shorter.place[k];
    return has(g, longer(g, pairs, p), u) ? p : -1;
  }
  GK_INLINE A factor(int64_t) const { return A(1); }
  GK_INLINE void finish(int64_t u, int64_t c, A sum) const { table[u * F + c] = sum; }
};

// ---- ragged rows ----------------------------------------------------------------------------------------------

// One channel of one row of the result for each thread; neighbouring threads read neighbouring channels.
template <class T> struct WeightedPool {
  Ragged lists;
  int64_t F;
  const T* x;
  T* out;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t p = i / F, c = i % F;
    const Accumulator<T>* value = static_cast<const Accumulator<T>*>(lists.value);
    Accumulator<T> sum = 0;
    for (int64_t r = p; r < lists.count; r += lists.rows)
      for (int64_t k = lists.ptr[r]; k < lists.ptr[r + 1]; ++k) {
        const Accumulator<T> term = widen(x[lists.node[k] * F + c]);
        sum += value ? value[k] * term : term;
      }
    out[i] = narrow<T>(sum);
  }
};

struct NarrowIds {
  const int64_t* from;
  int32_t* to;
  GK_INLINE void operator()(int64_t k) const { to[k] = int32_t(from[k]); }
};

template <class T> struct ValueGradient {
  Ragged lists;
  int64_t F;
  const T* x;
  const Accumulator<T>* grad;
  Accumulator<T>* to;
  GK_INLINE Accumulator<T> partial(int64_t k, int lane) const {
    const int64_t row = row_of(lists.ptr, lists.count, k) % lists.rows;
    Accumulator<T> sum = 0;
    for (int64_t c = lane; c < F; c += kWarp) sum += widen(x[lists.node[k] * F + c]) * grad[row * F + c];
    return sum;
  }
  GK_INLINE void finish(int64_t k, Accumulator<T> total) const { to[k] = total; }
};

template <class A> struct FeatureGradient {
  Ragged lists;
  Sorted by_node;
  int64_t F;
  const A* grad;
  A* table;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t u = i / F, c = i % F;
    const A* value = static_cast<const A*>(lists.value);
    A sum = 0;
    for (int64_t n = by_node.ptr[u]; n < by_node.ptr[u + 1]; ++n) {
      const int64_t k = by_node.place[n], row = row_of(lists.ptr, lists.count, k) % lists.rows;
      sum += value ? value[k] * grad[row * F + c] : grad[row * F + c];
    }
    table[i] = sum;
  }
};

// ---- products with a graph ------------------------------------------------------------------------------------

template <class T> struct Spmm {
  using A = Accumulator<T>;
  MaskedSpmm a;
  GK_INLINE A scaled(const A* scale, int64_t u, int64_t c) const {
    const A value = widen(static_cast<const T*>(a.x.x)[u * a.x.F + c]);
    return scale ? scale[u] * value : value;
  }
  GK_INLINE void operator()(int64_t i) const {
    const int64_t v = i / a.x.F, c = i % a.x.F;
    const A *in_scale = static_cast<const A*>(a.in_scale), *out_scale = static_cast<const A*>(a.out_scale), *weight = static_cast<const A*>(a.edge_weight);
    A sum = 0;
    for (int64_t e = a.ptr[v]; e < a.ptr[v + 1]; ++e) {
      if (a.gone && a.gone[e]) continue;
      const A term = scaled(in_scale, a.col[e], c);
      sum += weight ? weight[e] * term : term;
    }
    if (a.loop != 0) sum += A(a.loop) * scaled(in_scale, v, c);
    static_cast<T*>(a.out)[i] = narrow<T>(out_scale ? out_scale[v] * sum : sum);
  }
};

template <class T> struct Sddmm {
  using A = Accumulator<T>;
  MaskedSddmm a;
  int64_t nodes;
  GK_INLINE A partial(int64_t e, int lane) const {
    const int64_t F = a.left.F, v = row_of(a.ptr, nodes, e), u = a.col[e];
    A sum = 0;
    for (int64_t c = lane; c < F; c += kWarp) sum += widen(static_cast<const T*>(a.left.x)[v * F + c]) * widen(static_cast<const T*>(a.right.x)[u * F + c]);
    return sum;
  }
  GK_INLINE void finish(int64_t e, A total) const {
    const A *left_scale = static_cast<const A*>(a.left_scale), *right_scale = static_cast<const A*>(a.right_scale);
    if (left_scale) total *= left_scale[row_of(a.ptr, nodes, e)];
    if (right_scale) total *= right_scale[a.col[e]];
    static_cast<A*>(a.out)[e] = a.gone && a.gone[e] ? A(0) : total;
  }
};

// f(u) for every node whose values row v looks at, in rising order.
template <class F> GK_INLINE void each_left(const MaskedMax& a, int64_t v, const F& f) {
  bool self = a.loop;
  for (int64_t e = a.ptr[v]; e < a.ptr[v + 1]; ++e) {
    const int64_t u = a.col[e];
    if (self && u > v) f(v), self = false;
    if (!a.gone || !a.gone[e]) f(u);
  }
  if (self) f(v);
}

template <class A> struct Maximum {
  MaskedMax a;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t v = i / a.F, c = i % a.F;
    A best = 0;
    int32_t arg = -1;
    each_left(a, v, [&](int64_t u) {
      const A value = static_cast<const A*>(a.x)[u * a.F + c];
      if (arg < 0 || value > best || (value != value && best == best)) best = value, arg = int32_t(u);  // what is no number stays
    });
    static_cast<A*>(a.out)[i] = best, a.arg[i] = arg;
  }
};

template <class A> struct MaximumGradient {
  MaskedMax a;
  GK_INLINE void operator()(int64_t i) const {
    const int64_t u = i / a.F, c = i % a.F;
    A sum = 0;
    each_left(a, u, [&](int64_t v) {
      if (a.arg[v * a.F + c] == int32_t(u)) sum += static_cast<const A*>(a.x)[v * a.F + c];
    });
    static_cast<A*>(a.out)[i] = sum;
  }
};

// ---- sorting --------------------------------------------------------------------------------------------------

struct Numbers {
  int32_t* to;
  GK_INLINE void operator()(int64_t k) const { to[k] = int32_t(k); }
};

// The first of the sorted keys that is not below k.
struct KeyPointers {
  const int32_t* sorted;
  int64_t count;
  int64_t* ptr;
  GK_INLINE void operator()(int64_t k) const {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (sorted[middle] < k) low = middle + 1; else high = middle;
    }
    ptr[k] = low;
  }
};

struct FirstSum {
  int64_t* ptr;
  GK_INLINE void operator()(int64_t) const { ptr[0] = 0; }
};

}  // namespace

const char* count_sets(const NeighborGraph& g, const Pairs& pairs, Sets sets, int64_t* size, cudaStream_t stream) {
  return launch_filters(SetRows<false>{g, pairs, sets, size, nullptr, nullptr}, sets == kCommon ? pairs.count : 2 * pairs.count, stream);
}
const char* fill_sets(const NeighborGraph& g, const Pairs& pairs, Sets sets, const int64_t* ptr, int64_t* node, cudaStream_t stream) {
  return launch_filters(SetRows<true>{g, pairs, sets, nullptr, ptr, node}, sets == kCommon ? pairs.count : 2 * pairs.count, stream);
}

const char* cn_pool(const NeighborGraph& g, const Pairs& pairs, const Features& f, const void* weight, void* out, cudaStream_t stream) {
  return with_real(f.dtype, [&]<class T>() {
    return launch_sums(CnPool<T>{g, pairs, f.F, static_cast<const T*>(f.x), static_cast<const Accumulator<T>*>(weight), static_cast<T*>(out)}, pairs.count, f.F, stream);
  });
}
const char* shorter_rows(const NeighborGraph& g, const Pairs& pairs, int32_t* node, cudaStream_t stream) {
  return launch(ShorterRows{g, pairs, node}, pairs.count, stream);
}
const char* cn_spread(const NeighborGraph& g, const Pairs& pairs, const Sorted& by_shorter, const Features& grad, void* table, cudaStream_t stream) {
  return with_accumulator(grad.dtype, [&]<class A>() {
    return launch_sums(CnSpread<A>{g, pairs, by_shorter, grad.F, static_cast<const A*>(grad.x), static_cast<A*>(table)}, g.N, grad.F, stream);
  });
}

const char* weighted_pool(const Ragged& lists, const Features& f, void* out, cudaStream_t stream) {
  return with_real(f.dtype, [&]<class T>() {
    return launch(WeightedPool<T>{lists, f.F, static_cast<const T*>(f.x), static_cast<T*>(out)}, lists.rows * f.F, stream);
  });
}
const char* narrow_ids(const int64_t* from, int64_t count, int32_t* to, cudaStream_t stream) { return launch(NarrowIds{from, to}, count, stream); }
const char* value_gradient(const Ragged& lists, const Features& f, const void* grad, void* to, cudaStream_t stream) {
  return with_real(f.dtype, [&]<class T>() {
    using A = Accumulator<T>;
    return launch_warps(ValueGradient<T>{lists, f.F, static_cast<const T*>(f.x), static_cast<const A*>(grad), static_cast<A*>(to)}, lists.entries, stream);
  });
}
const char* feature_gradient(const Ragged& lists, const Sorted& by_node, const Features& grad, int64_t nodes, void* table, cudaStream_t stream) {
  return with_accumulator(grad.dtype, [&]<class A>() {
    return launch(FeatureGradient<A>{lists, by_node, grad.F, static_cast<const A*>(grad.x), static_cast<A*>(table)}, nodes * grad.F, stream);
  });
}

const char* spmm(const MaskedSpmm& a, int64_t nodes, cudaStream_t stream) {
  return with_real(a.x.dtype, [&]<class T>() { return launch(Spmm<T>{a}, nodes * a.x.F, stream); });
}
const char* sddmm(const MaskedSddmm& a, int64_t nodes, int64_t entries, cudaStream_t stream) {
  return with_real(a.left.dtype, [&]<class T>() { return launch_warps(Sddmm<T>{a, nodes}, entries, stream); });
}
const char* maximum(const MaskedMax& a, int64_t nodes, cudaStream_t stream) {
  return with_accumulator(a.dtype, [&]<class A>() { return launch(Maximum<A>{a}, nodes * a.F, stream); });
}
const char* maximum_gradient(const MaskedMax& a, int64_t nodes, cudaStream_t stream) {
  return with_accumulator(a.dtype, [&]<class A>() { return launch(MaximumGradient<A>{a}, nodes * a.F, stream); });
}

#ifdef __CUDACC__

namespace {

int bits_of(int64_t keys) {
  int bits = 1;
  while (bits < 31 && (int64_t(1) << bits) < keys) ++bits;
  return bits;
}

}  // namespace

const char* sums_bytes(int64_t count, size_t* bytes) {
  *bytes = 0;
  return told(cub::DeviceScan::InclusiveSum(nullptr, *bytes, static_cast<const int64_t*>(nullptr), static_cast<int64_t*>(nullptr), count));
}
const char* running_sums(const int64_t* size, int64_t count, void* memory, size_t bytes, int64_t* ptr, cudaStream_t stream) {
  if (const char* error = launch(FirstSum{ptr}, 1, stream)) return error;
  return count > 0 ? told(cub::DeviceScan::InclusiveSum(memory, bytes, size, ptr + 1, count, stream)) : nullptr;
}

const char* key_sort_bytes(int64_t count, int64_t keys, size_t* bytes) {
  *bytes = 0;
  const int32_t* from = nullptr;
  int32_t* to = nullptr;
  return count > 0 ? told(cub::DeviceRadixSort::SortPairs(nullptr, *bytes, from, to, from, to, count, 0, bits_of(keys))) : nullptr;
}
const char* sort_by_key(const int32_t* key, int64_t count, int64_t keys, void* memory, size_t bytes, int32_t* scratch, int32_t* place, int64_t* ptr,
                        cudaStream_t stream) {
  int32_t *sorted = scratch, *numbers = scratch + count;
  if (const char* error = launch(Numbers{numbers}, count, stream)) return error;
  if (count > 0)
    if (const char* error = told(cub::DeviceRadixSort::SortPairs(memory, bytes, key, sorted, static_cast<const int32_t*>(numbers), place, count, 0, bits_of(keys), stream)))
      return error;
  return launch(KeyPointers{sorted, count, ptr}, keys + 1, stream);
}

const char* read_back(const int64_t* from, int64_t* to, cudaStream_t stream) {
  if (const char* error = told(cudaMemcpyAsync(to, from, sizeof *to, cudaMemcpyDeviceToHost, stream))) return error;
  return told(cudaStreamSynchronize(stream));
}

#else

const char* sums_bytes(int64_t, size_t* bytes) { *bytes = 0; return nullptr; }
const char* running_sums(const int64_t* size, int64_t count, void*, size_t, int64_t* ptr, cudaStream_t stream) {
  launch(FirstSum{ptr}, 1, stream);
  std::partial_sum(size, size + count, ptr + 1);
  return nullptr;
}
const char* key_sort_bytes(int64_t, int64_t, size_t* bytes) { *bytes = 0; return nullptr; }
const char* sort_by_key(const int32_t* key, int64_t count, int64_t keys, void*, size_t, int32_t* scratch, int32_t* place, int64_t* ptr, cudaStream_t stream) {
  std::iota(place, place + count, 0);
  std::stable_sort(place, place + count, [&](int32_t i, int32_t j) { return key[i] < key[j]; });
  for (int64_t k = 0; k < count; ++k) scratch[k] = key[place[k]];
  return launch(KeyPointers{scratch, count, ptr}, keys + 1, stream);
}
const char* read_back(const int64_t* from, int64_t* to, cudaStream_t) { *to = *from; return nullptr; }

#endif

}  // namespace graphkit::cuda
