// Launch function of the random walks on a CUDA device: raw device pointers, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace graphkit::cuda {

// A graph, and the numbers that name a draw beside those of the walk.
struct WalkDraws {
  const int64_t *ptr, *key;  // [N + 1], [N] or null
  const int32_t* col;
  uint64_t seed;
  uint32_t counter;
};

struct Walks {
  WalkDraws draws;
  const int64_t* start;  // [starts]
  int64_t* out;          // [starts, walks, length + 1]
  int64_t starts, walks, length, repeat;
};

const char* sample_walks(const Walks& a, cudaStream_t stream);  // null, or what went wrong

}  // namespace graphkit::cuda
