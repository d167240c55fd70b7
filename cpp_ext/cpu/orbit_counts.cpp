// Triangles, 4-cliques and 4-cycles of a simple graph, and the orbit counts of nodes and edges that follow from them.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "isa.h"
#include "large_pages.h"
#include "orbit_formulas.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

int64_t shared(const uint64_t* a, const uint64_t* b, int64_t words) { return GRAPHKIT_KERNELS(orbit_kernels_int32).shared(a, b, words); }

template <class F> void parallel_rows(int64_t count, const F& f) { torch::stable::parallel_for(0, count, 4096, f); }

struct View {
  int64_t N, entries;
  const int64_t* ptr;
  const int32_t* col;
  int64_t degree(int64_t v) const { return ptr[v + 1] - ptr[v]; }
};

View view(const Tensor& ptr, const Tensor& col) {
  STD_TORCH_CHECK(ptr.scalar_type() == ScalarType::Long && col.scalar_type() == ScalarType::Int && ptr.is_contiguous() &&
                  col.is_contiguous() && ptr.numel() >= 1, "ptr must be int64 [N + 1], col int32 [2M], both contiguous");
  View g{ptr.numel() - 1, col.numel(), static_cast<const int64_t*>(ptr.data_ptr()), static_cast<const int32_t*>(col.data_ptr())};
  STD_TORCH_CHECK(g.ptr[g.N] == g.entries, "ptr and col do not belong together");
  return g;
}

// The graph with nodes renamed by rising (degree, id). Of the neighbours of a node, those of higher rank are at most
// sqrt(2M): walks that go up, or that stay below their start, do not see hubs again and again.
struct Ranked {
  int64_t N, M;
  std::vector<int64_t> ptr, mid, up;        // [N + 1]; first higher neighbour of each row; edges owned by lower ends
  std::vector<int32_t> col, edge, id;       // [2M] ranks, [2M] edge of each entry, [N] node of each rank
  std::vector<int32_t> upward, downward;    // [M] positions of the edge in the rows of its lower and higher end
  std::vector<int64_t> cycle_cost;          // [N] entries that the 4-cycles with this highest node look at

  Ranked(const View& g, bool positions) : N(g.N), M(g.entries / 2), ptr(g.N + 1), mid(g.N), up(g.N + 1), col(g.entries), edge(g.entries),
                                          id(g.N), cycle_cost(g.N) {
    std::vector<int32_t> rank(N);
    int64_t largest = 0;
    for (int64_t v = 0; v < N; ++v) largest = std::max(largest, g.degree(v));
    std::vector<int64_t> first(largest + 2);
    for (int64_t v = 0; v < N; ++v) ++first[g.degree(v) + 1];
    for (int64_t d = 0; d <= largest; ++d) first[d + 1] += first[d];
    for (int64_t v = 0; v < N; ++v) {
      const int64_t r = first[g.degree(v)]++;
      rank[v] = int32_t(r), id[r] = int32_t(v);
    }
    std::vector<int64_t> cursor(N);
    for (int64_t r = 0; r < N; ++r) ptr[r + 1] = ptr[r] + g.degree(id[r]);
    std::vector<int32_t> place, reverse;
    if (positions) {
      place.resize(g.entries), reverse.resize(g.entries);
      for (int64_t v = 0; v < N; ++v) cursor[v] = g.ptr[v];
      for (int64_t e = 0; e < g.entries; ++e) reverse[e] = int32_t(cursor[g.col[e]]++);  // rows are sorted, rows rise
    }
    for (int64_t r = 0; r < N; ++r) cursor[r] = ptr[r];
    for (int64_t r = 0; r < N; ++r) {
      mid[r] = cursor[r];  // every lower neighbour has been here
      const int64_t v = id[r];
      for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) {
        const int64_t at = cursor[rank[g.col[e]]]++;
        col[at] = int32_t(r);
        if (positions) place[at] = reverse[e];
      }
    }
    if (positions) upward.resize(M), downward.resize(M);
    for (int64_t r = 0; r < N; ++r) up[r + 1] = up[r] + (ptr[r + 1] - mid[r]), cursor[r] = ptr[r];
    for (int64_t r = 0; r < N; ++r)
      for (int64_t e = mid[r]; e < ptr[r + 1]; ++e) {
        const int64_t k = up[r] + e - mid[r], back = cursor[col[e]]++;
        edge[e] = edge[back] = int32_t(k);
        cycle_cost[col[e]] += e - ptr[r] + 1;
        if (positions) upward[k] = place[e], downward[k] = place[back];
      }
  }
};

