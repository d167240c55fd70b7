// The edges among the nodes of many small sets. A set costs its nodes and rows; no mask over the graph is made.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <tuple>
#include <vector>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#endif

#include "isa.h"
#include "large_pages.h"
#include "node_set.h"
#include "tasks.h"
#include "walks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kNodesInTask = 2048, kBisect = 2;

struct InducedEdge {
  int32_t source, target, entry;  // places in the set, and the entry of the row
};

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define GK_TARGET __attribute__((target("avx512f,avx512bw,avx512vbmi,bmi")))

bool has_byte_permutes() {
  static const bool found = isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vbmi");
  return found;
}

// As NodeFilter::sift, for 2,048 marks that stand in four registers as bits: 64 nodes are looked up in step. The hash is the same,
// its first eight bits the byte and the next three the bit.
GK_TARGET int64_t sift_by_permutes(const uint8_t* bits, uint32_t factor, const int32_t* nodes, int64_t count, int32_t* to) {
  alignas(64) static constexpr auto first_bytes = [] {  // the highest byte of each of 32 words of four, then the one below
    std::array<uint8_t, 64> place{};
    for (int k = 0; k < 32; ++k) place[k] = uint8_t(4 * k + 3), place[32 + k] = uint8_t(4 * k + 2);
    return place;
  }();
  alignas(16) static constexpr uint8_t powers[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const __m512i table[4] = {_mm512_loadu_si512(bits), _mm512_loadu_si512(bits + 64), _mm512_loadu_si512(bits + 128), _mm512_loadu_si512(bits + 192)};
  const __m512i order = _mm512_load_si512(first_bytes.data()), times = _mm512_set1_epi32(int32_t(factor));
  const __m512i power = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(powers))), low = _mm512_set1_epi8(7);
  int64_t found = 0;
  for (int64_t e = 0; e < count; e += 64) {
    const uint64_t inside = count - e < 64 ? (uint64_t(1) << (count - e)) - 1 : ~uint64_t(0);
    __m512i hash[4];
    for (int k = 0; k < 4; ++k) hash[k] = _mm512_mullo_epi32(_mm512_maskz_loadu_epi32(__mmask16(inside >> 16 * k), nodes + e + 16 * k), times);
    const __m512i one = _mm512_permutex2var_epi8(hash[0], order, hash[1]), two = _mm512_permutex2var_epi8(hash[2], order, hash[3]);
    const __m512i byte = _mm512_shuffle_i64x2(one, two, 0x44), rest = _mm512_shuffle_i64x2(one, two, 0xee);
    const __m512i marks = _mm512_mask_blend_epi8(_mm512_movepi8_mask(byte), _mm512_permutex2var_epi8(table[0], byte, table[1]),
                                                 _mm512_permutex2var_epi8(table[2], byte, table[3]));
    const __m512i bit = _mm512_shuffle_epi8(power, _mm512_and_si512(_mm512_srli_epi16(rest, 5), low));
    for (uint64_t hits = _mm512_test_epi8_mask(marks, bit) & inside; hits; hits &= hits - 1) to[found++] = int32_t(e + std::countr_zero(hits));
  }
  return found;
}
#else
bool has_byte_permutes() { return false; }
int64_t sift_by_permutes(const uint8_t*, uint32_t, const int32_t*, int64_t, int32_t*) { return 0; }
#endif

// Marks that say "perhaps": most nodes outside a set are told by one read. Small sets have small tables, which stay in the cache;
// where a processor looks bytes up in registers, it asks a smaller table there first.
class NodeFilter {
 public:
  void start(const int64_t* nodes, int64_t count) {
    in_registers_ = count <= kFewest && has_byte_permutes();
    bits_ = count <= kFewest ? kSmall : count <= 4096 ? kMiddle : kLarge;
    if (marks_.size() < size_t(1) << bits_) marks_.resize(size_t(1) << bits_);
    for (int64_t k = 0; k < count; ++k) marks_[place(nodes[k], bits_)] = 1;
    if (in_registers_)
      for (int64_t k = 0; k < count; ++k) few_[few_hash(nodes[k]) >> 24] |= uint8_t(1 << (few_hash(nodes[k]) >> 21 & 7));
  }
  void finish(const int64_t* nodes, int64_t count) {
    for (int64_t k = 0; k < count; ++k) marks_[place(nodes[k], bits_)] = 0;
    if (in_registers_) std::fill(std::begin(few_), std::end(few_), uint8_t(0));
  }
  // Which of `count` nodes may be in the set; returns how many.
  int64_t sift(const int32_t* nodes, int64_t count, int32_t* to) const {
    if (!in_registers_) return bits_ == kSmall ? sift<kSmall>(nodes, count, to) : bits_ == kMiddle ? sift<kMiddle>(nodes, count, to) : sift<kLarge>(nodes, count, to);
    const int64_t perhaps = sift_by_permutes(few_, kFewFactor, nodes, count, to);
    int64_t found = 0;
    for (int64_t k = 0; k < perhaps; ++k) {
      const int32_t e = to[k];
      to[found] = e, found += marks_[place(nodes[e], kSmall)];
    }
    return found;
  }

