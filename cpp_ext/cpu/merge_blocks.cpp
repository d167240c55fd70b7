// Two sorted rows merged sixteen nodes against sixteen at a time, on processors that compare all lanes of two vectors at once.
#include "common_neighbors.h"
#include "isa.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // the compiler's own intrinsics read a variable they never set
#endif
#include <immintrin.h>
#endif

namespace graphkit {

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
namespace {

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vp2intersect,bmi2,popcnt"))) int64_t merge_blocks(const int32_t* a, int64_t a_size, const int32_t* b,
                                                                                                    int64_t b_size, int32_t* to) {
  int64_t i = 0, j = 0, size = 0;
  while (i < a_size && j < b_size) {
    const int64_t in_a = a_size - i < 16 ? a_size - i : 16, in_b = b_size - j < 16 ? b_size - j : 16;
    // lanes outside hold -1 and -2, which are no nodes and differ
    const __m512i one = _mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), __mmask16(_bzhi_u32(0xffff, unsigned(in_a))), a + i);
    const __m512i two = _mm512_mask_loadu_epi32(_mm512_set1_epi32(-2), __mmask16(_bzhi_u32(0xffff, unsigned(in_b))), b + j);
    __mmask16 found, other;
    _mm512_2intersect_epi32(one, two, &found, &other);
    _mm512_storeu_si512(to + size, _mm512_maskz_compress_epi32(found, one));
    size += __builtin_popcount(found);
    const int32_t last = a[i + in_a - 1], other_last = b[j + in_b - 1];
    i += last <= other_last ? 16 : 0, j += other_last <= last ? 16 : 0;
  }
  return size;
}

}  // namespace

// GRAPHKIT_ISA=avx512 leaves the instruction out.
Merge fastest_merge(Merge otherwise) {
  static const bool can = isa() == Isa::kAvx512 && !std::getenv("GRAPHKIT_ISA") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512vp2intersect");
  return can ? merge_blocks : otherwise;
}
#else
Merge fastest_merge(Merge otherwise) { return otherwise; }
#endif

}  // namespace graphkit
