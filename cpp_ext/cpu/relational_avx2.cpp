// The relational kernels in avx2 instructions.
#include "relational.h"

#ifdef GRAPHKIT_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define GK_VECTOR_BYTES 32
#define GK_ISA_NAME "avx2"

namespace graphkit::avx2 {
#include "relational.inc"
}  // namespace graphkit::avx2

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
