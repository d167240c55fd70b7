// Overlap of the walks of two nodes: <U_i, W_j> with U_i the discounted walk counts of i and W_j the discounted reach of j.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "concentration.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kNodesAtOnce = 8;

double sum_at(const double* values, const int32_t* nodes, int64_t count) {
  double sum[4] = {0, 0, 0, 0};
  int64_t k = 0;
  for (; k + 4 <= count; k += 4)
    for (int64_t lane = 0; lane < 4; ++lane) sum[lane] += values[nodes[k + lane]];
  for (; k < count; ++k) sum[0] += values[nodes[k]];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// The edge that no walk may take.
struct Closed {
  int64_t i = -1, j = -1;
  bool at(int64_t v) const { return v == i || v == j; }
  bool is(int64_t v, int64_t u) const { return (v == i && u == j) || (v == j && u == i); }
};

// f(u) for the neighbours u of v that one step reaches.
template <class F> void step(const Rows& g, const Closed& closed, int64_t v, const F& f) {
  if (!closed.at(v)) {
    for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) f(g.col[e]);
    return;
  }
  for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e)
    if (!closed.is(v, g.col[e])) f(g.col[e]);
}

// Dense sums over the walks that leave one node, made again for the next one.
class Walks {
 public:
  explicit Walks(int64_t N) : sum_(N), now_(N), next_(N), here_(N + 1), there_(N + 1), met_(N + 1) {}

  // U = sum_a beta^(a-1) (walks of a steps), and how many walks of each length there are.
  void count(const Rows& g, int64_t from, int64_t hops, double beta, const Closed& closed = {}, double* sizes = nullptr) {
    clear();
    int64_t count = 0;
    step(g, closed, from, [&](int32_t u) { here_[count++] = u, now_[u] = 1; });
    double discount = 1;
    for (int64_t a = 1;; ++a, discount *= beta) {
      double walks = 0;
      for (int64_t k = 0; k < count; ++k) {
        const int32_t u = here_[k];
        walks += now_[u];
        if (discount > 0) met_[met_count_] = u, met_count_ += sum_[u] == 0, sum_[u] += discount * now_[u];
      }
      total_ += discount * walks;
      if (sizes) sizes[a - 1] = walks;
      if (a == hops) break;
      int64_t reached = 0;
      for (int64_t k = 0; k < count; ++k) {
        const double ways = now_[here_[k]];
        step(g, closed, here_[k], [&](int32_t u) { there_[reached] = u, reached += next_[u] == 0, next_[u] += ways; });
      }
      for (int64_t k = 0; k < count; ++k) now_[here_[k]] = 0;
      std::swap(now_, next_), std::swap(here_, there_), count = reached;
    }
    for (int64_t k = 0; k < count; ++k) now_[here_[k]] = 0;
  }
  const double* sum() const { return sum_.data(); }
  double total() const { return total_; }

 private:
  void clear() {
    for (int64_t k = 0; k < met_count_; ++k) sum_[met_[k]] = 0;
    met_count_ = 0, total_ = 0;
  }
  std::vector<double> sum_, now_, next_;  // all zero between two levels but for sum_
  std::vector<int32_t> here_, there_, met_;
  int64_t met_count_ = 0;
  double total_ = 0;
};

// The nodes that walks of exactly b steps reach, b = 1, 2, ...
class Reach {
 public:
  explicit Reach(int64_t N) : N_(N), marks_((N + 63) / 64), here_(N + 1), there_(N + 1) {}

  void start(const Rows& g, int64_t from, const Closed& closed = {}) {
    count_ = 0;
    step(g, closed, from, [&](int32_t u) { here_[count_++] = u; });
  }
  void advance(const Rows& g, const Closed& closed = {}) {
    int64_t reached = 0;
    for (int64_t k = 0; k < count_; ++k)
      step(g, closed, here_[k], [&](int32_t u) {
        uint64_t& word = marks_[u >> 6];
        const uint64_t bit = uint64_t(1) << (u & 63);
        there_[reached] = u, reached += !(word & bit), word |= bit;
      });
    std::swap(here_, there_), count_ = reached;
    for (int64_t k = 0; k < count_; ++k) marks_[here_[k] >> 6] = 0;
  }
  int64_t count() const { return count_; }
  const int32_t* nodes() const { return here_.data(); }

