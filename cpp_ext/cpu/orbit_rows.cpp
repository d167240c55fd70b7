// Rows of the orbit adjacencies of pairs at distance 2 and of (4,4): checks, memory, threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <vector>

#include "isa.h"
#include "large_pages.h"
#include "orbits.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <class V> const OrbitKernels<V>& kernels() {
  if constexpr (sizeof(V) == 4) return GRAPHKIT_KERNELS(orbit_kernels_int32);
  else return GRAPHKIT_KERNELS(orbit_kernels_int64);
}

constexpr int64_t kHop3 = int64_t(1) << kPairKeys;  // the bit of (4,4) behind those of the pairs
constexpr int64_t kMostLaneNodes = 1 << 17;         // above, a table of 32 rows leaves every cache

Tensor large(const Tensor& like, int64_t size, ScalarType dtype) {
  Tensor t = torch::stable::new_empty(like, {size}, dtype);
  ask_for_large_pages(t.data_ptr(), size * (dtype == ScalarType::Long ? 8 : 4));
  return t;
}

template <class T> std::unique_ptr<T[]> room(int64_t size) {
  std::unique_ptr<T[]> made(new T[size]);
  ask_for_large_pages(made.get(), size * int64_t(sizeof(T)));
  return made;
}
template <class T> std::unique_ptr<T[]> zeros(int64_t size) {
  std::unique_ptr<T[]> made = room<T>(size);
  std::memset(made.get(), 0, size * sizeof(T));
  return made;
}

template <class T> const T* data(const Tensor& t) { return static_cast<const T*>(t.data_ptr()); }

// How many nodes a row can hold at distance 2, and in (4,4): walks of the length, or all nodes that are not neighbours.
struct Bounds {
  std::vector<int64_t> two, three;  // running sums over the rows

  Bounds(const OrbitGraph& g, int64_t begin, int64_t end, bool hop3) : two(end - begin + 1), three(end - begin + 1) {
    std::vector<int64_t> walks(g.N);
    auto degree = [&](int64_t v) { return g.ptr[v + 1] - g.ptr[v]; };
    torch::stable::parallel_for(hop3 ? 0 : begin, hop3 ? g.N : end, 4096, [&](int64_t from, int64_t to) {
      for (int64_t v = from; v < to; ++v)
        for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) walks[v] += degree(g.col[e]) - 1;
    });
    for (int64_t u = begin; u < end; ++u) {
      const int64_t most = g.N - 1 - degree(u);
      int64_t far = 0;
      if (hop3)
        for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) far += walks[g.col[e]];
      two[u - begin + 1] = two[u - begin] + std::min(most, walks[u]), three[u - begin + 1] = three[u - begin] + std::min(most, far);
    }
  }
};

// Scratch of one slot; made before the work begins, so that nothing can fail between two turns.
template <class V> struct Scratch {
  std::unique_ptr<V[]> cells, diamonds, dense, tails, common;
  std::unique_ptr<uint16_t[]> table;
  std::unique_ptr<OrbitNode[]> nodes;
};

