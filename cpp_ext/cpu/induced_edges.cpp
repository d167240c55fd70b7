// The edges among the nodes of many small sets. A set costs its nodes and rows; no mask over the graph is made.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <tuple>
#include <vector>

#include "large_pages.h"
#include "node_set.h"
#include "tasks.h"
#include "walks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kNodesInTask = 2048;

struct InducedEdge {
  int32_t source, target, entry;  // places in the set, and the entry of the row
};

// Bits that say "perhaps": most nodes outside a set are told by one read.
class NodeFilter {
 public:
  void start(int64_t nodes) {
    int bits = 9;
    while ((int64_t(1) << bits) < 32 * nodes && bits < 20) ++bits;
    shift_ = 32 - bits;
    words_.assign(size_t(1) << (bits - 6), 0);
  }
  void insert(int32_t node) {
    const uint32_t bit = hash(node);
    words_[bit >> 6] |= uint64_t(1) << (bit & 63);
  }
  bool perhaps(int32_t node) const {
    const uint32_t bit = hash(node);
    return words_[bit >> 6] >> (bit & 63) & 1;
  }

 private:
  uint32_t hash(int32_t node) const { return uint32_t(node) * 0x9E3779B1u >> shift_; }
  std::vector<uint64_t> words_;
  int shift_ = 23;
};

class InducedScratch {
 public:
  explicit InducedScratch(const WalkRows& g) : g_(g), set_(64) {}

  // Edges of one set behind `to`; false if a node is in it twice.
  bool find(const int64_t* nodes, int64_t count, std::vector<InducedEdge>& to) {
    set_.reserve(count), set_.clear(), filter_.start(count);
    bool different = true;
    for (int64_t k = 0; k < count; ++k) {
      prefetch(g_.ptr + nodes[k]);
      different &= set_.insert(int32_t(nodes[k]), int32_t(k));
      filter_.insert(int32_t(nodes[k]));
    }
    for (int64_t k = 0; k < count; ++k) {
      if (k + 2 < count) prefetch(g_.col + g_.ptr[nodes[k + 2]]);
      const int64_t degree = g_.ptr[nodes[k] + 1] - g_.ptr[nodes[k]];
      // a bisection costs about four times what a look at the next entry does
      if (degree > 4 * count * int64_t(std::bit_width(uint64_t(degree) + 2))) bisect(nodes, count, k, to); else scan(nodes[k], k, to);
    }
    return different;
  }

 private:
  void scan(int64_t node, int64_t place, std::vector<InducedEdge>& to) {
    const int64_t begin = int64_t(to.size());
    bool sorted = true;
    int32_t before = -1;
    for (int64_t e = g_.ptr[node]; e < g_.ptr[node + 1]; ++e) {
      if (!filter_.perhaps(g_.col[e])) continue;
      const int32_t target = set_.find(g_.col[e]);
      if (target < 0) continue;
      sorted &= target >= before, before = target;
      to.push_back({int32_t(place), target, int32_t(e)});
    }
    if (!sorted)
      std::sort(to.begin() + begin, to.end(), [](const InducedEdge& a, const InducedEdge& b) {
        return a.target != b.target ? a.target < b.target : a.entry < b.entry;
      });
  }

  void bisect(const int64_t* nodes, int64_t count, int64_t place, std::vector<InducedEdge>& to) {
    const int32_t *begin = g_.col + g_.ptr[nodes[place]], *end = g_.col + g_.ptr[nodes[place] + 1];
    for (int64_t k = 0; k < count; ++k) {
      const int32_t node = int32_t(nodes[k]);
      for (const int32_t* at = std::lower_bound(begin, end, node); at != end && *at == node; ++at)
        to.push_back({int32_t(place), int32_t(k), int32_t(at - g_.col)});
    }
  }

  const WalkRows g_;
  NodeSet set_;
  NodeFilter filter_;
};

