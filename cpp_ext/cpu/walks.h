// Uniform random walks whose draws are named by numbers, advanced many at a time: while one walk waits for memory, others go on.
#pragma once

#include <cstdint>

#include "walk_words.h"

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
      if (step % 4 == 0) {
        uint32_t* const word[4] = {word_[0], word_[1], word_[2], word_[3]};
        draw_words({low_, name_, high_, draws_.seed, draws_.counter, uint32_t(step / 4)}, going, word);
      }
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
  const WalkRows rows_;
  const WalkDraws draws_;
  int64_t count_ = 0;
  int32_t here_[kMost], length_[kMost];
  int64_t place_[kMost];
  uint32_t low_[kMost] = {}, high_[kMost] = {}, name_[kMost] = {}, word_[4][kMost];
  Node* to_[kMost];
};

}  // namespace graphkit
