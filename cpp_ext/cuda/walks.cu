// Random walks on a CUDA device, one thread a walk.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "walks.h"

#include "walk_steps.cuh"

namespace graphkit::cuda {
namespace {

struct Walk {
  Walks a;
  GK_INLINE void operator()(int64_t i) const {
    int64_t* to = a.out + i * (a.length + 1);
    each_step(a.draws, a.start[i / a.walks], a.length, a.repeat, i % a.walks, [&](int64_t step, int64_t node) { to[step] = node; });
  }
};

}  // namespace

const char* sample_walks(const Walks& a, cudaStream_t stream) { return launch(Walk{a}, a.starts * a.walks, stream); }

}  // namespace graphkit::cuda
