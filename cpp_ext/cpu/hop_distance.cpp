// Breadth-first search from many nodes: balls of few hops one by one, hops of all nodes 64 searches to a machine word.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kBallsAtOnce = 8;
enum Direction : int64_t { kIn = 0, kOut = 1, kBoth = 2 };

const int64_t* longs(const Tensor& t, const char* what) {
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::Long && t.dim() == 1 && t.is_contiguous(), what, " must be contiguous int64 [.]");
  return static_cast<const int64_t*>(t.data_ptr());
}
const int32_t* ints(const Tensor& t, const char* what) {
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::Int && t.dim() == 1 && t.is_contiguous(), what, " must be contiguous int32 [.]");
  return static_cast<const int32_t*>(t.data_ptr());
}
int64_t* new_longs(const Tensor& like, int64_t size, Tensor& out) {
  out = torch::stable::new_empty(like, {size}, ScalarType::Long);
  return static_cast<int64_t*>(out.data_ptr());
}

// ---- the graph, sorted by counting -----------------------------------------------------------------------------

// place[i] for the items in the order `order` (null: as they stand), stable, by key; begin[k] is where key k starts.
template <class Key> void counting_sort(int64_t items, int64_t keys, const Key& key, const int64_t* order, int64_t* begin, int64_t* out) {
  std::memset(begin, 0, (keys + 1) * sizeof(int64_t));
  for (int64_t i = 0; i < items; ++i) ++begin[key(i) + 1];
  for (int64_t k = 0; k < keys; ++k) begin[k + 1] += begin[k];
  std::vector<int64_t> cursor(begin, begin + keys);
  for (int64_t i = 0; i < items; ++i) {
    const int64_t item = order ? order[i] : i;
    out[cursor[key(item)]++] = item;
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> hop_graph(Tensor edge_index, int64_t num_nodes) {
  STD_TORCH_CHECK(edge_index.dim() == 2 && edge_index.size(0) == 2 && edge_index.scalar_type() == ScalarType::Long,
                  "edge_index must be int64 [2, E]");
  const int64_t N = num_nodes, E = edge_index.size(1), stride = edge_index.stride(1);
  const int64_t *source = static_cast<const int64_t*>(edge_index.data_ptr()), *target = source + edge_index.stride(0);
  for (int64_t e = 0; e < E; ++e)
    STD_TORCH_CHECK(source[e * stride] >= 0 && source[e * stride] < N && target[e * stride] >= 0 && target[e * stride] < N,
                    "edge_index holds an id outside [0, num_nodes)");
  Tensor ptr, perm, t_ptr;
  int64_t *in = new_longs(edge_index, N + 1, ptr), *order = new_longs(edge_index, E, perm), *out = new_longs(edge_index, N + 1, t_ptr);
  Tensor sources = torch::stable::new_empty(edge_index, {E}, ScalarType::Int);
  Tensor targets = torch::stable::new_empty(edge_index, {E}, ScalarType::Int);
  int32_t *col = static_cast<int32_t*>(sources.data_ptr()), *t_col = static_cast<int32_t*>(targets.data_ptr());
  const auto by_source = [&](int64_t e) { return source[e * stride]; };
  const auto by_target = [&](int64_t e) { return target[e * stride]; };
  std::unique_ptr<int64_t[]> first(new int64_t[E + 1]);
  counting_sort(E, N, by_source, nullptr, out, first.get());
  counting_sort(E, N, by_target, first.get(), in, order);
  counting_sort(E, N, by_source, order, out, first.get());
  for (int64_t e = 0; e < E; ++e) col[e] = int32_t(by_source(order[e])), t_col[e] = int32_t(by_target(first[e]));
  return {ptr, sources, perm, t_ptr, targets};
}

struct Hops {
  int64_t N, direction;
  const int64_t *ptr, *t_ptr;
  const int32_t *source, *target;

  // f(u) for the nodes one hop from v.
  template <class F> void step(int64_t v, const F& f) const {
    if (direction != kOut)
      for (int64_t e = ptr[v]; e < ptr[v + 1]; ++e) f(source[e]);
    if (direction != kIn)
      for (int64_t e = t_ptr[v]; e < t_ptr[v + 1]; ++e) f(target[e]);
  }
};

Hops hops_of(const Tensor& ptr, const Tensor& source, const Tensor& t_ptr, const Tensor& target, int64_t direction) {
  Hops g{};
  g.N = ptr.size(0) - 1, g.direction = direction;
  g.ptr = longs(ptr, "ptr"), g.t_ptr = longs(t_ptr, "t_ptr");
  g.source = ints(source, "source"), g.target = ints(target, "t_target");
  STD_TORCH_CHECK(t_ptr.size(0) == ptr.size(0) && source.size(0) == target.size(0), "both orders must be of one graph");
  STD_TORCH_CHECK(direction >= kIn && direction <= kBoth, "direction must be 0 (in), 1 (out) or 2 (both)");
  return g;
}

const int64_t* checked(const Tensor& seeds, int64_t N) {
  const int64_t* seed = longs(seeds, "seeds");
  for (int64_t s = 0; s < seeds.size(0); ++s) STD_TORCH_CHECK(seed[s] >= 0 && seed[s] < N, "seeds hold an id outside [0, num_nodes)");
  return seed;
}

// ---- balls -----------------------------------------------------------------------------------------------------

// Balls one after the other in one thread's memory; marks are told apart by the number of the ball.
class Search {
 public:
  explicit Search(int64_t N) : mark_(N, -1) {}

  // Appends the ball to `nodes` and `level`, by hop and then by id.
  void ball(const Hops& g, int64_t number, int64_t seed, int64_t hops, std::vector<int32_t>& nodes, std::vector<int32_t>& level) {
    int64_t begin = int64_t(nodes.size());
    mark_[seed] = number, nodes.push_back(int32_t(seed)), level.push_back(0);
    for (int64_t h = 1; h <= hops; ++h) {
      const int64_t end = int64_t(nodes.size());
      for (int64_t k = begin; k < end; ++k)
        g.step(nodes[k], [&](int32_t u) {
          if (mark_[u] != number) mark_[u] = number, nodes.push_back(u);
        });
      if (int64_t(nodes.size()) == end) break;
      std::sort(nodes.begin() + end, nodes.end());
      level.resize(nodes.size(), int32_t(h));
      begin = end;
    }
  }

 private:
  std::vector<int64_t> mark_;
};

struct BallPart {
  std::vector<int32_t> nodes, level;
};

std::tuple<Tensor, Tensor, Tensor> hop_balls(Tensor ptr, Tensor source, Tensor t_ptr, Tensor t_target, Tensor seeds, int64_t hops,
                                             int64_t direction) {
  const Hops g = hops_of(ptr, source, t_ptr, t_target, direction);
  const int64_t* seed = checked(seeds, g.N);
  STD_TORCH_CHECK(hops >= 0, "hops must be at least 0");
  const int64_t S = seeds.size(0), tasks = (S + kBallsAtOnce - 1) / kBallsAtOnce, slots = task_slots(tasks);
  Tensor ball_ptr;
  int64_t* begin = new_longs(seeds, S + 1, ball_ptr);
  begin[0] = 0;
  std::vector<std::unique_ptr<Search>> search(slots);
  std::vector<BallPart> parts(tasks);
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    if (!search[slot]) search[slot].reset(new Search(g.N));
    BallPart& part = parts[task];
    for (int64_t s = task * kBallsAtOnce; s < std::min(S, (task + 1) * kBallsAtOnce); ++s) {
      const size_t before = part.nodes.size();
      search[slot]->ball(g, s, seed[s], hops, part.nodes, part.level);
      begin[s + 1] = int64_t(part.nodes.size() - before);
    }
  });
  for (int64_t s = 0; s < S; ++s) begin[s + 1] += begin[s];
  Tensor nodes, level;
  int64_t *node = new_longs(seeds, begin[S], nodes), *hop = new_longs(seeds, begin[S], level);
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t to = begin[task * kBallsAtOnce];
      std::copy(parts[task].nodes.begin(), parts[task].nodes.end(), node + to);
      std::copy(parts[task].level.begin(), parts[task].level.end(), hop + to);
    }
  });
  return {ball_ptr, nodes, level};
}

