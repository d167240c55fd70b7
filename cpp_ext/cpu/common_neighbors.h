// Intersections of sorted rows; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

// How two rows are intersected. All ways give the same sorted list.
enum Strategy : int {
  kAuto,
  kMerge,   // both rows walked through once
  kGallop,  // every node of the shorter row looked up in the longer one by bisection
  kBitmap,  // the longer row as bits, made once for the pairs that share it; the shorter one looked up
  kProbe,   // the rows of all nodes as bits; the shorter row looked up in the bits of the longer one
  kWords    // the rows of all nodes as bits; the bits of both combined
};

constexpr int64_t kSpare = 64;  // lists have room for so many nodes more than they can hold

using Merge = int64_t (*)(const int32_t* a, int64_t a_size, const int32_t* b, int64_t b_size, int32_t* to);

// What pairs cost: lengths of their shorter rows, added up; the longest row; pairs whose rows have at least so many nodes each.
struct Survey {
  int64_t shorter, longest, sharing;
};

struct CommonNeighborKernels {
  // Of n pairs, `few` nodes at least in the shorter and `many` in the longer row.
  Survey (*survey)(const int64_t* ptr, const int64_t* one, const int64_t* two, int64_t n, int64_t few, int64_t many);
  // Rows are sorted, without copies; `gone` marks entries of the row before it that do not count, or is null. The number of
  // common nodes is returned.
  Merge merge;
  int64_t (*gallop)(const int32_t* a, int64_t a_size, const int32_t* b, const uint8_t* gone, int64_t b_size, int32_t* to);
  int64_t (*probe)(const int32_t* a, int64_t a_size, const uint64_t* bits, int32_t* to);
  int64_t (*words)(const uint64_t* a, const uint64_t* b, int64_t words, int32_t* to);
  int64_t (*shared)(const uint64_t* a, const uint64_t* b, int64_t words);  // the number alone
  // The entries of a row that count.
  int64_t (*keep)(const int32_t* row, const uint8_t* gone, int64_t size, int32_t* to);
  // The nodes of a row that are neither `other` nor in the list `common`, which is part of the row.
  int64_t (*without)(const int32_t* row, const uint8_t* gone, int64_t size, const int32_t* common, int64_t common_size, int32_t other, int32_t* to);
};

// The merge that compares whole vectors where this processor has an instruction for it, else the one that is given.
Merge fastest_merge(Merge otherwise);

namespace baseline { extern const CommonNeighborKernels common_neighbor_kernels; }
namespace avx2 { extern const CommonNeighborKernels common_neighbor_kernels; }
namespace avx512 { extern const CommonNeighborKernels common_neighbor_kernels; }

}  // namespace graphkit
