// The relational kernels in avx512 instructions.
#include "relational.h"

#ifdef GRAPHKIT_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#define GK_VECTOR_BYTES 64
#define GK_ISA_NAME "avx512"

namespace graphkit::avx512 {
#include "relational.inc"
}  // namespace graphkit::avx512

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