template <class V>
std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor> rows_as(const Tensor& like, const OrbitGraph& g, int64_t begin, int64_t end,
                                                                              int64_t keys, ScalarType dtype) {
  const int64_t rows = end - begin, N = g.N, entries = g.ptr[N];
  const bool hop3 = keys & kHop3, only_common = (keys & ~(int64_t(1) << p1_1)) == 0;
  const bool lanes = hop3 && sizeof(V) == 4 && N <= kMostLaneNodes;
  const Bounds bounds(g, begin, end, hop3);

  // nodes at distance 2
  Tensor crow2 = torch::stable::new_zeros(like, {rows + 1}, ScalarType::Long), col2 = large(like, bounds.two[rows], ScalarType::Int);
  int64_t* start2 = static_cast<int64_t*>(crow2.data_ptr());
  int32_t* cols = static_cast<int32_t*>(col2.data_ptr());
  {
    const int64_t blocks = (rows + kLanes - 1) / kLanes, slots = task_slots(blocks);
    int64_t widest = 0;
    for (int64_t b = 0; b < blocks; ++b) widest = std::max(widest, bounds.two[std::min(rows, (b + 1) * kLanes)] - bounds.two[b * kLanes]);
    std::vector<std::unique_ptr<uint8_t[]>> marks(slots), groups(slots);
    std::vector<std::unique_ptr<int32_t[]>> found(slots);
    for (int64_t s = 0; s < slots; ++s) {
      marks[s] = zeros<uint8_t>(N + 128), groups[s] = zeros<uint8_t>(N / 64 + 128), found[s] = room<int32_t>(widest + 128);
    }
    Turn turn;
    run_tasks(blocks, slots, [&](int64_t b, int64_t slot) {
      int64_t size = 0, ends[kLanes];
      const int64_t first = b * kLanes, last = std::min(rows, first + kLanes);
      for (int64_t r = first; r < last; ++r) {
        size += kernels<V>().support(g, begin + r, marks[slot].get(), groups[slot].get(), found[slot].get() + size);
        ends[r - first] = size;
      }
      const int64_t at = turn.pass(b, size);
      for (int64_t r = first; r < last; ++r) start2[r + 1] = at + ends[r - first];
      std::copy_n(found[slot].get(), size, cols + at);
    });
  }

  const int64_t pairs = start2[rows];
  std::vector<Tensor> values;
  V* out[kPairKeys] = {};
  for (int key = 0; key < kPairKeys; ++key)
    if (keys >> key & 1) values.push_back(large(like, pairs, dtype)), out[key] = static_cast<V*>(values.back().data_ptr());
  Tensor crow3 = torch::stable::new_zeros(like, {hop3 ? rows + 1 : 0}, ScalarType::Long);
  Tensor col3 = large(like, hop3 ? bounds.three[rows] : 0, ScalarType::Int), values3 = large(like, hop3 ? bounds.three[rows] : 0, dtype);
  int64_t* start3 = static_cast<int64_t*>(crow3.data_ptr());
  int32_t* cols3 = static_cast<int32_t*>(col3.data_ptr());
  V* to3 = static_cast<V*>(values3.data_ptr());
  if (!values.empty() || hop3) {
    const int64_t at_once = hop3 && !lanes && N > kMostLaneNodes ? 4 : kLanes, stride = (N + 15) / 16 * 16;
    const int64_t blocks = (rows + at_once - 1) / at_once, slots = task_slots(blocks);
    int64_t widest = 0, longest = 0;
    for (int64_t b = 0; b < blocks; ++b) widest = std::max(widest, start2[std::min(rows, (b + 1) * at_once)] - start2[b * at_once]);
    for (int64_t r = 0; r < rows; ++r) longest = std::max(longest, start2[r + 1] - start2[r] + g.ptr[begin + r + 1] - g.ptr[begin + r] + 1);
    std::vector<Scratch<V>> scratch(slots);
    for (Scratch<V>& s : scratch) {
      // cells are read and written 4 values at a time, aligned as such
      s.cells = zeros<V>((only_common ? N : 4 * longest) + 16);
      if (!only_common) {
        s.diamonds = zeros<V>(longest), s.nodes = room<OrbitNode>(N);
        for (int64_t v = 0; v < N; ++v) s.nodes[v].degree = int32_t(g.ptr[v + 1] - g.ptr[v]);
      }
      if (hop3) s.dense = room<V>(at_once * stride), s.tails = room<V>(widest), s.common = room<V>(widest);
      if (lanes) s.table = zeros<uint16_t>(kLanes * N + 32);
    }
    auto aligned = [](auto* p, uintptr_t to) { return reinterpret_cast<std::remove_pointer_t<decltype(p)>*>((reinterpret_cast<uintptr_t>(p) + to - 1) & ~(to - 1)); };
    Turn turn;
    run_tasks(blocks, slots, [&](int64_t b, int64_t slot) {
      Scratch<V>& s = scratch[slot];
      const int64_t first = b * at_once, last = std::min(rows, first + at_once), first_pair = start2[first], block_pairs = start2[last] - first_pair;
      int64_t steps = 0;
      if (lanes)
        for (int64_t i = first_pair; i < start2[last]; ++i) steps += g.ptr[cols[i] + 1] - g.ptr[cols[i]];
      const bool product = lanes && steps + block_pairs > entries + 4 * N;
      uint16_t* table = product ? aligned(s.table.get(), 64) : nullptr;
      int64_t largest = 1;
      for (int64_t r = first; r < last; ++r) {
        OrbitRow row{};
        row.u = begin + r, row.cols = cols + start2[r], row.count = start2[r + 1] - start2[r], row.only_common = only_common;
        for (int key = 0; key < kPairKeys; ++key) row.out[key] = out[key] ? out[key] + start2[r] : nullptr;
        row.cells = aligned(s.cells.get(), 4 * sizeof(V)), row.diamonds = s.diamonds.get(), row.nodes = s.nodes.get();
        if (hop3) row.tails = s.tails.get() + (start2[r] - first_pair);
        if (product) row.lane = table + (r - first); else if (hop3) row.common = s.common.get() + (start2[r] - first_pair);
        kernels<V>().values(g, row);
        largest = std::max(largest, row.largest);
      }
      if (!hop3) return;
      int64_t total = 0, counts[kLanes];
      if (product) {
        if constexpr (sizeof(V) == 4) kernels<V>().product(g, table, 65535 / largest, s.dense.get());
        if (block_pairs > 2 * N) std::memset(table, 0, kLanes * N * sizeof(uint16_t));
        else
          for (int64_t r = first; r < last; ++r)
            for (int64_t i = start2[r]; i < start2[r + 1]; ++i) table[cols[i] * kLanes + (r - first)] = 0;
      }
      for (int64_t r = first; r < last; ++r) {
        const int64_t u = begin + r, at = start2[r] - first_pair, n = start2[r + 1] - start2[r];
        V* dense = s.dense.get() + (r - first) * stride;
        if (!product) std::memset(dense, 0, N * sizeof(V)), kernels<V>().scatter(g, cols + start2[r], s.common.get() + at, n, dense);
        const V* tails = s.tails.get() + at;
        for (int64_t i = 0; i < n; ++i) dense[cols[start2[r] + i]] -= tails[i];
        for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) dense[g.col[e]] = 0;
        dense[u] = 0;
        total += counts[r - first] = kernels<V>().count(dense, N);
      }
      int64_t at = turn.pass(b, total);
      for (int64_t r = first; r < last; ++r) {
        kernels<V>().compress(s.dense.get() + (r - first) * stride, N, cols3 + at, to3 + at);
        start3[r + 1] = at += counts[r - first];
      }
    });
  }
  return {crow2, col2, values, crow3, col3, values3};
}