struct EdgePart {
  std::vector<int64_t> source, target, edge;
};

// The edges of the graph with both ends in a set, for many sets; ends are places in the list of all sets.
std::tuple<Tensor, Tensor, Tensor, Tensor> ball_edges(Tensor ptr, Tensor source, Tensor perm, Tensor set_ptr, Tensor nodes) {
  const int64_t *in = longs(ptr, "ptr"), *order = longs(perm, "perm"), *begin = longs(set_ptr, "set_ptr"), *node = checked(nodes, ptr.size(0) - 1);
  const int32_t* col = ints(source, "source");
  const int64_t N = ptr.size(0) - 1, S = set_ptr.size(0) - 1, tasks = (S + kBallsAtOnce - 1) / kBallsAtOnce, slots = task_slots(tasks);
  STD_TORCH_CHECK(S >= 0 && begin[0] == 0 && begin[S] == nodes.size(0), "set_ptr does not fit the nodes");
  for (int64_t s = 0; s < S; ++s) STD_TORCH_CHECK(begin[s] <= begin[s + 1], "set_ptr must not fall");
  Tensor edge_ptr;
  int64_t* edge_begin = new_longs(ptr, S + 1, edge_ptr);
  edge_begin[0] = 0;
  std::vector<std::vector<int64_t>> place(slots);  // of a node in the list of all sets; of another set where it is out of range
  std::vector<EdgePart> parts(tasks);
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    if (place[slot].empty()) place[slot].assign(N, -1);
    std::vector<int64_t>& at = place[slot];
    EdgePart& part = parts[task];
    for (int64_t s = task * kBallsAtOnce; s < std::min(S, (task + 1) * kBallsAtOnce); ++s) {
      const size_t before = part.edge.size();
      for (int64_t k = begin[s]; k < begin[s + 1]; ++k) at[node[k]] = k;
      for (int64_t k = begin[s]; k < begin[s + 1]; ++k)
        for (int64_t e = in[node[k]]; e < in[node[k] + 1]; ++e) {
          const int64_t from = at[col[e]];
          if (from >= begin[s] && from < begin[s + 1]) part.source.push_back(from), part.target.push_back(k), part.edge.push_back(order[e]);
        }
      for (int64_t k = begin[s]; k < begin[s + 1]; ++k) at[node[k]] = -1;  // a slot's next set may lie before this one
      edge_begin[s + 1] = int64_t(part.edge.size() - before);
    }
  });
  for (int64_t s = 0; s < S; ++s) edge_begin[s + 1] += edge_begin[s];
  Tensor sources, targets, edges;
  int64_t *from = new_longs(ptr, edge_begin[S], sources), *to = new_longs(ptr, edge_begin[S], targets), *id = new_longs(ptr, edge_begin[S], edges);
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const EdgePart& part = parts[task];
      const int64_t at = edge_begin[task * kBallsAtOnce];
      std::copy(part.source.begin(), part.source.end(), from + at);
      std::copy(part.target.begin(), part.target.end(), to + at);
      std::copy(part.edge.begin(), part.edge.end(), id + at);
    }
  });
  return {edge_ptr, sources, targets, edges};
}

