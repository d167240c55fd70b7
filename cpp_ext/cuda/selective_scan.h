// Launch functions of the selective scan on a CUDA device: raw device pointers, nothing of torch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace graphkit::cuda {

enum class ScanReal { kFloat, kDouble, kBfloat16 };  // of the rows; parameters and states are float32, or float64 with rows of float64

constexpr int64_t kScanChunk = 32;  // steps between kept states
constexpr int64_t kScanLanes = 32;  // channels whose gradients of B and C are added up at once

// D channels, N states a channel, R rows. Sequence s has the rows [begin[s], begin[s] + length[s]), read upwards or, reversed,
// downwards. Where sequences end is not known outside the device; chunk m of s has the place begin[s] / 32 + s + m among all,
// and begin[s] / 32 + m - 1 among those that do not begin a sequence: no two have the same.
struct SelectiveScan {
  int64_t R, D, N, padded, S;
  ScanReal real;
  bool softplus, reverse;
  const int64_t *begin, *length;     // [S]
  const void *u, *delta, *z, *grad;  // [R, D]; z may be null
  const void *B, *C;                 // [R, N]
  const void *A, *skip, *bias;       // [D, N], [D] twice; skip and bias may be null
  void* y;                           // [R, D]; like all results 0 in the rows of no sequence, set by the caller
  void* states;                      // [R / 32, N, padded] at the starts of chunks
  void* total;                       // [R / 32, padded] sums of step sizes
  void* behind;                      // [R / 32, N, padded] gradients that chunks leave to those before
  void *du, *ddelta, *dz;            // [R, D]
  void *dB_parts, *dC_parts;         // [D / 32, R, N]
  void *dA_parts, *dskip_parts, *dbias_parts;  // [tiles, D, N], [tiles, D] twice; set to 0 by the caller
  void *dB, *dC, *dA, *dskip, *dbias;
  int64_t chunks, groups, tile, tiles;  // all places, groups of channels, chunks of which one thread adds up gradients of parameters

  void divide() {
    chunks = R / kScanChunk + S, groups = (D + kScanLanes - 1) / kScanLanes;
    tile = chunks / 2048 + 1, tiles = (chunks + tile - 1) / tile;
  }
};

// Null, or what went wrong.
const char* scan_forward(const SelectiveScan& a, cudaStream_t stream);
const char* scan_backward(const SelectiveScan& a, cudaStream_t stream);

}  // namespace graphkit::cuda
