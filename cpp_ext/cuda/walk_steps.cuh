// The steps of one random walk. Draws have the names that ../cpu/walks.h gives them, and only whole numbers are computed with, so walks
// are those of the CPU.
#pragma once

#include "launch.cuh"
#include "walks.h"

namespace graphkit::cuda {
namespace {

// Philox-4x32 with ten rounds (Salmon et al., 2011).
GK_INLINE void philox(uint64_t seed, uint32_t word[4]) {
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t a = uint64_t(word[0]) * 0xD2511F53u, b = uint64_t(word[2]) * 0xCD9E8D57u;
    word[0] = uint32_t(b >> 32) ^ word[1] ^ k0, word[1] = uint32_t(b);
    word[2] = uint32_t(a >> 32) ^ word[3] ^ k1, word[3] = uint32_t(a);
  }
}

// f(step, node) for the start and for each of `length` steps of walk `walk` of set `repeat`.
template <class F> GK_INLINE void each_step(const WalkDraws& draws, int64_t start, int64_t length, int64_t repeat, int64_t walk,
                                            const F& f) {
  int64_t here = start;
  const uint64_t key = draws.key ? uint64_t(draws.key[here]) : uint64_t(here);
  const uint32_t name = uint32_t(length << 24 | repeat << 12 | walk);
  uint32_t word[4] = {};
  f(0, here);
  for (int64_t step = 0; step < length; ++step) {
    if (step % 4 == 0) {
      word[0] = uint32_t(key), word[1] = draws.counter, word[2] = name, word[3] = uint32_t(key >> 32) << 16 | uint32_t(step / 4);
      philox(draws.seed, word);
    }
    const int64_t first = draws.ptr[here], choices = draws.ptr[here + 1] - first;
    if (choices > 0) here = draws.col[first + int64_t(uint64_t(word[step % 4]) * uint64_t(choices) >> 32)];
    f(step + 1, here);
  }
}

}  // namespace
}  // namespace graphkit::cuda
