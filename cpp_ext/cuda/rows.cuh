// Looking things up in the sorted rows of a graph.
#pragma once

#include "launch.cuh"

namespace graphkit::cuda {
namespace {

// The entry of v among those from `low` to `end`, or -1.
GK_INLINE int64_t find_entry(const int32_t* col, int64_t low, int64_t end, int64_t v) {
  int64_t high = end;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (col[middle] < v) low = middle + 1; else high = middle;
  }
  return low < end && col[low] == v ? low : -1;
}

// The row that holds entry e.
GK_INLINE int64_t row_of(const int64_t* ptr, int64_t rows, int64_t e) {
  int64_t low = 0, high = rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (ptr[middle + 1] <= e) low = middle + 1; else high = middle;
  }
  return low;
}

}  // namespace
}  // namespace graphkit::cuda