// One array of sums per slot, added up at the end; integers, so the order does not matter.
template <class V> class Sums {
 public:
  Sums(int64_t size, int64_t slots) : size_(size) {
    for (int64_t s = 0; s < slots; ++s) parts_.emplace_back(size);
  }
  V* of(int64_t slot) { return parts_[slot].data(); }
  const V* fold() {
    parallel_rows(size_, [&](int64_t begin, int64_t end) {
      for (size_t s = 1; s < parts_.size(); ++s)
        for (int64_t i = begin; i < end; ++i) parts_[0][i] += parts_[s][i];
    });
    parts_.resize(parts_.empty() ? 0 : 1);
    return parts_.empty() ? nullptr : parts_[0].data();
  }
  bool empty() const { return size_ == 0; }

 private:
  int64_t size_;
  std::vector<std::vector<V>> parts_;
};

constexpr int64_t kNodesAtOnce = 64;

// No more slots than 2 GiB of sums allow.
int64_t bounded_slots(int64_t tasks, int64_t bytes_per_slot) {
  const int64_t most = (int64_t(2) << 30) / std::max<int64_t>(bytes_per_slot, 1);
  return std::max<int64_t>(1, std::min(task_slots(tasks), most));
}

struct Triangle { int32_t i, j, edge; };  // positions among the higher neighbours of the lowest node, and the edge between those

// The triangles whose lowest node is u. mark: [N] zeros, zeros again afterwards.
void triangles_of(const Ranked& g, int64_t u, int32_t* mark, std::vector<Triangle>& found) {
  found.clear();
  const int64_t begin = g.mid[u], end = g.ptr[u + 1];
  if (end - begin < 2) return;
  const int32_t last = g.col[end - 1];
  for (int64_t e = begin; e < end; ++e) mark[g.col[e]] = int32_t(e - begin + 1);
  for (int64_t e = begin; e + 1 < end; ++e) {
    const int64_t v = g.col[e];
    for (int64_t f = g.mid[v]; f < g.ptr[v + 1] && g.col[f] <= last; ++f)
      if (const int32_t j = mark[g.col[f]]) found.push_back({int32_t(e - begin), j - 1, int32_t(g.up[v] + f - g.mid[v])});
  }
  for (int64_t e = begin; e < end; ++e) mark[g.col[e]] = 0;
}

// 4-cliques whose lowest node is u, from the bit matrix of its higher neighbours. pair(edge, q): q cliques hold the edge
// between two neighbours; spoke(i, s): s cliques hold the i-th neighbour.
template <class Pair, class Spoke>
void cliques_of(const std::vector<Triangle>& triangles, int64_t size, std::vector<uint64_t>& bits, std::vector<int64_t>& twice, const Pair& pair,
                const Spoke& spoke) {
  if (triangles.size() < 3) return;
  const int64_t words = (size + 63) / 64;
  bits.assign(size * words, 0), twice.assign(size, 0);
  for (const Triangle& t : triangles) {
    bits[t.i * words + t.j / 64] |= uint64_t(1) << (t.j % 64);
    bits[t.j * words + t.i / 64] |= uint64_t(1) << (t.i % 64);
  }
  for (const Triangle& t : triangles) {
    const int64_t q = words == 1 ? __builtin_popcountll(bits[t.i] & bits[t.j]) : shared(&bits[t.i * words], &bits[t.j * words], words);
    if (q == 0) continue;
    pair(t, q);
    twice[t.i] += q, twice[t.j] += q;
  }
  for (int64_t i = 0; i < size; ++i)
    if (twice[i]) spoke(i, twice[i] / 2);
}

struct Scratch {
  std::vector<int32_t> mark;
  std::vector<Triangle> triangles;
  std::vector<uint64_t> bits;
  std::vector<int64_t> twice;
};

// f(u, scratch, slot) for every node; nodes of high rank, which may cost much, first.
template <class F> void for_nodes(const Ranked& g, int64_t slots, const F& f) {
  std::vector<Scratch> scratch(slots);
  for (Scratch& s : scratch) s.mark.resize(g.N);
  const int64_t blocks = (g.N + kNodesAtOnce - 1) / kNodesAtOnce;
  run_tasks(blocks, slots, [&](int64_t task, int64_t slot) {
    const int64_t begin = (blocks - 1 - task) * kNodesAtOnce, end = std::min(begin + kNodesAtOnce, g.N);
    for (int64_t u = end - 1; u >= begin; --u) f(u, scratch[slot], slot);
  });
}

