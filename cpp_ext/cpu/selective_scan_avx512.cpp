// The selective scan in avx512 instructions.
#include "selective_scan.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#define GK_VECTOR_BYTES 64

namespace graphkit::avx512 {
#include "vector.inc"
#include "selective_scan.inc"
#include "causal_conv.inc"
}  // namespace graphkit::avx512

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