  // The nodes themselves or, where these are fewer, all others; sorted if they are many, so that sums read memory in order.
  // Returns how many; negative for the others, minus one: -1 stands for none.
  int64_t write(int32_t* to) {
    const bool others = count_ > N_ / 2;
    if (!others && count_ < N_ / 64) {
      std::copy_n(here_.data(), count_, to);
      return count_;
    }
    for (int64_t k = 0; k < count_; ++k) marks_[here_[k] >> 6] |= uint64_t(1) << (here_[k] & 63);
    int64_t written = 0;
    for (int64_t w = 0; w < int64_t(marks_.size()); ++w) {
      uint64_t word = others ? ~marks_[w] : marks_[w];
      if (others && w == N_ / 64) word &= (uint64_t(1) << (N_ & 63)) - 1;
      for (; word; word &= word - 1) to[written++] = int32_t(w * 64 + __builtin_ctzll(word));
      marks_[w] = 0;
    }
    return others ? -written - 1 : written;
  }

 private:
  int64_t N_, count_ = 0;
  std::vector<uint64_t> marks_;
  std::vector<int32_t> here_, there_;
};

// Targets [first, last) whose reach is in memory at once.
struct Block { int64_t first, last; };

// <U_i, W_j> for every entry (i, j) of the pairs. Targets are taken in blocks whose reach fits into `memory` bytes (one
// target at least); for each block, the walks of every source that has a pair there are counted once, into a dense array.
Tensor walk_overlap(Tensor ptr, Tensor col, Tensor pair_ptr, Tensor pair_col, int64_t hops, double beta, int64_t memory) {
  const Rows g = rows_of(ptr, col), pairs = rows_of(pair_ptr, pair_col);
  STD_TORCH_CHECK(g.N == pairs.N, "graph and pairs must have the same nodes");
  STD_TORCH_CHECK(hops >= 1 && beta >= 0, "hops must be at least 1, beta at least 0");
  const int64_t N = g.N, levels = hops - 1;
  Tensor out = torch::stable::new_empty(ptr, {pairs.entries}, ScalarType::Double);
  double* to = static_cast<double*>(out.data_ptr());

  std::vector<uint8_t> wanted(N);
  for (int64_t e = 0; e < pairs.entries; ++e) wanted[pairs.col[e]] = 1;
  std::vector<int64_t> room(N + 1);  // entries that the reach of the targets before each may take
  for (int64_t j = 0; j < N; ++j) {
    int64_t bound = 0;
    if (wanted[j] && levels) {
      for (int64_t e = g.ptr[j]; e < g.ptr[j + 1]; ++e) bound += g.degree(g.col[e]);
      bound = std::min(bound, N / 2 + 1) + (levels - 1) * (N / 2 + 1);
    }
    room[j + 1] = room[j] + bound;
  }
  std::vector<Block> blocks;
  const int64_t fits = std::max<int64_t>(memory / 4, 1);
  for (int64_t first = 0; first < N;) {
    const int64_t last = std::max<int64_t>(first + 1, std::upper_bound(room.begin() + first, room.end(), room[first] + fits) - room.begin() - 1);
    blocks.push_back({first, last});
    first = last;
  }
  int64_t most = 0;
  for (const Block& block : blocks) most = std::max(most, room[block.last] - room[block.first]);
  std::unique_ptr<int32_t[]> reached(new int32_t[most + 1]);
  std::vector<int64_t> sizes(N * levels);

  const int64_t tasks = (N + kNodesAtOnce - 1) / kNodesAtOnce, slots = task_slots(tasks);
  std::vector<std::unique_ptr<Walks>> walks(slots);
  std::vector<std::unique_ptr<Reach>> reach(slots);
  for (const Block& block : blocks) {
    if (levels)
      run_tasks((block.last - block.first + kNodesAtOnce - 1) / kNodesAtOnce, slots, [&](int64_t task, int64_t slot) {
        if (!reach[slot]) reach[slot].reset(new Reach(N));
        Reach& r = *reach[slot];
        const int64_t end = std::min(block.last, block.first + (task + 1) * kNodesAtOnce);
        for (int64_t j = block.first + task * kNodesAtOnce; j < end; ++j) {
          if (!wanted[j]) continue;
          int32_t* put = reached.get() + room[j] - room[block.first];
          r.start(g, j);
          for (int64_t b = 0; b < levels; ++b) {
            r.advance(g);
            const int64_t size = sizes[j * levels + b] = r.write(put);
            put += size < 0 ? -size - 1 : size;
          }
        }
      });
    run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
      const int64_t end = std::min(N, (task + 1) * kNodesAtOnce);
      for (int64_t i = task * kNodesAtOnce; i < end; ++i) {
        const int32_t *row = pairs.col + pairs.ptr[i], *row_end = pairs.col + pairs.ptr[i + 1];
        const int32_t* from = block.first == 0 ? row : std::lower_bound(row, row_end, int32_t(block.first));
        if (from == row_end || *from >= block.last) continue;
        if (!walks[slot]) walks[slot].reset(new Walks(N));
        Walks& w = *walks[slot];
        w.count(g, i, hops, beta);
        for (; from != row_end && *from < block.last; ++from) {
          const int64_t j = *from;
          double sum = sum_at(w.sum(), g.col + g.ptr[j], g.degree(j)), discount = beta;
          const int32_t* nodes = reached.get() + room[j] - room[block.first];
          for (int64_t b = 0; b < levels; ++b, discount *= beta) {
            const int64_t size = sizes[j * levels + b], count = size < 0 ? -size - 1 : size;
            const double part = sum_at(w.sum(), nodes, count);
            sum += discount * (size < 0 ? w.total() - part : part);
            nodes += count;
          }
          to[from - pairs.col] = sum;
        }
      }
    });
  }
  return out;
}

