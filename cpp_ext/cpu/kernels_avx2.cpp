// All kernels in avx2 instructions.
#include "directed.h"
#include "dropout.h"
#include "hop_combine.h"
#include "pna_update.h"
#include "relational.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
// A version of a loop for one channel would be vectorised over edges, without the fused multiply-add of all other widths:
// a column alone would then not be bitwise the column of a matrix.
#pragma GCC optimize("no-version-loops-for-strides")
#endif

#define GK_VECTOR_BYTES 32

namespace graphkit::avx2 {
#include "vector.inc"
#include "relational.inc"
#include "pna_update.inc"
#include "directed.inc"
#include "dropout.inc"
#include "hop_combine.inc"
}  // namespace graphkit::avx2

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