// 4-cycles by their highest node v and the node w opposite to it: with L ways from v to w there are L(L-1)/2, and each
// of the L middle nodes is in L-1 of them. A node whose ways are many is shared by several tasks, by ranges of w.
struct CycleTask { int64_t first, last, w_begin, w_end; };  // nodes [first, last), opposite nodes [w_begin, w_end)

std::vector<CycleTask> cycle_tasks(const Ranked& g) {
  int64_t total = 0;
  for (int64_t v = 0; v < g.N; ++v) total += g.cycle_cost[v] + 1;
  const int64_t wanted = std::max<int64_t>(total / 256, 1 << 16);
  std::vector<CycleTask> tasks;
  for (int64_t last = g.N; last > 0;) {
    int64_t first = last - 1, cost = g.cycle_cost[first] + 1;
    if (cost > 2 * wanted) {
      const int64_t parts = (cost + wanted - 1) / wanted;
      int64_t from = 0;
      for (int64_t p = 1; p <= parts; ++p) {
        const int64_t to = p == parts ? last : std::upper_bound(g.ptr.begin(), g.ptr.begin() + first, g.ptr[first] / parts * p) - g.ptr.begin();
        if (to > from) tasks.push_back({first, last, from, to});
        from = std::max(from, to);
      }
    } else {
      while (first > 0 && cost + g.cycle_cost[first - 1] + 1 <= wanted) cost += g.cycle_cost[--first] + 1;
      tasks.push_back({first, last, 0, g.N});
    }
    last = first;
  }
  return tasks;
}

// node(x, n): n more cycles at x; edge(e, n): n more cycles through e.
template <bool kNodes, bool kEdges, class Node, class Edge>
void cycles_of(const Ranked& g, const CycleTask& task, int32_t* ways, const Node& node, const Edge& edge) {
  for (int64_t v = task.first; v < task.last; ++v) {
    const int64_t begin = g.ptr[v], end = g.mid[v], top = std::min(v, task.w_end);
    auto start = [&](int64_t u) {
      return task.w_begin == 0 ? g.ptr[u] : int64_t(std::lower_bound(g.col.begin() + g.ptr[u], g.col.begin() + g.ptr[u + 1], int32_t(task.w_begin)) - g.col.begin());
    };
    int32_t met = 0;
    for (int64_t e = begin; e < end; ++e) {
      const int64_t u = g.col[e];
      for (int64_t f = start(u); f < g.ptr[u + 1] && g.col[f] < top; ++f) met |= ways[g.col[f]]++;
    }
    if (met) {
      for (int64_t e = begin; e < end; ++e) {
        const int64_t u = g.col[e];
        int64_t sum = 0;
        for (int64_t f = start(u); f < g.ptr[u + 1] && g.col[f] < top; ++f) {
          const int64_t others = ways[g.col[f]] - 1;
          if (kEdges && others) edge(g.edge[f], others);
          sum += others;
        }
        if (kEdges && sum) edge(g.edge[e], sum);
        if (kNodes && sum) node(u, sum);
      }
    }
    for (int64_t e = begin; e < end; ++e) {
      const int64_t u = g.col[e];
      for (int64_t f = start(u); f < g.ptr[u + 1] && g.col[f] < top; ++f) {
        const int64_t w = g.col[f];
        if (const int64_t many = ways[w]) {
          ways[w] = 0;
          if (kNodes && many > 1) node(v, many * (many - 1) / 2), node(w, many * (many - 1) / 2);
        }
      }
    }
  }
}

template <bool kNodes, bool kEdges, class Node, class Edge>
void for_cycles(const Ranked& g, const std::vector<CycleTask>& tasks, int64_t slots, const Node& node, const Edge& edge) {
  std::vector<std::vector<int32_t>> ways(slots);
  for (auto& w : ways) w.resize(g.N);
  run_tasks(int64_t(tasks.size()), slots, [&](int64_t task, int64_t slot) {
    cycles_of<kNodes, kEdges>(g, tasks[task], ways[slot].data(), [&](int64_t x, int64_t n) { node(slot, x, n); },
                              [&](int64_t e, int64_t n) { edge(slot, e, n); });
  });
}

