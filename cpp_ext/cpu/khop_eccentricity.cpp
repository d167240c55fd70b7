// Largest weighted distance from a node to the nodes of its k-hop ball.
//
// A ball is copied to small arrays while a breadth-first search finds it: its nodes are numbered in the order in which they
// are met, so the ball of fewer hops is a prefix, and distances never touch memory of the size of the graph. Distances are
// the fixed point of d(v) = min d(u) + w(u, v); rounding keeps the order of sums, so every way of reaching the fixed point
// gives the same bits.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr double kFar = std::numeric_limits<double>::infinity();
constexpr int64_t kSourcesPerTask = 64, kSweeps = 64;

struct Roads {
  int64_t N;
  const int64_t* ptr;
  const int32_t* col;
  const double* weight;  // null: every edge counts 1
};

// Nodes that are near in the graph come to lie near in memory: breadth-first order along the edges as stored.
struct Relabelled {
  std::vector<int64_t> ptr;
  std::vector<int32_t> col, old_of, new_of;
  std::vector<double> weight;

  explicit Relabelled(const Roads& g) : ptr(g.N + 1), col(g.ptr[g.N]), new_of(g.N, -1), weight(g.weight ? g.ptr[g.N] : 0) {
    old_of.reserve(g.N);
    for (int64_t root = 0; root < g.N; ++root) {
      if (new_of[root] >= 0) continue;
      new_of[root] = int32_t(old_of.size()), old_of.push_back(int32_t(root));
      for (size_t next = old_of.size() - 1; next < old_of.size(); ++next) {
        const int64_t u = old_of[next];
        for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e)
          if (const int32_t v = g.col[e]; new_of[v] < 0) new_of[v] = int32_t(old_of.size()), old_of.push_back(v);
      }
    }
    int64_t entry = 0;
    for (int64_t u = 0; u < g.N; ++u) {
      for (int64_t e = g.ptr[old_of[u]]; e < g.ptr[old_of[u] + 1]; ++e, ++entry) {
        col[entry] = new_of[g.col[e]];
        if (g.weight) weight[entry] = g.weight[e];
      }
      ptr[u + 1] = entry;
    }
  }
  Roads roads(const Roads& g) const { return {g.N, ptr.data(), col.data(), g.weight ? weight.data() : nullptr}; }
};

struct Arc { double weight; int32_t to; };

// What is reported of one ball.
struct Found { double eccentricity; int64_t size; int32_t farthest; };

class Ball {
 public:
  explicit Ball(const Roads& g) : g_(g), local_(g.N, -1), node_(1024), arc_(4096), first_(1025), distance_(1024), dirty_(16) {}

  // The nodes within `hops` of the source and the edges among them.
  void grow(int32_t source, int64_t hops) {
    node_[0] = source, local_[source] = 0, count_ = 1, arcs_ = 0;
    level_.assign(1, 1);
    int64_t u = 0;
    for (int64_t hop = 0; hop < hops && u < count_; ++hop) {
      for (const int64_t end = count_; u < end; ++u) meet(u);
      if (count_ > u) level_.push_back(count_);
    }
    size_ = count_;
    if (!g_.weight) return;
    for (; u < count_; ++u) close(u);
    first_[count_] = arcs_;
  }
  void clear() {
    for (int64_t k = 0; k < count_; ++k) local_[node_[k]] = -1;
  }
  int64_t size(int64_t hops) const { return level_[std::min<int64_t>(hops, int64_t(level_.size()) - 1)]; }

