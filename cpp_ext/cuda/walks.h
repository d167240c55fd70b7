// Launch function of the random walks on a CUDA device: raw device pointers, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace graphkit::cuda {

struct Walks {
  const int64_t *ptr, *start, *key;  // [N + 1], [starts], [N] or null
  const int32_t* col;
  int64_t* out;  // [starts, walks, length + 1]
  int64_t starts, walks, length, repeat;
  uint64_t seed;
  uint32_t counter;
};

const char* sample_walks(const Walks& a, cudaStream_t stream);  // null, or what went wrong

}  // namespace graphkit::cuda
