// Uniform random walks whose draws are named by numbers, advanced many at a time: while one walk waits for memory, others go on.
#pragma once

#include <cstdint>

#if defined(_MSC_VER)
#include <xmmintrin.h>
#endif

namespace graphkit {

struct WalkRows {
  int64_t N, entries;
  const int64_t* ptr;  // [N + 1]
  const int32_t* col;  // [entries] out-neighbours, in the order that draws count in
};

struct WalkDraws {
  uint64_t seed;
  uint32_t counter;
  const int64_t* key;  // [N] names of the nodes, or null: their ids

  // Word 2 of the counter of Philox: length (8 bits), repeat (12), walk (12). Frozen.
  static uint32_t name(int64_t length, int64_t repeat, int64_t walk) { return uint32_t(length << 24 | repeat << 12 | walk); }
};

inline void prefetch(const void* address) {
#if defined(_MSC_VER)
  _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0);
#else
  __builtin_prefetch(address);
#endif
}

// Walks that are advanced together, in the order of falling length, so that those which still go are always the first.
template <class Node> class WalkBatch {
 public:
  static constexpr int64_t kMost = 128;

  WalkBatch(const WalkRows& rows, const WalkDraws& draws) : rows_(rows), draws_(draws) {}
  int64_t room() const { return kMost - count_; }

  // Positions go to `to`, length + 1 of them.
  void add(int64_t start, uint32_t name, int64_t length, Node* to) {
    const uint64_t key = draws_.key ? uint64_t(draws_.key[start]) : uint64_t(start);
    here_[count_] = int32_t(start), low_[count_] = uint32_t(key), high_[count_] = uint32_t(key >> 32) << 16;
    name_[count_] = name, length_[count_] = int32_t(length), to_[count_++] = to;
    to[0] = Node(start);
    prefetch(rows_.ptr + start);
  }

  // Runs the walks to their ends and forgets them.
  void run() {
    int64_t going = count_;
    count_ = 0;
    for (int64_t step = 0;; ++step) {
      while (going > 0 && length_[going - 1] <= step) --going;
      if (going == 0) return;
      if (step % 4 == 0) draw(uint32_t(step / 4), going);
      const uint32_t* word = word_[step % 4];
      for (int64_t i = 0; i < going; ++i) {
        const int64_t first = rows_.ptr[here_[i]], choices = rows_.ptr[here_[i] + 1] - first;
        place_[i] = choices > 0 ? first + int64_t(uint64_t(word[i]) * uint64_t(choices) >> 32) : -1;
        prefetch(rows_.col + (choices > 0 ? place_[i] : 0));
      }
      for (int64_t i = 0; i < going; ++i) {
        if (place_[i] >= 0) here_[i] = rows_.col[place_[i]];
        prefetch(rows_.ptr + here_[i]);
        to_[i][step + 1] = Node(here_[i]);
      }
    }
  }

 private:
  // Philox-4x32 with ten rounds (Salmon et al., 2011) for all walks, in runs that fit into registers; sampling.h has it for one.
  void draw(uint32_t block, int64_t going) {
    constexpr int64_t kRun = 8;
    for (int64_t begin = 0; begin < going; begin += kRun) {
      uint32_t c0[kRun], c1[kRun], c2[kRun], c3[kRun];
      for (int64_t i = 0; i < kRun; ++i)
        c0[i] = low_[begin + i], c1[i] = draws_.counter, c2[i] = name_[begin + i], c3[i] = high_[begin + i] | block;
      uint32_t k0 = uint32_t(draws_.seed), k1 = uint32_t(draws_.seed >> 32);
      for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int64_t i = 0; i < kRun; ++i) {
          const uint64_t a = uint64_t(c0[i]) * 0xD2511F53u, b = uint64_t(c2[i]) * 0xCD9E8D57u;
          c0[i] = uint32_t(b >> 32) ^ c1[i] ^ k0, c1[i] = uint32_t(b);
          c2[i] = uint32_t(a >> 32) ^ c3[i] ^ k1, c3[i] = uint32_t(a);
        }
      for (int64_t i = 0; i < kRun; ++i)
        word_[0][begin + i] = c0[i], word_[1][begin + i] = c1[i], word_[2][begin + i] = c2[i], word_[3][begin + i] = c3[i];
    }
  }

  const WalkRows rows_;
  const WalkDraws draws_;
  int64_t count_ = 0;
  int32_t here_[kMost], length_[kMost];
  int64_t place_[kMost];
  uint32_t low_[kMost] = {}, high_[kMost] = {}, name_[kMost] = {}, word_[4][kMost];
  Node* to_[kMost];
};

}  // namespace graphkit
