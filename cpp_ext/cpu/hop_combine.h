// Arguments of the kernels that weigh the hops of several patterns; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

// N nodes, P patterns, K hops, F channels. A node's features lie together: hop 0, then hops 1..K of each pattern.
struct HopCombine {
  int64_t N, P, K, F;
  bool wide;             // float64, else float32
  const void* features;  // [N, 1 + P K, F]
  const void* weights;   // [N, P, K + 1]
  void* out;             // [P, N, F]
  const void* grad;      // [P, N, F]
  void* grad_weights;    // [N, P, K + 1]
};

struct HopCombineKernels {
  void (*forward)(const HopCombine&, int64_t begin, int64_t end);   // nodes [begin, end)
  void (*backward)(const HopCombine&, int64_t begin, int64_t end);
};

namespace baseline { extern const HopCombineKernels hop_combine_kernels; }
namespace avx2 { extern const HopCombineKernels hop_combine_kernels; }
namespace avx512 { extern const HopCombineKernels hop_combine_kernels; }

}  // namespace graphkit
