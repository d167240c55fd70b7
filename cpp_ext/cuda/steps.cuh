// Work in which some items have far more to do than others, a thread for each step of it; and the writes that threads share. These
// add, or take the least, of whole numbers: the result does not depend on who comes first.
#pragma once

#include "rows.cuh"
#include "steps.h"

namespace graphkit::cuda {
namespace {

// A stepped task has operator()(owner, item, step) for each step of each item.
template <class Task> struct EachStep {
  Steps steps;
  Task task;
  GK_INLINE void operator()(int64_t k) const {
    const int64_t i = row_of(steps.start, steps.count, k);
    task(int64_t(steps.owner[i]), steps.first + i, k - steps.start[i]);
  }
};
template <class Task> const char* launch_steps(const Task& task, const Steps& steps, cudaStream_t stream) {
  return launch(EachStep<Task>{steps, task}, steps.total, stream);
}

#ifdef __CUDACC__

// What was there before.
GK_INLINE int32_t add_to(int32_t* to, int32_t value) { return atomicAdd(to, value); }
GK_INLINE int64_t add_to(int64_t* to, int64_t value) {  // two's complement: the sum of the bits is that of the numbers
  return int64_t(atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value)));
}
GK_INLINE void set_bits(uint32_t* to, uint32_t bits) { atomicOr(to, bits); }
GK_INLINE void lower_to(uint64_t* to, uint64_t value) {
  atomicMin(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}
GK_INLINE uint64_t put_if_zero(uint64_t* to, uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(to), 0ull, static_cast<unsigned long long>(value));
}

#else

template <class T> GK_INLINE T add_to(T* to, T value) { const T before = *to; *to += value; return before; }
GK_INLINE void set_bits(uint32_t* to, uint32_t bits) { *to |= bits; }
GK_INLINE void lower_to(uint64_t* to, uint64_t value) { *to = std::min(*to, value); }
GK_INLINE uint64_t put_if_zero(uint64_t* to, uint64_t value) {
  const uint64_t before = *to;
  if (before == 0) *to = value;
  return before;
}

#endif

}  // namespace
}  // namespace graphkit::cuda
