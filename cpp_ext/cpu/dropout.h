// Arguments of the kernel that drops entries; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

struct Dropout {
  bool wide;             // float64, else float32
  const void* x;
  const int16_t* words;  // one for each entry
  int16_t least;         // an entry stays where its word is at least that
  double scale;          // what is left is multiplied by it
  void* out;
};

struct DropoutKernels {
  void (*drop)(const Dropout&, int64_t begin, int64_t end);
};

namespace baseline { extern const DropoutKernels dropout_kernels; }
namespace avx2 { extern const DropoutKernels dropout_kernels; }
namespace avx512 { extern const DropoutKernels dropout_kernels; }

}  // namespace graphkit
