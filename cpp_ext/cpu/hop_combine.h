// Arguments of the kernels that score and weigh the hops of several patterns; raw pointers, nothing of torch.
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

// Inner products of every hop with Q vectors of its own. Their gradient is cut into tasks by hop and channels, and each
// task walks all nodes in order: one owner, no tables.
struct HopProducts {
  int64_t N, P, K, F, Q;
  bool wide;
  const void* features;  // [N, 1 + P K, F]
  const void* vectors;   // [P, K + 1, Q, F]
  void* out;             // [N, P, K + 1, Q]
  const void* grad;      // [N, P, K + 1, Q]
  void* grad_vectors;    // [P, K + 1, Q, F]
};

constexpr int64_t kTaskChannels = 1024;
inline int64_t channel_tasks(const HopProducts& a) { return (a.F + kTaskChannels - 1) / kTaskChannels; }

struct HopCombineKernels {
  void (*forward)(const HopCombine&, int64_t begin, int64_t end);   // nodes [begin, end)
  void (*backward)(const HopCombine&, int64_t begin, int64_t end);
  void (*products)(const HopProducts&, int64_t begin, int64_t end);          // nodes [begin, end)
  void (*products_backward)(const HopProducts&, int64_t task);               // (pattern, hop, run of channels)
};

namespace baseline { extern const HopCombineKernels hop_combine_kernels; }
namespace avx2 { extern const HopCombineKernels hop_combine_kernels; }
namespace avx512 { extern const HopCombineKernels hop_combine_kernels; }

}  // namespace graphkit