// ---------------------------------------------------------------- counts per node

Tensor node_counts(Tensor ptr, Tensor col) {
  const View view_of = view(ptr, col);
  const Ranked g(view_of, false);
  const int64_t N = g.N, M = g.M;
  Tensor out = torch::stable::new_empty(ptr, {N, 15}, ScalarType::Long);
  int64_t* counts = static_cast<int64_t*>(out.data_ptr());
  const int64_t blocks = (N + kNodesAtOnce - 1) / kNodesAtOnce;

  // triangles of each edge, 4-cliques of each node
  const int64_t slots = bounded_slots(blocks, 4 * M + 16 * N);
  Sums<int32_t> triangles(M, slots);
  Sums<int64_t> cliques(N, slots), opposite(N, slots);
  for_nodes(g, slots, [&](int64_t u, Scratch& s, int64_t slot) {
    triangles_of(g, u, s.mark.data(), s.triangles);
    int32_t* T = triangles.of(slot);
    int64_t* K = cliques.of(slot);
    const int64_t first = g.up[u];
    for (const Triangle& t : s.triangles) ++T[first + t.i], ++T[first + t.j], ++T[t.edge];
    int64_t threefold = 0;
    cliques_of(s.triangles, g.up[u + 1] - first, s.bits, s.twice, [&](const Triangle&, int64_t q) { threefold += q; },
               [&](int64_t i, int64_t n) { K[g.col[g.mid[u] + i]] += n; });
    K[u] += threefold / 3;
  });
  const int32_t* T = triangles.fold();
  const int64_t* K = cliques.fold();
  for_nodes(g, slots, [&](int64_t u, Scratch& s, int64_t slot) {
    triangles_of(g, u, s.mark.data(), s.triangles);
    int64_t* O = opposite.of(slot);
    const int64_t first = g.up[u], row = g.mid[u];
    for (const Triangle& t : s.triangles)
      O[u] += T[t.edge], O[g.col[row + t.i]] += T[first + t.j], O[g.col[row + t.j]] += T[first + t.i];
  });
  const int64_t* O = opposite.fold();

  const std::vector<CycleTask> tasks = cycle_tasks(g);
  const int64_t cycle_slots = bounded_slots(int64_t(tasks.size()), 12 * N);
  Sums<int64_t> cycles(N, cycle_slots);
  for_cycles<true, false>(g, tasks, cycle_slots, [&](int64_t slot, int64_t x, int64_t n) { cycles.of(slot)[x] += n; }, [](int64_t, int64_t, int64_t) {});
  const int64_t* C = cycles.fold();

  std::vector<int64_t> t(N), R(N);
  parallel_rows(N, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      int64_t sum = 0, wedges = 0;
      for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) {
        const int64_t v = g.col[e], on = T[g.edge[e]];
        sum += on, wedges += g.ptr[v + 1] - g.ptr[v] - 1 - on;
      }
      t[u] = sum / 2, R[u] = wedges;
    }
  });
  parallel_rows(N, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t d = g.ptr[u + 1] - g.ptr[u], k = 3 * K[u];
      // sums over the neighbours v; X ends open at v, Xt ends open at u, TT squares, Td triangles times degree
      int64_t X = 0, XX = 0, XtXt = 0, XXt = 0, Xt = 0, TT = 0, Td = 0, TXt = 0, tv = 0, Rv = 0;
      for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) {
        const int64_t v = g.col[e], on = T[g.edge[e]], dv = g.ptr[v + 1] - g.ptr[v], x = dv - 1 - on, xt = d - 1 - on;
        X += x, Xt += xt, XX += x * (x - 1) / 2, XtXt += xt * (xt - 1) / 2, XXt += x * xt;
        TT += on * on, Td += on * dv, TXt += on * xt, tv += t[v], Rv += R[v];
      }
      const int64_t o12 = O[u] - t[u] - k, E = 2 * o12, Et = TT - 2 * t[u] - 2 * k, o13 = Et / 2;
      const int64_t o8 = C[u] - o12 - o13 - K[u] * 3;
      const int64_t F = tv - 2 * t[u] - k - E, Ft = d * t[u] - 2 * t[u] - k - Et;
      const int64_t o[15] = {
          d, X, d * (d - 1) / 2 - t[u], t[u], Rv - Xt - Td + 2 * t[u] + 2 * O[u] - 2 * o8, XXt - 2 * o8, XX - F, (XtXt - Ft) / 3, o8, F,
          Td - 2 * O[u] - TT + 2 * k, (TXt - Et) / 2, o12, o13, K[u]};
      int64_t* to = counts + 15 * int64_t(g.id[u]);
      for (int i = 0; i < 15; ++i) to[i] = o[i];
    }
  });
  return out;
}

