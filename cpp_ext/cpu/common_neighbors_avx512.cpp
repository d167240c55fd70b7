// Intersections of rows and sums over them in avx512 instructions.
#include "common_neighbors.h"
#include "neighbor_pool.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // the compiler's own intrinsics read a variable they never set
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")
#endif

#define GK_VECTOR_BYTES 64

namespace graphkit::avx512 {
#include "vector.inc"
#include "neighbor_pool.inc"
#include "common_neighbors.inc"
}  // namespace graphkit::avx512

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
