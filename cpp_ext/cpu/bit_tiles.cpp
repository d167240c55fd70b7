// Tiles of bits, on processors that pack bytes of a whole vector at once and on all others.
#include "bit_tiles.h"

#include "isa.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#if !defined(__clang__)
// the compiler's own intrinsics read a variable they never set
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace graphkit {
namespace {

void both_plain(const uint64_t* a, const uint64_t* b, int64_t words, uint64_t* to, int64_t step) {
  int64_t k = 0;
  for (; k + kTileWords <= words; k += kTileWords, to += step)
    for (int64_t w = 0; w < kTileWords; ++w) to[w] = a[k + w] & b[k + w];
  if (k < words)
    for (int64_t w = 0; w < kTileWords; ++w) to[w] = k + w < words ? a[k + w] & b[k + w] : 0;
}

// Halves of ever smaller squares change places.
void turn(uint64_t* row) {
  uint64_t low = 0xffffffff;
  for (int half = 32; half; half >>= 1, low ^= low << half)
    for (int r = 0; r < 64; r = ((r | half) + 1) & ~half) {
      const uint64_t swapped = ((row[r] >> half) ^ row[r | half]) & low;
      row[r] ^= swapped << half, row[r | half] ^= swapped;
    }
}

void turned_plain(const uint64_t* table, int64_t row, const int64_t* one, const int64_t* two, int64_t pairs, int64_t words, uint64_t* to, int64_t step) {
  for (int64_t k = 0; k < 64; ++k)
    for (int64_t w = 0; w < words; ++w) to[w * step + k] = k < pairs ? table[one[k] * row + w] & table[two[k] * row + w] : 0;
  for (int64_t w = 0; w < words; ++w) turn(to + w * step);
}

void unpack_plain(const uint64_t* bits, int64_t row_step, int64_t word_step, int64_t rows, uint8_t* to, int32_t* sizes) {
  for (int64_t r = 0; r < rows; ++r, bits += row_step) {
    uint8_t* at = to;
    for (int64_t w = 0; w < kTileWords; ++w)
      for (uint64_t left = bits[w * word_step]; left; left &= left - 1) *at++ = uint8_t(64 * w + __builtin_ctzll(left));
    sizes[r] = int32_t(at - to);
    to = at;
  }
}

constexpr BitTileKernels kPlain{both_plain, turned_plain, unpack_plain};

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define GK_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,gfni,popcnt")))

GK_TARGET void both_wide(const uint64_t* a, const uint64_t* b, int64_t words, uint64_t* to, int64_t step) {
  for (int64_t k = 0; k < words; k += kTileWords, to += step) {
    const __mmask8 inside = words - k >= kTileWords ? __mmask8(0xf) : __mmask8((1u << (words - k)) - 1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_and_si256(_mm256_maskz_loadu_epi64(inside, a + k), _mm256_maskz_loadu_epi64(inside, b + k)));
  }
}

// Eight vectors of eight words as the rows of a square, turned.
GK_TARGET inline void turn_words(__m512i v[8]) {
  __m512i two[8], four[8];
  for (int k = 0; k < 8; k += 2) two[k] = _mm512_unpacklo_epi64(v[k], v[k + 1]), two[k + 1] = _mm512_unpackhi_epi64(v[k], v[k + 1]);
  for (int k = 0; k < 8; k += 4)
    for (int odd = 0; odd < 2; ++odd) {
      four[k + odd] = _mm512_shuffle_i64x2(two[k + odd], two[k + odd + 2], 0x88);      // columns 0 and 4, or 1 and 5
      four[k + odd + 2] = _mm512_shuffle_i64x2(two[k + odd], two[k + odd + 2], 0xdd);  // 2 and 6, or 3 and 7
    }
  for (int c = 0; c < 4; ++c) v[c] = _mm512_shuffle_i64x2(four[c], four[c + 4], 0x88), v[c + 4] = _mm512_shuffle_i64x2(four[c], four[c + 4], 0xdd);
}

// Squares of eight times eight bits inside words, then words, then bytes.
GK_TARGET void turned_wide(const uint64_t* table, int64_t row, const int64_t* one, const int64_t* two, int64_t pairs, int64_t words, uint64_t* to,
                           int64_t step) {
  alignas(64) uint64_t of_word[8][64];
  alignas(64) uint8_t order[64], backward[64];  // the product below takes rows from the last to the first
  for (int k = 0; k < 64; ++k) order[k] = uint8_t(k % 8 * 8 + k / 8), backward[k] = uint8_t((7 - k % 8) * 8 + k / 8);
  const __m512i bytes = _mm512_load_si512(order), last_first = _mm512_load_si512(backward), unit = _mm512_set1_epi64(int64_t(0x8040201008040201));
  const __mmask8 inside = __mmask8((1u << words) - 1);
  for (int64_t part = 0; part < 8; ++part) {
    __m512i v[8];
    for (int64_t k = 0; k < 8; ++k) {
      const int64_t p = 8 * part + k;
      v[k] = p < pairs ? _mm512_and_si512(_mm512_maskz_loadu_epi64(inside, table + one[p] * row), _mm512_maskz_loadu_epi64(inside, table + two[p] * row))
                       : _mm512_setzero_si512();
    }
    turn_words(v);
    for (int64_t w = 0; w < 8; ++w) _mm512_store_si512(of_word[w] + 8 * part, v[w]);
  }
  for (int64_t w = 0; w < words; ++w, to += step) {
    __m512i v[8];
    for (int part = 0; part < 8; ++part)
      v[part] = _mm512_gf2p8affine_epi64_epi8(unit, _mm512_permutexvar_epi8(last_first, _mm512_load_si512(of_word[w] + 8 * part)), 0);
    turn_words(v);
    for (int b = 0; b < 8; ++b) _mm512_storeu_si512(to + 8 * b, _mm512_permutexvar_epi8(bytes, v[b]));
  }
}

GK_TARGET void unpack_wide(const uint64_t* bits, int64_t row_step, int64_t word_step, int64_t rows, uint8_t* to, int32_t* sizes) {
  alignas(64) uint8_t lane[64];
  for (int k = 0; k < 64; ++k) lane[k] = uint8_t(k);
  __m512i place[kTileWords];
  for (int w = 0; w < kTileWords; ++w) place[w] = _mm512_add_epi8(_mm512_load_si512(lane), _mm512_set1_epi8(char(64 * w)));
  for (int64_t r = 0; r < rows; ++r, bits += row_step) {
    uint8_t* at = to;
    for (int w = 0; w < kTileWords; ++w) {
      const uint64_t set = bits[w * word_step];
      _mm512_storeu_si512(at, _mm512_maskz_compress_epi8(set, place[w]));
      at += __builtin_popcountll(set);
    }
    sizes[r] = int32_t(at - to);
    to = at;
  }
}

constexpr BitTileKernels kWide{both_wide, turned_wide, unpack_wide};
#undef GK_TARGET
#endif

}  // namespace

// GRAPHKIT_ISA=avx512 leaves the wide ones out.
const BitTileKernels& bit_tile_kernels() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  static const bool can = isa() == Isa::kAvx512 && !std::getenv("GRAPHKIT_ISA") && __builtin_cpu_supports("avx512vbmi") &&
                          __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("gfni");
  return can ? kWide : kPlain;
#else
  return kPlain;
#endif
}

}  // namespace graphkit