// ---------------------------------------------------------------- sums per edge

template <class V>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> edge_bases_as(const Tensor& ptr, const View& view_of, int64_t need, ScalarType dtype) {
  const Ranked g(view_of, true);
  const int64_t N = g.N, M = g.M, blocks = (N + kNodesAtOnce - 1) / kNodesAtOnce;
  const bool cliques = need & kNeedCliques, support = need & kNeedSupport, lists = need & kNeedLists;
  Tensor out_T = torch::stable::new_empty(ptr, {2 * M}, ScalarType::Int);
  Tensor out = torch::stable::new_zeros(ptr, {kBases, 2 * M}, dtype);
  ask_for_large_pages(out_T.data_ptr(), 8 * M);  // rows read them in an order that small pages make slow
  int32_t* T_at = static_cast<int32_t*>(out_T.data_ptr());
  V* base = static_cast<V*>(out.data_ptr());

  const int64_t slots = bounded_slots(blocks, (8 + (support ? 3 * sizeof(V) : 0)) * M);
  Sums<int32_t> triangles(M, slots), four(cliques ? M : 0, slots);
  for_nodes(g, slots, [&](int64_t u, Scratch& s, int64_t slot) {
    triangles_of(g, u, s.mark.data(), s.triangles);
    int32_t *T = triangles.of(slot), *K = four.of(slot);
    const int64_t first = g.up[u];
    for (const Triangle& t : s.triangles) ++T[first + t.i], ++T[first + t.j], ++T[t.edge];
    if (cliques)
      cliques_of(s.triangles, g.up[u + 1] - first, s.bits, s.twice, [&](const Triangle& t, int64_t q) { K[t.edge] += int32_t(q); },
                 [&](int64_t i, int64_t n) { K[first + i] += int32_t(n); });
  });
  const int32_t* T = triangles.fold();
  const int32_t* K = four.fold();

  // com: common neighbours of each edge, opp: the opposite edges of each node
  int64_t total = 0;
  for (int64_t e = 0; e < M; ++e) total += T[e];
  Tensor com_ptr = torch::stable::new_zeros(ptr, {lists ? M + 1 : 0}, ScalarType::Long), com = torch::stable::new_empty(ptr, {lists ? total : 0}, ScalarType::Int);
  Tensor opp_ptr = torch::stable::new_zeros(ptr, {lists ? N + 1 : 0}, ScalarType::Long), opp = torch::stable::new_empty(ptr, {lists ? total : 0}, ScalarType::Int);
  int64_t *com_at = static_cast<int64_t*>(com_ptr.data_ptr()), *opp_at = static_cast<int64_t*>(opp_ptr.data_ptr());
  int32_t *com_to = static_cast<int32_t*>(com.data_ptr()), *opp_to = static_cast<int32_t*>(opp.data_ptr());
  std::unique_ptr<std::atomic<int64_t>[]> com_cursor(lists ? new std::atomic<int64_t>[M] : nullptr), opp_cursor(lists ? new std::atomic<int64_t>[N] : nullptr);
  if (lists) {
    std::vector<int64_t> t(N);
    for (int64_t u = 0; u < N; ++u)
      for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) t[g.id[u]] += T[g.edge[e]];
    for (int64_t v = 0; v < N; ++v) opp_at[v + 1] = opp_at[v] + t[v] / 2, opp_cursor[v] = opp_at[v];
    for (int64_t e = 0; e < M; ++e) com_at[e + 1] = com_at[e] + T[e], com_cursor[e] = com_at[e];
  }
  Sums<V> S(support ? M : 0, slots), R(support ? M : 0, slots), D(support ? M : 0, slots);
  if (support || lists)
    for_nodes(g, slots, [&](int64_t u, Scratch& s, int64_t slot) {
      triangles_of(g, u, s.mark.data(), s.triangles);
      V *S_to = S.of(slot), *R_to = R.of(slot), *D_to = D.of(slot);
      const int64_t first = g.up[u], row = g.mid[u], du = g.ptr[u + 1] - g.ptr[u];
      for (const Triangle& t : s.triangles) {
        const int64_t uv = first + t.i, uw = first + t.j, vw = t.edge, v = g.col[row + t.i], w = g.col[row + t.j];
        if (support) {
          // S of (x, y) grows by the triangles of (y, third); from the lower end and, in R, from the higher
          S_to[uv] += V(T[vw]), R_to[uv] += V(T[uw]), S_to[uw] += V(T[vw]), R_to[uw] += V(T[uv]), S_to[vw] += V(T[uw]), R_to[vw] += V(T[uv]);
          D_to[uv] += V(g.ptr[w + 1] - g.ptr[w]), D_to[uw] += V(g.ptr[v + 1] - g.ptr[v]), D_to[vw] += V(du);
        }
        if (lists) {
          auto put = [&](int64_t edge, int64_t node) {
            com_to[com_cursor[edge].fetch_add(1, std::memory_order_relaxed)] = g.id[node];
            opp_to[opp_cursor[g.id[node]].fetch_add(1, std::memory_order_relaxed)] = int32_t(edge);
          };
          put(uv, w), put(uw, v), put(vw, u);
        }
      }
    });
  if (lists) {  // the order in which threads came must not show
    parallel_rows(M, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) std::sort(com_to + com_at[e], com_to + com_at[e + 1]);
    });
    parallel_rows(N, [&](int64_t begin, int64_t end) {
      for (int64_t v = begin; v < end; ++v) std::sort(opp_to + opp_at[v], opp_to + opp_at[v + 1]);
    });
  }
  const V *S_of = S.fold(), *R_of = R.fold(), *D_of = D.fold();
  parallel_rows(M, [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const int64_t p = g.upward[e], q = g.downward[e];
      T_at[p] = T_at[q] = T[e];
      if (cliques) base[bK * 2 * M + p] = base[bK * 2 * M + q] = V(K[e]);
      if (support) {
        base[bS * 2 * M + p] = base[bR * 2 * M + q] = S_of[e], base[bR * 2 * M + p] = base[bS * 2 * M + q] = R_of[e];
        base[bD * 2 * M + p] = base[bD * 2 * M + q] = D_of[e];
      }
    }
  });
  if (need & kNeedCycles) {
    const std::vector<CycleTask> tasks = cycle_tasks(g);
    const int64_t cycle_slots = bounded_slots(int64_t(tasks.size()), int64_t(sizeof(V)) * M + 4 * N);
    Sums<V> cycles(M, cycle_slots);
    for_cycles<false, true>(g, tasks, cycle_slots, [](int64_t, int64_t, int64_t) {}, [&](int64_t slot, int64_t e, int64_t n) { cycles.of(slot)[e] += V(n); });
    const V* Q = cycles.fold();
    parallel_rows(M, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) base[bQ * 2 * M + g.upward[e]] = base[bQ * 2 * M + g.downward[e]] = Q[e];
    });
  }
  return {out_T, out, com_ptr, com, opp_ptr, opp};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> edge_bases(Tensor ptr, Tensor col, int64_t need, bool wide) {
  const View g = view(ptr, col);
  return wide ? edge_bases_as<int64_t>(ptr, g, need, ScalarType::Long) : edge_bases_as<int32_t>(ptr, g, need, ScalarType::Int);
}