// ---- hops of all nodes -----------------------------------------------------------------------------------------

// Up to 64 searches at once: bit k of a word belongs to search k.
class WordSearch {
 public:
  explicit WordSearch(int64_t N) : seen_(N), now_(N), next_(N) {}

  // f(node, hop, bits) once for every node and hop at which searches reach it first; level by level, up to `hops`.
  template <class F> void run(const Hops& g, const int64_t* seed, int64_t count, int64_t hops, const F& f) {
    std::fill(seen_.begin(), seen_.end(), 0);
    here_.clear();
    for (int64_t k = 0; k < count; ++k) {
      if (!now_[seed[k]]) here_.push_back(int32_t(seed[k]));
      now_[seed[k]] |= uint64_t(1) << k;
    }
    for (int64_t h = 0; !here_.empty(); ++h) {
      for (int32_t v : here_) seen_[v] |= now_[v], f(v, h, now_[v]);
      there_.clear();
      if (h < hops)
        for (int32_t v : here_) {
          const uint64_t bits = now_[v];
          g.step(v, [&](int32_t u) {
            const uint64_t fresh = bits & ~seen_[u];
            if (!fresh) return;
            if (!next_[u]) there_.push_back(u);
            next_[u] |= fresh;
          });
        }
      for (int32_t v : here_) now_[v] = 0;
      std::swap(now_, next_), std::swap(here_, there_);
    }
  }
  uint64_t seen(int64_t v) const { return seen_[v]; }