std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor> rows(Tensor ptr, Tensor col, Tensor triangles, Tensor com_ptr, Tensor com, Tensor opp_ptr,
                                                                           Tensor opp, int64_t begin, int64_t end, int64_t keys, bool wide) {
  const int64_t N = ptr.numel() - 1;
  STD_TORCH_CHECK(N >= 0 && begin >= 0 && begin <= end && end <= N, "rows outside the graph");
  for (const Tensor* t : {&ptr, &com_ptr, &opp_ptr}) STD_TORCH_CHECK(t->scalar_type() == ScalarType::Long && t->is_contiguous(), "pointers must be int64");
  for (const Tensor* t : {&col, &triangles, &com, &opp}) STD_TORCH_CHECK(t->scalar_type() == ScalarType::Int && t->is_contiguous(), "nodes and edges must be int32");
  STD_TORCH_CHECK(data<int64_t>(ptr)[N] == col.numel() && triangles.numel() == col.numel() && com_ptr.numel() == col.numel() / 2 + 1 && opp_ptr.numel() == N + 1 &&
                  com.numel() == opp.numel(), "the triangles do not belong to this graph");
  const OrbitGraph g{N, data<int64_t>(ptr), data<int32_t>(col), data<int32_t>(triangles), data<int64_t>(com_ptr), data<int32_t>(com), data<int64_t>(opp_ptr), data<int32_t>(opp)};
  return wide ? rows_as<int64_t>(ptr, g, begin, end, keys, ScalarType::Long) : rows_as<int32_t>(ptr, g, begin, end, keys, ScalarType::Int);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) { library.impl("orbit_rows", TORCH_BOX(&rows)); }

}  // namespace graphkit