// The same for every entry (i, j) of the graph itself, over the walks that do not take that edge, and the number of such
// walks of each length that leave i. Every pair has a graph of its own, so nothing is shared between pairs.
std::tuple<Tensor, Tensor> walk_overlap_apart(Tensor ptr, Tensor col, int64_t hops, double beta) {
  const Rows g = rows_of(ptr, col);
  STD_TORCH_CHECK(hops >= 1 && beta >= 0, "hops must be at least 1, beta at least 0");
  Tensor out = torch::stable::new_empty(ptr, {g.entries}, ScalarType::Double);
  Tensor lengths = torch::stable::new_empty(ptr, {g.entries, hops}, ScalarType::Double);
  double *to = static_cast<double*>(out.data_ptr()), *size = static_cast<double*>(lengths.data_ptr());
  const int64_t tasks = (g.N + kNodesAtOnce - 1) / kNodesAtOnce, slots = task_slots(tasks);
  std::vector<std::unique_ptr<Walks>> walks(slots);
  std::vector<std::unique_ptr<Reach>> reach(slots);
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    if (!walks[slot]) walks[slot].reset(new Walks(g.N)), reach[slot].reset(new Reach(g.N));
    Walks& w = *walks[slot];
    Reach& r = *reach[slot];
    const int64_t end = std::min(g.N, (task + 1) * kNodesAtOnce);
    for (int64_t i = task * kNodesAtOnce; i < end; ++i)
      for (int64_t e = g.ptr[i]; e < g.ptr[i + 1]; ++e) {
        const Closed closed{i, g.col[e]};
        w.count(g, i, hops, beta, closed, size + e * hops);
        r.start(g, closed.j, closed);
        double sum = 0, discount = 1;
        for (int64_t b = 1;; ++b, discount *= beta) {
          sum += discount * sum_at(w.sum(), r.nodes(), r.count());
          if (b == hops) break;
          r.advance(g, closed);
        }
        to[e] = sum;
      }
  });
  return {out, lengths};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("walk_overlap", TORCH_BOX(&walk_overlap));
  library.impl("walk_overlap_apart", TORCH_BOX(&walk_overlap_apart));
}

}  // namespace graphkit
