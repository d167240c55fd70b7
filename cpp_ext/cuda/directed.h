// Launch function of the products with a directed adjacency matrix on a CUDA device: raw device pointers, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include "../cpu/directed.h"  // the description of a call, the same for both devices

namespace graphkit::cuda {

// Pieces are smaller than on a CPU: each is walked by one thread per channel. They follow from the graph alone.
inline Pieces small_pieces(int64_t rows, int64_t entries) {
  constexpr int64_t kItems = 256;
  const int64_t items = rows + entries;
  return {items > 0 ? (items + kItems - 1) / kItems : 1, kItems};
}

const char* directed_product(const Directed& a, int64_t entries, cudaStream_t stream);  // null, or what went wrong

}  // namespace graphkit::cuda
