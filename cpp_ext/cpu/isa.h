// Which instruction set serves this machine; asked once. GRAPHKIT_ISA=baseline or avx2 takes a smaller one, so that each
// can be tested on a machine that has them all; avx512, as any other word, is the largest there is, never a larger one.
#pragma once

#include <cstdlib>
#include <cstring>

namespace graphkit {

enum class Isa { kBaseline, kAvx2, kAvx512 };

inline Isa isa() {
  static const Isa chosen = [] {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    const char* wish = std::getenv("GRAPHKIT_ISA");
    const bool baseline = wish && !std::strcmp(wish, "baseline"), avx2 = wish && !std::strcmp(wish, "avx2");
    __builtin_cpu_init();
    if (baseline) return Isa::kBaseline;
    if (!avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      return Isa::kAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::kAvx2;
#endif
    return Isa::kBaseline;
  }();
  return chosen;
}

}  // namespace graphkit

// The kernel table `name` of the chosen instruction set.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define GRAPHKIT_KERNELS(name)                                            \
  (isa() == Isa::kAvx512 ? avx512::name : isa() == Isa::kAvx2 ? avx2::name : baseline::name)
#else
#define GRAPHKIT_KERNELS(name) (baseline::name)
#endif
