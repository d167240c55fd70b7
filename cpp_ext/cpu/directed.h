// Arguments of the kernel that multiplies with an adjacency matrix and its transpose; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

#include "pieces.h"

#ifdef __CUDACC__
#define GK_BOTH_DEVICES __host__ __device__
#else
#define GK_BOTH_DEVICES
#endif

namespace graphkit {

// kOneSide:  out = L0 A R0 x
// kBothSides: out[0] = L0 A R0 x, out[1] = L1 A' R1 x, in one sweep over the nodes
// kSumOfSides:  out = L0 A R0 x[0] + L1 A' R1 x[1], the transpose of kBothSides on the reversed graph
// A is given by rows (side 0) and by columns (side 1); L and R are diagonal, absent ones are the identity.
enum Sides : int { kOneSide = 0, kBothSides = 1, kSumOfSides = 2 };

struct Directed {
  int64_t N, D;
  int sides;
  bool wide;                // float64, else float32
  const int64_t* ptr[2];    // [N + 1]
  const int32_t* col[2];    // [E]
  const void* value[2];     // [E] entries of the matrix, or null: all 1
  const void* left[2];      // [N] or null
  const void* right[2];     // [N] or null
  const void* x;            // [N, D]; kSumOfSides: [2, N, D]
  void* out;                // [N, D]; kBothSides: [2, N, D]
  Pieces pieces;
  void* carry;              // [pieces, 2, D]: partial sums of the rows shared by pieces
};

// A list of the sweep is a row of A; kBothSides: lists 2 v and 2 v + 1 are row and column v; kSumOfSides: a list is row v, then column v.
GK_BOTH_DEVICES inline int64_t lists(const Directed& a) { return a.sides == kBothSides ? 2 * a.N : a.N; }

// Entries before a list.
GK_BOTH_DEVICES inline int64_t entries_before(const Directed& a, int64_t list) {
  if (a.sides == kOneSide) return a.ptr[0][list];
  if (a.sides == kSumOfSides) return a.ptr[0][list] + a.ptr[1][list];
  return a.ptr[0][(list + 1) / 2] + a.ptr[1][list / 2];
}

// The list that holds item `item`, where a list costs its entries plus one.
GK_BOTH_DEVICES inline int64_t list_of_item(const Directed& a, int64_t item) {
  int64_t low = 0, high = lists(a);
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (entries_before(a, middle) + middle <= item) low = middle; else high = middle - 1;
  }
  return low;
}

struct DirectedKernels {
  void (*sweep)(const Directed&, int64_t piece);
  void (*join)(const Directed&);
};

namespace baseline { extern const DirectedKernels directed_kernels; }
namespace avx2 { extern const DirectedKernels directed_kernels; }
namespace avx512 { extern const DirectedKernels directed_kernels; }

}  // namespace graphkit
