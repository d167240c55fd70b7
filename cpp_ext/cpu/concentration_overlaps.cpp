// How many neighbours the ends of every edge share; the two ends may look into different graphs on the same nodes.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#endif

#include <algorithm>
#include <vector>

#include "concentration.h"
#include "isa.h"
#include "orbits.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kNodesAtOnce = 64;

// Bits that two rows share. Where the processor counts bits of whole vectors, that is three times as fast.
using Shared = int64_t (*)(const uint64_t*, const uint64_t*, int64_t);

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
__attribute__((target("avx512f,avx512vpopcntdq,popcnt"))) int64_t shared_by_vectors(const uint64_t* a, const uint64_t* b, int64_t words) {
  __m512i sum = _mm512_setzero_si512();
  int64_t k = 0, found = 0;
  for (; k + 8 <= words; k += 8) sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(_mm512_loadu_si512(a + k), _mm512_loadu_si512(b + k))));
  int64_t lanes[8];
  _mm512_storeu_si512(lanes, sum);
  for (const int64_t lane : lanes) found += lane;
  for (; k < words; ++k) found += __builtin_popcountll(a[k] & b[k]);
  return found;
}
Shared fastest_shared() {
  if (isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vpopcntdq")) return shared_by_vectors;
  return GRAPHKIT_KERNELS(orbit_kernels_int32).shared;
}
#else
Shared fastest_shared() { return baseline::orbit_kernels_int32.shared; }
#endif

// Rows of a graph that are so long that a bit for every node takes no more than eight times the room of the row.
class BitRows {
 public:
  explicit BitRows(const Rows& g) : words_((g.N + 63) / 64), at_(g.N, -1) {
    int64_t rows = 0;
    for (int64_t v = 0; v < g.N; ++v)
      if (g.degree(v) >= std::max<int64_t>(words_, 4)) at_[v] = int32_t(rows++);
    bits_.resize(rows * words_);
    torch::stable::parallel_for(0, g.N, 256, [&](int64_t begin, int64_t end) {
      for (int64_t v = begin; v < end; ++v)
        if (uint64_t* row = at_[v] < 0 ? nullptr : &bits_[at_[v] * words_])
          for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) row[g.col[e] >> 6] |= uint64_t(1) << (g.col[e] & 63);
    });
  }
  const uint64_t* of(int64_t v) const { return at_[v] < 0 ? nullptr : &bits_[at_[v] * words_]; }
  int64_t words() const { return words_; }

 private:
  int64_t words_;
  std::vector<int32_t> at_;
  std::vector<uint64_t> bits_;
};

// The position of (j, i) for every entry (i, j) of a symmetric graph with sorted rows.
std::vector<int32_t> reverse_entries(const Rows& g) {
  std::vector<int64_t> cursor(g.ptr, g.ptr + g.N);
  std::vector<int32_t> reverse(g.entries);
  for (int64_t v = 0; v < g.N; ++v)
    for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) {
      const int64_t j = g.col[e], back = cursor[j]++;
      STD_TORCH_CHECK(back < g.ptr[j + 1], "the pairs must hold both directions");
      reverse[e] = int32_t(back);
    }
  return reverse;
}

// The marks of one node's neighbours: its own bit row where there is one, else set in `scratch` and taken away at the end.
class Marked {
 public:
  Marked(const Rows& g, const BitRows& rows, int64_t v, std::vector<uint64_t>& scratch) : g_(g), v_(v), own_(rows.of(v)), scratch_(scratch) {
    if (own_) return;
    scratch_.resize(rows.words());
    for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) scratch_[g.col[e] >> 6] |= uint64_t(1) << (g.col[e] & 63);
  }
  ~Marked() {
    if (own_) return;
    for (int64_t e = g_.ptr[v_]; e < g_.ptr[v_ + 1]; ++e) scratch_[g_.col[e] >> 6] = 0;
  }
  Marked(const Marked&) = delete;
  Marked& operator=(const Marked&) = delete;

  // Neighbours of u in the graph h that are marked.
  int32_t shared_with(const Rows& h, const BitRows& rows, int64_t u) const {
    const uint64_t *theirs = rows.of(u), *bits = own_ ? own_ : scratch_.data();
    if (own_ && theirs) return int32_t(shared_(own_, theirs, rows.words()));
    int32_t found = 0;
    for (int64_t e = h.ptr[u]; e < h.ptr[u + 1]; ++e) found += int32_t(bits[h.col[e] >> 6] >> (h.col[e] & 63) & 1);
    return found;
  }

 private:
  const Rows& g_;
  int64_t v_;
  const uint64_t* own_;
  std::vector<uint64_t>& scratch_;
  static inline const Shared shared_ = fastest_shared();
};

// |a_i n b_j| for every entry (i, j) of the pairs: the longer of the two rows is marked, the shorter one looked up, so an
// edge costs its smaller degree. Every entry is written by one task.
Tensor neighborhood_overlaps(Tensor pair_ptr, Tensor pair_col, Tensor a_ptr, Tensor a_col, Tensor b_ptr, Tensor b_col) {
  const Rows pairs = rows_of(pair_ptr, pair_col), a = rows_of(a_ptr, a_col), b = rows_of(b_ptr, b_col);
  STD_TORCH_CHECK(a.N == pairs.N && b.N == pairs.N, "the three graphs must have the same nodes");
  Tensor out = torch::stable::new_empty(pair_ptr, {pairs.entries}, ScalarType::Int);
  int32_t* to = static_cast<int32_t*>(out.data_ptr());
  const bool same = a.col == b.col && a.ptr == b.ptr;
  const std::vector<int32_t> reverse = reverse_entries(pairs);
  const BitRows a_bits(a);
  const std::vector<BitRows> other = same ? std::vector<BitRows>{} : std::vector<BitRows>{BitRows(b)};
  const BitRows& b_bits = same ? a_bits : other[0];

  const int64_t tasks = (pairs.N + kNodesAtOnce - 1) / kNodesAtOnce, slots = task_slots(tasks);
  std::vector<std::vector<uint64_t>> scratch(slots);
  run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
    const int64_t last = std::min(pairs.N, (task + 1) * kNodesAtOnce);
    for (int64_t v = task * kNodesAtOnce; v < last; ++v) {
      const int64_t begin = pairs.ptr[v], end = pairs.ptr[v + 1];
      if (begin == end) continue;
      {
        const Marked marks(a, a_bits, v, scratch[slot]);
        for (int64_t e = begin; e < end; ++e) {
          const int64_t j = pairs.col[e], mine = a.degree(v), theirs = b.degree(j);
          if (same && (theirs > mine || (theirs == mine && j > v))) continue;  // counted from the other end
          if (!same && theirs > mine) continue;                                // counted below, from node j
          to[e] = marks.shared_with(b, b_bits, j);
          if (same) to[reverse[e]] = to[e];
        }
      }
      if (same) continue;
      const Marked marks(b, b_bits, v, scratch[slot]);
      for (int64_t e = begin; e < end; ++e)
        if (const int64_t i = pairs.col[e]; a.degree(i) < b.degree(v)) to[reverse[e]] = marks.shared_with(a, a_bits, i);
    }
  });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) { library.impl("neighborhood_overlaps", TORCH_BOX(&neighborhood_overlaps)); }

}  // namespace graphkit