// ---------------------------------------------------------------- values of edges

template <class V> struct EdgeValues {
  View g;
  const int32_t* T;
  const V* base;
  std::vector<int64_t> t, R;  // triangles of each node; open ends around it

  EdgeValues(const View& view_of, const Tensor& triangles, const Tensor& bases)
      : g(view_of), T(static_cast<const int32_t*>(triangles.data_ptr())), base(static_cast<const V*>(bases.data_ptr())), t(g.N), R(g.N) {
    parallel_rows(g.N, [&](int64_t begin, int64_t end) {
      for (int64_t u = begin; u < end; ++u) {
        int64_t sum = 0, open = 0;
        for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) sum += T[e], open += g.degree(g.col[e]) - 1 - T[e];
        t[u] = sum / 2, R[u] = open;
      }
    });
  }

  void at(int64_t u, int64_t e, int64_t* to) const {
    const int64_t v = g.col[e], on = T[e], stride = g.entries;
    const EdgeSums sums{on, base[bK * stride + e], base[bS * stride + e], base[bR * stride + e], base[bD * stride + e], base[bQ * stride + e],
                        {g.degree(u), g.degree(v)}, {t[u], t[v]}, {R[u], R[v]}};
    edge_orbits(sums, to);
  }
};

void check_bases(const View& g, const Tensor& triangles, const Tensor& bases) {
  STD_TORCH_CHECK(triangles.numel() == g.entries && triangles.scalar_type() == ScalarType::Int && bases.numel() == kBases * g.entries &&
                  (bases.scalar_type() == ScalarType::Int || bases.scalar_type() == ScalarType::Long) && bases.is_contiguous() && triangles.is_contiguous(),
                  "triangles and bases do not belong to this graph");
}