 private:
  static constexpr int64_t kFewest = 256;
  static constexpr int kSmall = 12, kMiddle = 16, kLarge = 20;
  static constexpr uint32_t kFactor = 0x9E3779B1u, kFewFactor = 0x85EBCA77u;  // two, so that what one table mistakes the other tells

  static uint32_t place(int64_t node, int bits) { return uint32_t(node) * kFactor >> (32 - bits); }
  static uint32_t few_hash(int64_t node) { return uint32_t(node) * kFewFactor; }

  // No branch on the answer: nobody could foresee it.
  template <int kBits> int64_t sift(const int32_t* nodes, int64_t count, int32_t* to) const {
    const uint8_t* marks = marks_.data();
    int64_t found = 0;
    for (int64_t e = 0; e < count; ++e) to[found] = int32_t(e), found += marks[place(nodes[e], kBits)];
    return found;
  }

  std::vector<uint8_t> marks_;
  uint8_t few_[256] = {};
  int bits_ = kSmall;
  bool in_registers_ = false;
};

class InducedScratch {
 public:
  explicit InducedScratch(const WalkRows& g) : g_(g), set_(64) {}

  // Edges of one set behind `to`; false if a node is in it twice.
  bool find(const int64_t* nodes, int64_t count, std::vector<InducedEdge>& to) {
    set_.reserve(count), set_.clear(), filter_.start(nodes, count);
    bool different = true;
    for (int64_t k = 0; k < count; ++k) {
      prefetch(g_.ptr + nodes[k]);
      different &= set_.insert(int32_t(nodes[k]), int32_t(k));
    }
    for (int64_t k = 0; k < std::min(count, kRowsAhead); ++k) fetch(nodes[k]);
    for (int64_t k = 0; k < count; ++k) {
      if (k + kRowsAhead < count) fetch(nodes[k + kRowsAhead]);
      const int64_t degree = g_.ptr[nodes[k] + 1] - g_.ptr[nodes[k]];
      // a step of a bisection takes as long as a look at two further entries, or a few; the result is the same
      if (degree > kBisect * count * int64_t(std::bit_width(uint64_t(degree) + 2))) bisect(nodes, count, k, to); else scan(nodes[k], k, to);
    }
    filter_.finish(nodes, count);
    return different;
  }

 private:
  // Asks for the head of a row; what follows the processor foresees by itself.
  void fetch(int64_t node) const {
    const int32_t *begin = g_.col + g_.ptr[node], *end = std::min(g_.col + g_.ptr[node + 1], begin + kAhead);
    for (const int32_t* at = begin; at < end; at += 16) prefetch(at);
  }

  void scan(int64_t node, int64_t place, std::vector<InducedEdge>& to) {
    const int64_t begin = int64_t(to.size());
    bool sorted = true;
    int32_t before = -1;
    const int64_t end = g_.ptr[node + 1];
    for (int64_t first = g_.ptr[node]; first < end; first += kAtOnce) {
      const int64_t count = filter_.sift(g_.col + first, std::min(end - first, kAtOnce), perhaps_);
      for (int64_t k = 0; k < count; ++k) {
        const int64_t e = first + perhaps_[k];
        const int32_t target = set_.find(g_.col[e]);
        if (target < 0) continue;
        sorted &= target >= before, before = target;
        to.push_back({int32_t(place), target, int32_t(e)});
      }
    }
    if (!sorted)
      std::sort(to.begin() + begin, to.end(), [](const InducedEdge& a, const InducedEdge& b) {
        return a.target != b.target ? a.target < b.target : a.entry < b.entry;
      });
  }

  // The whole set is looked for in one row, several nodes in step: none waits for the other's reads, and nothing is to be foreseen.
  void bisect(const int64_t* nodes, int64_t count, int64_t place, std::vector<InducedEdge>& to) {
    const int32_t* row = g_.col + g_.ptr[nodes[place]];
    const int64_t size = g_.ptr[nodes[place] + 1] - g_.ptr[nodes[place]];
    for (int64_t first = 0; first < count; first += kInStep) {
      const int64_t lanes = std::min(kInStep, count - first);
      int32_t node[kInStep];
      int64_t at[kInStep] = {};
      for (int64_t j = 0; j < kInStep; ++j) node[j] = int32_t(nodes[first + (j < lanes ? j : 0)]);
      for (int64_t left = size; left > 1;) {
        const int64_t half = left / 2;
        for (int64_t j = 0; j < kInStep; ++j) at[j] += row[at[j] + half - 1] < node[j] ? half : 0;
        left -= half;
      }
      for (int64_t j = 0; j < lanes; ++j)
        for (int64_t e = at[j] + (row[at[j]] < node[j]); e < size && row[e] == node[j]; ++e)
          to.push_back({int32_t(place), int32_t(first + j), int32_t(row + e - g_.col)});
    }
  }

  static constexpr int64_t kAtOnce = 512, kAhead = 128, kRowsAhead = 16, kInStep = 8;

  const WalkRows g_;
  NodeSet set_;
  NodeFilter filter_;
  int32_t perhaps_[kAtOnce];
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
