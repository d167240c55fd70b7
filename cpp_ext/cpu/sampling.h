// Draws that are named by numbers, not by the order in which they are made: Philox-4x32 with ten rounds (Salmon et al., 2011).
#pragma once

#include <algorithm>
#include <cstdint>

namespace graphkit {

struct Philox {
  uint32_t word[4];

  Philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) : word{c0, c1, c2, c3} {
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const uint64_t a = uint64_t(word[0]) * 0xD2511F53u, b = uint64_t(word[2]) * 0xCD9E8D57u;
      word[0] = uint32_t(b >> 32) ^ word[1] ^ k0, word[1] = uint32_t(b);
      word[2] = uint32_t(a >> 32) ^ word[3] ^ k1, word[3] = uint32_t(a);
    }
  }
};

// What names the draws of one row.
struct DrawKey {
  uint64_t seed;
  uint32_t own, other, counter;
};

// `draws` places in [0, length), with replacement, sorted. `length` is below 2^31: a place is off its probability by 2^-32 at most.
inline void draw_places(const DrawKey& key, int64_t length, int64_t draws, int32_t* to) {
  for (int64_t d = 0; d < draws; d += 4) {
    const Philox random(key.seed, uint32_t(d / 4), key.own, key.other, key.counter);
    for (int64_t k = d; k < std::min(draws, d + 4); ++k) to[k] = int32_t(uint64_t(random.word[k - d]) * uint64_t(length) >> 32);
  }
  std::sort(to, to + draws);
}

// How many different places there are among sorted ones.
inline int64_t count_places(const int32_t* places, int64_t draws) {
  int64_t count = draws > 0;
  for (int64_t d = 1; d < draws; ++d) count += places[d] != places[d - 1];
  return count;
}

}  // namespace graphkit