  Found unweighted(int64_t hops, const int32_t* name) const {
    const int64_t last = std::min<int64_t>(hops, int64_t(level_.size()) - 1), begin = last ? level_[last - 1] : 0;
    int32_t farthest = name[node_[begin]];
    for (int64_t k = begin; k < level_[last]; ++k) farthest = std::min(farthest, name[node_[k]]);
    return {double(last), level_[last], farthest};
  }
  // Paths stay among the first `size` nodes.
  Found inside(int64_t size, const int32_t* name) {
    shortest(size);
    return best(size, name);
  }
  Found best(int64_t size, const int32_t* name) const {
    double most = 0;
    for (int64_t k = 0; k < size; ++k) most = std::max(most, distance_[k]);
    int32_t farthest = std::numeric_limits<int32_t>::max();
    for (int64_t k = 0; k < size; ++k)
      if (distance_[k] == most) farthest = std::min(farthest, name[node_[k]]);
    return {most, size, farthest};
  }
  // Distances in the whole graph, up to the last node of the ball.
  void anywhere() { dijkstra(kFar, size_); }
  // The ball of the nodes within a distance; they come in the order of their distance.
  void within(int32_t source, double radius) {
    node_[0] = source, local_[source] = 0, count_ = size_ = 1;
    dijkstra(radius, std::numeric_limits<int64_t>::max());
  }
  const std::vector<std::pair<double, int32_t>>& settled() const { return settled_; }
  int32_t node(int64_t k) const { return node_[k]; }

 private:
  template <class V> static void room(V& values, int64_t wanted) {
    if (wanted > int64_t(values.size())) values.resize(wanted + wanted / 2);
  }
  // Numbers the neighbours of the u-th node. A known one is written again with its own number: no branch to mispredict.
  void meet(int64_t u) {
    const int64_t node = node_[u], begin = g_.ptr[node], end = g_.ptr[node + 1];
    room(node_, count_ + end - begin + 1);
    int32_t count = int32_t(count_);
    if (!g_.weight) {
      for (int64_t e = begin; e < end; ++e) {
        const int32_t v = g_.col[e], known = local_[v];
        node_[count] = v, local_[v] = known < 0 ? count : known, count += known < 0;
      }
      count_ = count;
      return;
    }
    room(arc_, arcs_ + end - begin), room(first_, count_ + end - begin + 2);
    first_[u] = arcs_;
    for (int64_t e = begin; e < end; ++e) {
      const int32_t v = g_.col[e], known = local_[v], to = known < 0 ? count : known;
      node_[count] = v, local_[v] = to, count += known < 0;
      arc_[arcs_++] = {g_.weight[e], to};
    }
    count_ = count;
  }
  // The edges of a node of the last hop that lead back into the ball.
  void close(int64_t u) {
    const int64_t node = node_[u], begin = g_.ptr[node], end = g_.ptr[node + 1];
    room(arc_, arcs_ + end - begin), room(first_, count_ + 1);
    first_[u] = arcs_;
    for (int64_t e = begin; e < end; ++e) {
      const int32_t to = local_[g_.col[e]];
      arc_[arcs_] = {g_.weight[e], to}, arcs_ += to >= 0;
    }
  }
  // Sweeps in breadth-first order, each over the nodes that came nearer since they were last passed. Streets lead away from
  // the source for the most part, so a few sweeps do; where they do not, Dijkstra's algorithm bounds the work.
  void shortest(int64_t size) {
    room(distance_, size), room(dirty_, size / 64 + 1);
    std::fill_n(distance_.begin(), size, kFar), distance_[0] = 0;
    const int64_t words = size / 64 + 1;
    std::fill_n(dirty_.begin(), words, 0), dirty_[0] = 1;
    double* distance = distance_.data();
    uint64_t* dirty = dirty_.data();
    const Arc* arc = arc_.data();
    for (int64_t sweep = 0, lowest = 0; lowest < words; ++sweep) {
      if (sweep == kSweeps) return among(size);
      int64_t next = words;
      for (int64_t w = lowest; w < words; ++w)
        while (dirty[w]) {
          const int64_t u = w * 64 + __builtin_ctzll(dirty[w]);
          dirty[w] &= dirty[w] - 1;
          const double here = distance[u];
          for (int64_t e = first_[u], end = first_[u + 1]; e < end; ++e) {
            const int64_t v = arc[e].to;
            const double through = here + arc[e].weight;
            if (v < size && through < distance[v]) {
              distance[v] = through, dirty[v >> 6] |= uint64_t(1) << (v & 63);
              if ((v >> 6) < w) next = std::min(next, v >> 6);
            }
          }
        }
      lowest = next;
    }
  }
  using Entry = std::pair<double, int32_t>;
  void push(double distance, int64_t k) {
    heap_.emplace_back(distance, int32_t(k)), std::push_heap(heap_.begin(), heap_.end(), std::greater<Entry>());
  }
  Entry pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<Entry>());
    const Entry entry = heap_.back();
    heap_.pop_back();
    return entry;
  }
  void among(int64_t size) {
    std::fill_n(distance_.begin(), size, kFar), distance_[0] = 0;
    heap_.clear(), push(0, 0);
    while (!heap_.empty()) {
      const auto [here, u] = pop();
      if (here > distance_[u]) continue;
      for (int64_t e = first_[u]; e < first_[u + 1]; ++e) {
        const int32_t v = arc_[e].to;
        if (const double through = here + arc_[e].weight; v < size && through < distance_[v]) distance_[v] = through, push(through, v);
      }
    }
  }
  // Over the whole graph; nodes outside the ball are numbered after it. Ends when `wanted` of the first size_ are settled.
  void dijkstra(double radius, int64_t wanted) {
    room(distance_, count_), std::fill_n(distance_.begin(), count_, kFar), distance_[0] = 0;
    settled_.clear(), heap_.clear(), push(0, 0);
    const int64_t size = size_;
    for (int64_t done = 0; !heap_.empty() && done < wanted;) {
      const auto [here, u] = pop();
      if (here > distance_[u]) continue;
      settled_.emplace_back(here, u), done += u < size;
      const int64_t node = node_[u];
      for (int64_t e = g_.ptr[node]; e < g_.ptr[node + 1]; ++e) {
        const double through = here + g_.weight[e];
        if (through > radius) continue;
        int32_t& v = local_[g_.col[e]];
        if (v < 0) {
          v = int32_t(count_++), room(node_, count_), room(distance_, count_);
          node_[v] = g_.col[e], distance_[v] = kFar;
        }
        if (through < distance_[v]) distance_[v] = through, push(through, v);
      }
    }
  }

  const Roads g_;
  std::vector<int32_t> local_, node_;  // local_: number in the ball, -1 for all other nodes
  std::vector<Arc> arc_;
  std::vector<int64_t> first_, level_;  // level_[h]: how many nodes lie within h hops
  std::vector<double> distance_;
  std::vector<uint64_t> dirty_;
  std::vector<Entry> heap_, settled_;
  int64_t count_ = 0, size_ = 0, arcs_ = 0;
};