template <class V>
std::vector<Tensor> edge_values_as(const View& g, const Tensor& triangles, const Tensor& bases, int64_t keys) {
  const EdgeValues<V> values(g, triangles, bases);
  std::vector<Tensor> out;
  std::vector<std::pair<int, V*>> wanted;
  for (int key = 0; key < kEdgeKeys; ++key)
    if (keys >> key & 1) {
      out.push_back(torch::stable::new_empty(bases, {g.entries}));
      ask_for_large_pages(out.back().data_ptr(), g.entries * int64_t(sizeof(V)));
      wanted.push_back({key, static_cast<V*>(out.back().data_ptr())});
    }
  torch::stable::parallel_for(0, g.N, 256, [&](int64_t begin, int64_t end) {
    int64_t value[kEdgeKeys];
    for (int64_t u = begin; u < end; ++u)
      for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) {
        values.at(u, e, value);
        for (const auto& [key, to] : wanted) to[e] = V(value[key]);
      }
  });
  return out;
}

std::vector<Tensor> edge_values(Tensor ptr, Tensor col, Tensor triangles, Tensor bases, int64_t keys) {
  const View g = view(ptr, col);
  check_bases(g, triangles, bases);
  return bases.scalar_type() == ScalarType::Long ? edge_values_as<int64_t>(g, triangles, bases, keys) : edge_values_as<int32_t>(g, triangles, bases, keys);
}

template <class V> void edge_counts_as(const View& g, const Tensor& triangles, const Tensor& bases, int64_t* source, int64_t* target, int64_t* counts) {
  const EdgeValues<V> values(g, triangles, bases);
  std::vector<int64_t> first(g.N + 1);
  for (int64_t u = 0; u < g.N; ++u) {
    const int32_t* row = g.col + g.ptr[u];
    first[u + 1] = first[u] + g.degree(u) - (std::upper_bound(row, row + g.degree(u), int32_t(u)) - row);
  }
  torch::stable::parallel_for(0, g.N, 256, [&](int64_t begin, int64_t end) {
    int64_t v[kEdgeKeys];
    for (int64_t u = begin; u < end; ++u) {
      int64_t e = g.ptr[u + 1] - (first[u + 1] - first[u]);
      for (int64_t k = first[u]; k < first[u + 1]; ++k, ++e) {
        values.at(u, e, v);
        source[k] = u, target[k] = g.col[e];
        undirected_orbits(v, counts + 12 * k);
      }
    }
  });
}

std::tuple<Tensor, Tensor> edge_counts(Tensor ptr, Tensor col, Tensor triangles, Tensor bases) {
  const View g = view(ptr, col);
  check_bases(g, triangles, bases);
  const int64_t M = g.entries / 2;
  Tensor edges = torch::stable::new_empty(ptr, {2, M}), counts = torch::stable::new_empty(ptr, {M, 12});
  int64_t *source = static_cast<int64_t*>(edges.data_ptr()), *to = static_cast<int64_t*>(counts.data_ptr());
  if (bases.scalar_type() == ScalarType::Long) edge_counts_as<int64_t>(g, triangles, bases, source, source + M, to);
  else edge_counts_as<int32_t>(g, triangles, bases, source, source + M, to);
  return {edges, counts};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("orbit_node_counts", TORCH_BOX(&node_counts));
  library.impl("orbit_edge_bases", TORCH_BOX(&edge_bases));
  library.impl("orbit_edge_values", TORCH_BOX(&edge_values));
  library.impl("orbit_edge_counts", TORCH_BOX(&edge_counts));
}

}  // namespace graphkit
