// The random words of many walks at once: Philox-4x32 with ten rounds (Salmon et al., 2011); sampling.h has it for one.
#pragma once

#include <cstdint>

#include "isa.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define GRAPHKIT_WORDS_AVX2
#endif

namespace graphkit {

// Counter of walk i: (low[i], counter, name[i], high[i] | block). Arrays hold a multiple of 8 numbers.
struct WalkCounters {
  const uint32_t *low, *name, *high;
  uint64_t seed;
  uint32_t counter, block;
};

inline void draw_words_plain(const WalkCounters& a, int64_t count, uint32_t* const word[4]) {
  constexpr int64_t kRun = 8;
  for (int64_t begin = 0; begin < count; begin += kRun) {
    uint32_t c0[kRun], c1[kRun], c2[kRun], c3[kRun];
    for (int64_t i = 0; i < kRun; ++i) c0[i] = a.low[begin + i], c1[i] = a.counter, c2[i] = a.name[begin + i], c3[i] = a.high[begin + i] | a.block;
    uint32_t k0 = uint32_t(a.seed), k1 = uint32_t(a.seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
      for (int64_t i = 0; i < kRun; ++i) {
        const uint64_t x = uint64_t(c0[i]) * 0xD2511F53u, y = uint64_t(c2[i]) * 0xCD9E8D57u;
        c0[i] = uint32_t(y >> 32) ^ c1[i] ^ k0, c1[i] = uint32_t(y);
        c2[i] = uint32_t(x >> 32) ^ c3[i] ^ k1, c3[i] = uint32_t(x);
      }
    for (int64_t i = 0; i < kRun; ++i) word[0][begin + i] = c0[i], word[1][begin + i] = c1[i], word[2][begin + i] = c2[i], word[3][begin + i] = c3[i];
  }
}

#ifdef GRAPHKIT_WORDS_AVX2
// Four words in lanes of 64 bits, whose upper halves are never looked at: a product needs no packing.
__attribute__((target("avx2"))) inline void draw_words_avx2(const WalkCounters& a, int64_t count, uint32_t* const word[4]) {
  const __m256i of_0 = _mm256_set1_epi64x(0xD2511F53), of_2 = _mm256_set1_epi64x(0xCD9E8D57);
  const __m128i block = _mm_set1_epi32(int(a.block));
  for (int64_t begin = 0; begin < count; begin += 8) {
    __m256i c[4][2];
    for (int half = 0; half < 2; ++half) {
      const int64_t i = begin + 4 * half;
      c[0][half] = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.low + i)));
      c[1][half] = _mm256_set1_epi64x(a.counter);
      c[2][half] = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.name + i)));
      c[3][half] = _mm256_cvtepu32_epi64(_mm_or_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.high + i)), block));
    }
    uint32_t k0 = uint32_t(a.seed), k1 = uint32_t(a.seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const __m256i key_0 = _mm256_set1_epi64x(k0), key_1 = _mm256_set1_epi64x(k1);
      for (int half = 0; half < 2; ++half) {
        const __m256i x = _mm256_mul_epu32(c[0][half], of_0), y = _mm256_mul_epu32(c[2][half], of_2);
        c[0][half] = _mm256_xor_si256(_mm256_srli_epi64(y, 32), _mm256_xor_si256(c[1][half], key_0)), c[1][half] = y;
        c[2][half] = _mm256_xor_si256(_mm256_srli_epi64(x, 32), _mm256_xor_si256(c[3][half], key_1)), c[3][half] = x;
      }
    }
    for (int w = 0; w < 4; ++w) {
      const __m256 both = _mm256_shuffle_ps(_mm256_castsi256_ps(c[w][0]), _mm256_castsi256_ps(c[w][1]), 0x88);
      const __m256i in_order = _mm256_permute4x64_epi64(_mm256_castps_si256(both), 0xD8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(word[w] + begin), in_order);
    }
  }
}
#endif

// Words of the first `count` walks, four each.
inline void draw_words(const WalkCounters& a, int64_t count, uint32_t* const word[4]) {
#ifdef GRAPHKIT_WORDS_AVX2
  if (isa() != Isa::kBaseline) return draw_words_avx2(a, count, word);
#endif
  draw_words_plain(a, count, word);
}

}  // namespace graphkit