struct Wanted { const double* k; int64_t count; bool by_distance, everywhere; };

template <class F> void measure(const Roads& g, Ball& ball, int32_t source, const Wanted& wanted, const int32_t* name, const F& report) {
  double most = 0;
  for (int64_t i = 0; i < wanted.count; ++i) most = std::max(most, wanted.k[i]);
  if (wanted.by_distance) {
    ball.within(source, most);
    const auto& settled = ball.settled();
    for (int64_t i = 0; i < wanted.count; ++i) {
      int64_t end = int64_t(settled.size());
      while (settled[end - 1].first > wanted.k[i]) --end;
      Found found{settled[end - 1].first, end, std::numeric_limits<int32_t>::max()};
      for (; end && settled[end - 1].first == found.eccentricity; --end)
        found.farthest = std::min(found.farthest, name[ball.node(settled[end - 1].second)]);
      report(i, found);
    }
  } else {
    ball.grow(source, int64_t(most));
    if (g.weight && wanted.everywhere) ball.anywhere();
    for (int64_t i = 0; i < wanted.count; ++i) {
      const int64_t hops = int64_t(wanted.k[i]);
      report(i, !g.weight ? ball.unweighted(hops, name) : wanted.everywhere ? ball.best(ball.size(hops), name) : ball.inside(ball.size(hops), name));
    }
  }
  ball.clear();
}

