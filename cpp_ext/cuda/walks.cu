// Random walks on a CUDA device, one thread a walk. Draws have the names that ../cpu/walks.h gives them, and only whole numbers are
// computed with, so walks are those of the CPU.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "walks.h"

#include "launch.cuh"

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

struct Walk {
  Walks a;

  GK_INLINE void operator()(int64_t i) const {
    int64_t here = a.start[i / a.walks];
    const uint64_t key = a.key ? uint64_t(a.key[here]) : uint64_t(here);
    const uint32_t name = uint32_t(a.length << 24 | a.repeat << 12 | i % a.walks);
    int64_t* to = a.out + i * (a.length + 1);
    uint32_t word[4] = {};
    to[0] = here;
    for (int64_t step = 0; step < a.length; ++step) {
      if (step % 4 == 0) {
        word[0] = uint32_t(key), word[1] = a.counter, word[2] = name, word[3] = uint32_t(key >> 32) << 16 | uint32_t(step / 4);
        philox(a.seed, word);
      }
      const int64_t first = a.ptr[here], choices = a.ptr[here + 1] - first;
      if (choices > 0) here = a.col[first + int64_t(uint64_t(word[step % 4]) * uint64_t(choices) >> 32)];
      to[step + 1] = here;
    }
  }
};

}  // namespace

const char* sample_walks(const Walks& a, cudaStream_t stream) { return launch(Walk{a}, a.starts * a.walks, stream); }

}  // namespace graphkit::cuda
