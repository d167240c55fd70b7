// Intersections of rows and sums over them in avx2 instructions.
#include "common_neighbors.h"
#include "neighbor_pool.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,popcnt")
#endif

#define GK_VECTOR_BYTES 32

namespace graphkit::avx2 {
#include "vector.inc"
#include "neighbor_pool.inc"
#include "common_neighbors.inc"
}  // namespace graphkit::avx2

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
