// The selective scan in avx2 instructions.
#include "selective_scan.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define GK_VECTOR_BYTES 32

namespace graphkit::avx2 {
#include "vector.inc"
#include "selective_scan.inc"
#include "causal_conv.inc"
}  // namespace graphkit::avx2

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