 private:
  std::vector<uint64_t> seen_, now_, next_;  // the last two all zero between two searches
  std::vector<int32_t> here_, there_;
};

template <class F> void each_bit(uint64_t bits, const F& f) {
  for (; bits; bits &= bits - 1) f(int64_t(__builtin_ctzll(bits)));
}

// f(search, first seed, how many, slot) for every 64 seeds.
template <class F> void over_words(const Hops& g, int64_t S, const F& f) {
  const int64_t tasks = (S + 63) / 64, slots = task_slots(tasks);
  std::vector<std::unique_ptr<WordSearch>> search(slots);
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    if (!search[slot]) search[slot].reset(new WordSearch(g.N));
    f(*search[slot], task * 64, std::min<int64_t>(64, S - task * 64));
  });
}

Tensor hop_distance(Tensor ptr, Tensor source, Tensor t_ptr, Tensor t_target, Tensor seeds, int64_t hops, int64_t direction) {
  const Hops g = hops_of(ptr, source, t_ptr, t_target, direction);
  const int64_t *seed = checked(seeds, g.N), S = seeds.size(0);
  Tensor out = torch::stable::new_empty(ptr, {S, g.N}, ScalarType::Int);
  int32_t* to = static_cast<int32_t*>(out.data_ptr());
  over_words(g, S, [&](WordSearch& search, int64_t first, int64_t count) {
    std::fill(to + first * g.N, to + (first + count) * g.N, -1);
    search.run(g, seed + first, count, hops, [&](int64_t v, int64_t h, uint64_t bits) {
      each_bit(bits, [&](int64_t k) { to[(first + k) * g.N + v] = int32_t(h); });
    });
  });
  return out;
}

template <class T>
void bincount(const Hops& g, const int64_t* seed, int64_t S, const T* values, int64_t hops, double* out) {
  const int64_t bins = hops + 2;
  std::fill(out, out + S * bins, 0.0);
  over_words(g, S, [&](WordSearch& search, int64_t first, int64_t count) {
    double* to = out + first * bins;
    const T* from = values ? values + first * g.N : nullptr;
    search.run(g, seed + first, count, hops, [&](int64_t v, int64_t h, uint64_t bits) {
      each_bit(bits, [&](int64_t k) { to[k * bins + h] += from ? double(from[k * g.N + v]) : 1.0; });
    });
    const uint64_t all = count == 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1;
    for (int64_t v = 0; v < g.N; ++v)
      each_bit(all & ~search.seen(v), [&](int64_t k) { to[k * bins + hops + 1] += from ? double(from[k * g.N + v]) : 1.0; });
  });
}

Tensor hop_bincount(Tensor ptr, Tensor source, Tensor t_ptr, Tensor t_target, Tensor seeds, Tensor values, int64_t hops, int64_t direction) {
  const Hops g = hops_of(ptr, source, t_ptr, t_target, direction);
  const int64_t *seed = checked(seeds, g.N), S = seeds.size(0);
  STD_TORCH_CHECK(hops >= 0 && hops < int64_t(1) << 31, "hops must be at least 0");
  Tensor out = torch::stable::new_empty(ptr, {S, hops + 2}, ScalarType::Double);
  double* to = static_cast<double*>(out.data_ptr());
  if (values.dim() == 1) {  // counts nodes
    bincount<double>(g, seed, S, nullptr, hops, to);
    return out;
  }
  const ScalarType type = values.scalar_type();
  STD_TORCH_CHECK(values.dim() == 2 && values.size(0) == S && values.size(1) == g.N && values.is_contiguous() &&
                  (type == ScalarType::Float || type == ScalarType::Double), "values must be contiguous float32 or float64 [S, N]");
  if (type == ScalarType::Float) bincount(g, seed, S, static_cast<const float*>(values.data_ptr()), hops, to);
  else bincount(g, seed, S, static_cast<const double*>(values.data_ptr()), hops, to);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("hop_graph", TORCH_BOX(&hop_graph));
  library.impl("hop_balls", TORCH_BOX(&hop_balls));
  library.impl("ball_edges", TORCH_BOX(&ball_edges));
  library.impl("hop_distance", TORCH_BOX(&hop_distance));
  library.impl("hop_bincount", TORCH_BOX(&hop_bincount));
}

}  // namespace graphkit
