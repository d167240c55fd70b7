// Arguments of the kernel that turns PNA's four aggregates into the next state; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

// B queries, N nodes, D channels in, O channels out, C classes of nodes with equal degree. All nodes of a class share
// their two scalers, so the 12 D features collapse to the four aggregates under one folded weight per class: a third
// of the multiplications, and nothing of size 12 D is ever written.
struct PnaUpdate {
  int64_t B, N, D, O, C;
  bool wide;                 // float64, else float32
  const void* x;             // [B, N, D]
  const void* features;      // [B, N, 4, D]
  const int32_t* order;      // [N] nodes, class after class
  const int64_t* class_ptr;  // [C + 1]
  const void* scale;         // [C, 2] amplification, attenuation
  const void* weight;        // [O, 13 D]: D columns of the state, then (channel, aggregate, scaler)
  const void* bias;          // [O]
  const void* norm_weight;   // [O], null without layer norm
  const void* norm_bias;
  double eps;
  bool short_cut;
  void* packed;              // [13 D, O]: state; then identity, amplified, attenuated, each (aggregate, channel)
  void* z;                   // [B, N, O] before the norm
  // forward
  void* out;                 // [B, N, O]
  // backward
  const void* grad;          // [B, N, O]
  void* grad_x;              // [B, N, D]
  void* grad_features;       // [B, N, 4, D]
  void* tables;              // [tasks, 5 D + 3, O]: of the folded weight, then of bias, norm weight, norm bias
};

// Rows [begin, end) of one class; row i is query i / n and node order[class_ptr[index] + i % n], n nodes in the class.
struct ClassTask {
  int64_t index, begin, end;
};

struct PnaUpdateKernels {
  void (*pack)(const PnaUpdate&);
  void (*forward)(const PnaUpdate&, const ClassTask&, void* scratch);   // scratch: 5 D O values
  void (*backward)(const PnaUpdate&, const ClassTask&, int64_t task, void* scratch);  // scratch: 5 D O + 64 O values
};

namespace baseline { extern const PnaUpdateKernels pna_update_kernels; }
namespace avx2 { extern const PnaUpdateKernels pna_update_kernels; }
namespace avx512 { extern const PnaUpdateKernels pna_update_kernels; }

}  // namespace graphkit