std::tuple<Tensor, Tensor, Tensor> khop_eccentricity(Tensor ptr, Tensor col, std::optional<Tensor> weight, Tensor sources, Tensor k,
                                                     bool by_distance, bool everywhere) {
  STD_TORCH_CHECK(ptr.scalar_type() == ScalarType::Long && ptr.is_contiguous() && ptr.numel() > 0, "ptr must be int64 [N + 1]");
  STD_TORCH_CHECK(col.scalar_type() == ScalarType::Int && col.is_contiguous(), "col must be int32 [E]");
  STD_TORCH_CHECK(sources.scalar_type() == ScalarType::Long && sources.is_contiguous(), "sources must be int64 [S]");
  STD_TORCH_CHECK(k.scalar_type() == ScalarType::Double && k.is_contiguous(), "k must be float64 [K]");
  STD_TORCH_CHECK(!by_distance || weight.has_value(), "distances need weights");
  Roads given{ptr.numel() - 1, static_cast<const int64_t*>(ptr.data_ptr()), static_cast<const int32_t*>(col.data_ptr()), nullptr};
  STD_TORCH_CHECK(given.ptr[0] == 0 && given.ptr[given.N] == col.numel(), "ptr does not belong to col");
  if (weight.has_value()) {
    STD_TORCH_CHECK(weight->scalar_type() == ScalarType::Double && weight->is_contiguous() && weight->numel() == col.numel(),
                    "weight must be float64 [E]");
    given.weight = static_cast<const double*>(weight->data_ptr());
  }
  const int64_t S = sources.numel(), K = k.numel();
  const int64_t* source = static_cast<const int64_t*>(sources.data_ptr());
  for (int64_t s = 0; s < S; ++s) STD_TORCH_CHECK(source[s] >= 0 && source[s] < given.N, "sources hold an id outside [0, N)");
  for (int64_t e = 0; e < col.numel(); ++e) STD_TORCH_CHECK(given.col[e] >= 0 && given.col[e] < given.N, "col holds an id outside [0, N)");
  Tensor eccentricity = torch::stable::new_empty(ptr, {K, S}, ScalarType::Double);
  Tensor size = torch::stable::new_empty(ptr, {K, S}, ScalarType::Long), farthest = torch::stable::new_empty(ptr, {K, S}, ScalarType::Long);
  double* to = static_cast<double*>(eccentricity.data_ptr());
  int64_t *sizes = static_cast<int64_t*>(size.data_ptr()), *ends = static_cast<int64_t*>(farthest.data_ptr());

  // a renumbering passes over the whole graph: not worth it for a few sources
  std::unique_ptr<Relabelled> near;
  std::vector<int32_t> order(S), same;
  for (int64_t s = 0; s < S; ++s) order[s] = int32_t(s);
  if (S >= given.N / 64) {
    near.reset(new Relabelled(given));
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return std::pair(near->new_of[source[a]], a) < std::pair(near->new_of[source[b]], b);
    });
  } else {
    same.resize(given.N);
    for (int64_t v = 0; v < given.N; ++v) same[v] = int32_t(v);
  }
  const Roads g = near ? near->roads(given) : given;
  const int32_t* name = near ? near->old_of.data() : same.data();
  const Wanted wanted{static_cast<const double*>(k.data_ptr()), K, by_distance, everywhere};

  const int64_t tasks = (S + kSourcesPerTask - 1) / kSourcesPerTask, slots = task_slots(tasks);
  std::vector<std::unique_ptr<Ball>> balls(slots);
  for (auto& ball : balls) ball.reset(new Ball(g));
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    for (int64_t i = task * kSourcesPerTask; i < std::min(S, (task + 1) * kSourcesPerTask); ++i) {
      const int64_t s = order[i];
      const int32_t from = near ? near->new_of[source[s]] : int32_t(source[s]);
      measure(g, *balls[slot], from, wanted, name, [&](int64_t which, const Found& found) {
        to[which * S + s] = found.eccentricity, sizes[which * S + s] = found.size, ends[which * S + s] = found.farthest;
      });
    }
  });
  return {eccentricity, size, farthest};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("khop_eccentricity", TORCH_BOX(&khop_eccentricity));
}

}  // namespace graphkit
