// Arguments of the selective scan and of the causal convolution in front of it; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

enum class ScanReal { kFloat, kDouble, kBfloat16 };  // of the rows; parameters and states are float32, or float64 with rows of float64

// Rows lie one under another; sequence s has the rows [begin[s], begin[s] + length[s]), read upwards or, reversed, downwards.
struct Sequences {
  int64_t count;
  const int64_t *begin, *length;
  bool reverse;
};

// States are kept at the start of every chunk but the first; within a chunk they are computed again for the gradient.
constexpr int64_t kChunk = 32;

// Channels are padded to a multiple of kLanes in everything that is "padded": parameters and their gradients.
constexpr int64_t kLanes = 16;

// D channels, N states a channel, R rows. A task is (tile of sequences, group of channels): one owner for what it writes.
struct SelectiveScan {
  int64_t R, D, N, padded, group;  // group: channels of a task, a multiple of kLanes
  ScanReal real;
  Sequences of;
  bool softplus;
  const int64_t* chunk_ptr;      // [S + 1], chunks whose start is kept, over all sequences
  const void *u, *delta, *z;     // [R, D]; z may be null
  const void *B, *C;             // [R, N]
  const void* A;                 // [N, padded], times log2(e)
  const void *skip, *bias;       // [padded], zeros where there are none
  void* y;                       // [R, D]
  void* states;                  // [chunks, N padded], see kept_states; or null
  const void* grad;              // [R, D]
  void *du, *ddelta, *dz;        // [R, D]
  bool streams;                  // these three are written past the caches
  void *dB, *dC;                 // [groups, R, N]
  void *dA, *dskip, *dbias;      // [tiles, N, padded], [tiles, padded] twice; set to 0 by the caller
};

// y_t = act(bias + sum_j weight_j x_{t - K + 1 + j}), nothing from outside the sequence.
struct CausalConv {
  int64_t R, D, K, padded, group;
  ScanReal real;
  Sequences of;
  bool silu;
  const void* x;               // [R, D]
  const void *weight, *bias;   // [K, padded], [padded]
  void* y;                     // [R, D]
  const void* grad;            // [R, D]
  void* dx;                    // [R, D]
  void *dweight, *dbias;       // [tiles, K, padded], [tiles, padded]; set to 0 by the caller
};

struct Tile {
  int64_t index, begin, end;  // sequences
  int64_t group;              // group of channels
};

struct ScanKernels {
  void (*forward)(const SelectiveScan&, const Tile&, void* scratch);
  void (*backward)(const SelectiveScan&, const Tile&, void* scratch);
  void (*conv_forward)(const CausalConv&, const Tile&);
  void (*conv_backward)(const CausalConv&, const Tile&);
};

// States that are advanced together, and those that go back together.
constexpr int64_t kStates = 8, kStatesBack = 4;

// Numbers of scratch a task needs (of the parameters' type).
inline int64_t scan_forward_scratch(const SelectiveScan& a) { return a.N * (a.group + kLanes) + 2 * kChunk * a.N; }
inline int64_t scan_backward_scratch(const SelectiveScan& a) {
  // carries of all channels; factors of a few states of two vectors; rows of a chunk
  return a.N * (a.group + kLanes) + 4 * kChunk * kStatesBack * kLanes + 2 * kChunk * a.N;
}

namespace baseline { extern const ScanKernels scan_kernels; }
namespace avx2 { extern const ScanKernels scan_kernels; }
namespace avx512 { extern const ScanKernels scan_kernels; }

}  // namespace graphkit