const int64_t* longs(const Tensor& t, const char* name) {
  STD_TORCH_CHECK(t.dim() == 1 && t.scalar_type() == ScalarType::Long && t.is_contiguous(), name, " must be contiguous int64 of one dimension");
  return static_cast<const int64_t*>(t.data_ptr());
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> induced_edges(Tensor ptr, Tensor col, Tensor edge, Tensor set_ptr, Tensor nodes) {
  STD_TORCH_CHECK(col.dim() == 1 && col.scalar_type() == ScalarType::Int && col.is_contiguous(), "col must be contiguous int32 of one dimension");
  const WalkRows g{ptr.numel() - 1, col.numel(), longs(ptr, "ptr"), static_cast<const int32_t*>(col.data_ptr())};
  STD_TORCH_CHECK(g.N >= 0 && g.ptr[0] == 0 && g.ptr[g.N] == g.entries && edge.numel() == g.entries, "ptr and edge do not belong to col");
  const int64_t *edge_of = longs(edge, "edge"), *border = longs(set_ptr, "set_ptr"), *node = longs(nodes, "nodes");
  const int64_t sets = set_ptr.numel() - 1, K = nodes.numel();
  STD_TORCH_CHECK(sets >= 0 && border[0] == 0 && border[sets] == K, "set_ptr does not belong to nodes");
  for (int64_t s = 0; s < sets; ++s) STD_TORCH_CHECK(border[s] <= border[s + 1], "set_ptr does not rise");
  for (int64_t k = 0; k < K; ++k) STD_TORCH_CHECK(node[k] >= 0 && node[k] < g.N, "nodes hold an id outside [0, num_nodes)");

  // sets that begin among the same nodes make a task: the cut does not depend on the number of threads
  std::vector<int64_t> cut{0};
  for (int64_t s = 1; s < sets; ++s)
    if (border[s] + s >= border[cut.back()] + cut.back() + kNodesInTask) cut.push_back(s);
  if (sets > 0) cut.push_back(sets);
  const int64_t tasks = int64_t(cut.size()) - 1, workers = task_slots(tasks);

  Tensor edge_ptr = torch::stable::new_empty(set_ptr, {sets + 1});
  int64_t* first = static_cast<int64_t*>(edge_ptr.data_ptr());
  first[0] = 0;
  std::vector<std::unique_ptr<InducedScratch>> scratch(workers);
  std::vector<std::vector<InducedEdge>> found(tasks);
  std::vector<int64_t> twice(tasks, -1);
  run_tasks(tasks, workers, [&](int64_t task, int64_t slot) {
    if (!scratch[slot]) scratch[slot].reset(new InducedScratch(g));
    for (int64_t s = cut[task]; s < cut[task + 1]; ++s) {
      const int64_t before = int64_t(found[task].size());
      const bool different = scratch[slot]->find(node + border[s], border[s + 1] - border[s], found[task]);
      if (!different && twice[task] < 0) twice[task] = s;
      first[s + 1] = int64_t(found[task].size()) - before;
    }
    found[task].shrink_to_fit();
  });
  for (int64_t s = 0; s < sets; ++s) first[s + 1] += first[s];

  Tensor columns[3];
  int64_t* to[3];
  for (int c = 0; c < 3; ++c) {
    columns[c] = torch::stable::new_empty(nodes, {first[sets]});
    to[c] = static_cast<int64_t*>(columns[c].data_ptr());
    ask_for_large_pages(to[c], first[sets] * 8);
  }
  run_tasks(tasks, workers, [&](int64_t task, int64_t) {
    int64_t at = first[cut[task]];
    for (const InducedEdge& e : found[task]) to[0][at] = e.source, to[1][at] = e.target, to[2][at++] = edge_of[e.entry];
    std::vector<InducedEdge>().swap(found[task]);
  });
  Tensor repeated = torch::stable::new_empty(nodes, {});
  int64_t* told = static_cast<int64_t*>(repeated.data_ptr());
  *told = -1;
  for (int64_t task = tasks; task-- > 0;)
    if (twice[task] >= 0) *told = twice[task];
  return {edge_ptr, columns[0], columns[1], columns[2], repeated};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) { library.impl("induced_edges", TORCH_BOX(&induced_edges)); }

}  // namespace graphkit
