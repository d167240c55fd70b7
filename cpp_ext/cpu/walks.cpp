// Random walks and the sets of nodes they visit: checks, memory, threads. What a walk is stands in walks.h.
#include "walks.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "large_pages.h"
#include "node_set.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kWalksInTask = 2048;

const int64_t* longs(const Tensor& t, const char* name) {
  STD_TORCH_CHECK(t.dim() == 1 && t.scalar_type() == ScalarType::Long && t.is_contiguous(), name, " must be contiguous int64 of one dimension");
  return static_cast<const int64_t*>(t.data_ptr());
}

WalkRows rows_of(const Tensor& ptr, const Tensor& col) {
  WalkRows g{ptr.numel() - 1, col.numel(), longs(ptr, "ptr"), nullptr};
  STD_TORCH_CHECK(col.dim() == 1 && col.scalar_type() == ScalarType::Int && col.is_contiguous(), "col must be contiguous int32 of one dimension");
  STD_TORCH_CHECK(g.N >= 0 && g.ptr[0] == 0 && g.ptr[g.N] == g.entries, "ptr does not belong to col");
  g.col = static_cast<const int32_t*>(col.data_ptr());
  return g;
}

WalkDraws draws_of(const WalkRows& g, const Tensor& start, const std::optional<Tensor>& key, int64_t seed, int64_t counter) {
  const int64_t* node = longs(start, "start");
  for (int64_t s = 0; s < start.numel(); ++s) STD_TORCH_CHECK(node[s] >= 0 && node[s] < g.N, "start holds an id outside [0, num_nodes)");
  STD_TORCH_CHECK(counter >= 0 && counter < int64_t(1) << 32, "counter must lie in [0, 2^32)");
  if (key) STD_TORCH_CHECK(key->numel() == g.N, "key must hold one number for each node");
  return {uint64_t(seed), uint32_t(counter), key ? longs(*key, "key") : nullptr};
}

void check_limits(int64_t length, int64_t walks, int64_t repeats, int64_t most_repeats) {
  STD_TORCH_CHECK(length >= 0 && length <= 255 && walks >= 1 && walks <= 4096 && repeats >= 0 && repeats <= most_repeats,
                  "walks have at most 255 steps, 4096 walks and 4096 repeats");
}

Tensor sample_walks(Tensor ptr, Tensor col, Tensor start, std::optional<Tensor> key, int64_t length, int64_t walks, int64_t repeat,
                    int64_t seed, int64_t counter) {
  const WalkRows g = rows_of(ptr, col);
  check_limits(length, walks, repeat, 4095);
  const WalkDraws draws = draws_of(g, start, key, seed, counter);
  const int64_t total = start.numel() * walks;
  const int64_t* from = static_cast<const int64_t*>(start.data_ptr());
  Tensor out = torch::stable::new_empty(start, {start.numel(), walks, length + 1});
  int64_t* to = static_cast<int64_t*>(out.data_ptr());
  ask_for_large_pages(to, total * (length + 1) * 8);
  const int64_t tasks = (total + kWalksInTask - 1) / kWalksInTask;
  run_tasks(tasks, task_slots(tasks), [&](int64_t task, int64_t) {
    WalkBatch<int64_t> batch(g, draws);
    const int64_t begin = task * kWalksInTask, end = std::min(total, begin + kWalksInTask);
    int64_t s = begin / walks, walk = begin % walks;
    for (int64_t k = begin; k < end; ++k) {
      batch.add(from[s], WalkDraws::name(length, repeat, walk), length, to + k * (length + 1));
      if (batch.room() == 0) batch.run();
      if (++walk == walks) walk = 0, ++s;
    }
    batch.run();
  });
  return out;
}

// ---- tokens ---------------------------------------------------------------------------------------------------

// Token t belongs to node t / (m s); its slot t % (m s) counts from the longest walks to the shortest, from the last repeat to the first.
struct Slots {
  int64_t longest, walks, repeats;

  int64_t per_start() const { return longest * repeats; }
  int64_t length(int64_t token) const { return longest - token % per_start() / repeats; }
  int64_t repeat(int64_t token) const { return repeats - 1 - token % repeats; }
};

// One thread's memory for tokens: walks of a few tokens at a time, and the set of nodes met.
class TokenScratch {
 public:
  TokenScratch(const WalkRows& g, const WalkDraws& draws, const Slots& slots, const int64_t* start)
      : batch_(g, draws), slots_(slots), start_(start),
        together_(std::max<int64_t>(1, WalkBatch<int32_t>::kMost / slots.walks)),
        trace_(together_ * slots.walks * (slots.longest + 1)), set_(1 + slots.walks * slots.longest), order_(together_) {}

  // Tokens [begin, end): their sizes to `size`, their nodes to `nodes`, their walks to `kept` if it is not null.
  void make(int64_t begin, int64_t end, int64_t* size, std::vector<int32_t>& nodes, int64_t* kept) {
    nodes_.resize((end - begin) * (1 + slots_.walks * slots_.longest));
    int32_t* to = nodes_.data();
    for (int64_t first = begin; first < end; first += together_) {
      const int64_t last = std::min(end, first + together_);
      walk(first, last);
      for (int64_t t = first; t < last; ++t) {
        size[t] = visited(t, trace_of(t - first), to);
        to += size[t];
        if (kept) keep(t, trace_of(t - first), kept + t * slots_.walks * (slots_.longest + 1));
      }
    }
    nodes.assign(nodes_.data(), to);
  }

 private:
  int32_t* trace_of(int64_t place) { return trace_.data() + place * slots_.walks * (slots_.longest + 1); }

  void walk(int64_t first, int64_t last) {
    // by falling length, as a batch wants them; the lengths in a row of tokens fall but for the borders between nodes
    const int64_t count = last - first;
    for (int64_t k = 0; k < count; ++k) order_[k] = first + k;
    if (first / slots_.per_start() != (last - 1) / slots_.per_start())
      std::stable_sort(order_.begin(), order_.begin() + count, [&](int64_t a, int64_t b) { return slots_.length(a) > slots_.length(b); });
    for (int64_t k = 0; k < count; ++k) {
      const int64_t t = order_[k], length = slots_.length(t), repeat = slots_.repeat(t), from = start_[t / slots_.per_start()];
      int32_t* to = trace_of(t - first);
      for (int64_t w = 0; w < slots_.walks; ++w) {
        if (batch_.room() == 0) batch_.run();
        batch_.add(from, WalkDraws::name(length, repeat, w), length, to + w * (length + 1));
      }
    }
    batch_.run();
  }

  int64_t visited(int64_t t, const int32_t* trace, int32_t* to) {
    const int64_t length = slots_.length(t);
    set_.clear();
    set_.insert(trace[0]), to[0] = trace[0];
    int64_t count = 1;
    for (int64_t w = 0; w < slots_.walks; ++w)
      for (int64_t step = 1; step <= length; ++step) {
        const int32_t node = trace[w * (length + 1) + step];
        to[count] = node, count += set_.insert(node);
      }
    return count;
  }

  void keep(int64_t t, const int32_t* trace, int64_t* to) {
    const int64_t length = slots_.length(t);
    for (int64_t w = 0; w < slots_.walks; ++w)
      for (int64_t step = 0; step <= slots_.longest; ++step) *to++ = step <= length ? trace[w * (length + 1) + step] : -1;
  }

  WalkBatch<int32_t> batch_;
  const Slots slots_;
  const int64_t* start_;
  const int64_t together_;  // tokens whose walks are in memory at once
  std::vector<int32_t> trace_, nodes_;
  NodeSet set_;
  std::vector<int64_t> order_;
};

std::tuple<Tensor, Tensor, Tensor> walk_tokens(Tensor ptr, Tensor col, Tensor start, std::optional<Tensor> key, int64_t longest,
                                               int64_t walks, int64_t repeats, int64_t seed, int64_t counter, bool keep_walks) {
  const WalkRows g = rows_of(ptr, col);
  check_limits(longest, walks, repeats, 4096);
  const WalkDraws draws = draws_of(g, start, key, seed, counter);
  const Slots slots{longest, walks, repeats};
  const int64_t S = start.numel(), tokens = S * slots.per_start();
  const int64_t* from = static_cast<const int64_t*>(start.data_ptr());
  Tensor kept = torch::stable::new_empty(start, {keep_walks ? S : 0, slots.per_start(), walks, longest + 1});
  int64_t* walks_to = keep_walks ? static_cast<int64_t*>(kept.data_ptr()) : nullptr;
  if (keep_walks) ask_for_large_pages(walks_to, kept.numel() * 8);
  Tensor token_ptr = torch::stable::new_empty(start, {tokens + 1});
  int64_t* border = static_cast<int64_t*>(token_ptr.data_ptr());
  border[0] = 0;

  // a task makes about as many walks, whatever their number for a token; its nodes wait until the places of all are known
  const int64_t in_task = std::max<int64_t>(1, kWalksInTask / walks), tasks = (tokens + in_task - 1) / in_task, workers = task_slots(tasks);
  std::vector<std::unique_ptr<TokenScratch>> scratch(workers);
  std::vector<std::vector<int32_t>> found(tasks);
  run_tasks(tasks, workers, [&](int64_t task, int64_t slot) {
    if (!scratch[slot]) scratch[slot].reset(new TokenScratch(g, draws, slots, from));
    scratch[slot]->make(task * in_task, std::min(tokens, (task + 1) * in_task), border + 1, found[task], walks_to);
  });
  for (int64_t t = 0; t < tokens; ++t) border[t + 1] += border[t];
  Tensor nodes = torch::stable::new_empty(start, {border[tokens]});
  int64_t* to = static_cast<int64_t*>(nodes.data_ptr());
  ask_for_large_pages(to, border[tokens] * 8);
  run_tasks(tasks, workers, [&](int64_t task, int64_t) {
    std::copy(found[task].begin(), found[task].end(), to + border[task * in_task]);
    std::vector<int32_t>().swap(found[task]);
  });
  return {token_ptr, nodes, kept};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("sample_walks", TORCH_BOX(&sample_walks));
  library.impl("walk_tokens", TORCH_BOX(&walk_tokens));
}

}  // namespace graphkit
