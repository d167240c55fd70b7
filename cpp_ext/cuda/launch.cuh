// How kernels are launched, and the numbers they work on. Tasks that share nothing can also run one after the other: compiled
// as plain C++ a file of kernels runs on a CPU.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define GK_INLINE __device__ __forceinline__
#define GK_UNROLL _Pragma("unroll")
#else
#define GK_INLINE inline
#define GK_UNROLL
#endif

namespace graphkit::cuda {
namespace {

constexpr int kWarp = 32, kBlock = 128;

// ---- launching ------------------------------------------------------------------------------------------------

// A task has operator()(i) for each i < count. A warp task has partial(i, lane), added up over the 32 lanes as a balanced
// tree, and finish(i, total). A lane task has operator()(i, lane), which all 32 lanes run; in it lanes_together(value, lane, to)
// stores what the lanes of one warp hand in, added up as a balanced tree.
#ifdef __CUDACC__

template <class Task> __global__ void __launch_bounds__(kBlock) run_tasks(const Task task, int64_t count) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) task(i);
}

// The bound of the loop is the same for the lanes of a warp, so all of them reach every shuffle.
template <class Task> __global__ void __launch_bounds__(kBlock) run_warp_tasks(const Task task, int64_t count) {
  const int lane = threadIdx.x % kWarp;
  const int64_t step = int64_t(gridDim.x) * (kBlock / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kBlock / kWarp) + threadIdx.x / kWarp; i < count; i += step) {
    auto total = task.partial(i, lane);
    for (int distance = kWarp / 2; distance > 0; distance /= 2) total += __shfl_xor_sync(0xffffffffu, total, distance);
    if (lane == 0) task.finish(i, total);
  }
}

template <class Task> __global__ void __launch_bounds__(kBlock) run_lane_tasks(const Task task, int64_t count) {
  const int64_t step = int64_t(gridDim.x) * (kBlock / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kBlock / kWarp) + threadIdx.x / kWarp; i < count; i += step) task(i, int(threadIdx.x % kWarp));
}

template <class A> GK_INLINE void lanes_together(A value, int lane, A* to) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  if (lane == 0) *to = value;
}

const char* told(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

// Only x of the grid is used: it reaches 2^31 - 1, y and z end at 65535. What is left over goes around the kernel's loop.
unsigned blocks_for(int64_t count, int64_t per_block) {
  return unsigned(std::min<int64_t>((count + per_block - 1) / per_block, 0x7fffffff));
}

template <class Task> const char* launch(const Task& task, int64_t count, cudaStream_t stream) {
  if (count <= 0) return nullptr;  // an empty grid is an error to CUDA
  run_tasks<Task><<<blocks_for(count, kBlock), kBlock, 0, stream>>>(task, count);
  return told(cudaGetLastError());
}

template <class Task> const char* launch_lanes(const Task& task, int64_t count, cudaStream_t stream) {
  if (count <= 0) return nullptr;
  run_lane_tasks<Task><<<blocks_for(count, kBlock / kWarp), kBlock, 0, stream>>>(task, count);
  return told(cudaGetLastError());
}

template <class Task> const char* launch_warps(const Task& task, int64_t count, cudaStream_t stream) {
  if (count <= 0) return nullptr;
  run_warp_tasks<Task><<<blocks_for(count, kBlock / kWarp), kBlock, 0, stream>>>(task, count);
  return told(cudaGetLastError());
}

#else

template <class Task> const char* launch(const Task& task, int64_t count, cudaStream_t) {
  for (int64_t i = count; i-- > 0;) task(i);  // backwards, so that a task that leans on an earlier one is found out
  return nullptr;
}

template <class A> GK_INLINE void lanes_together(A value, int lane, A* to) { *to = lane ? *to + value : value; }

template <class Task> const char* launch_lanes(const Task& task, int64_t count, cudaStream_t) {
  for (int64_t i = count; i-- > 0;)
    for (int lane = 0; lane < kWarp; ++lane) task(i, lane);
  return nullptr;
}

template <class Task> const char* launch_warps(const Task& task, int64_t count, cudaStream_t) {
  for (int64_t i = count; i-- > 0;) {
    decltype(task.partial(i, 0)) lanes[kWarp];
    for (int lane = 0; lane < kWarp; ++lane) lanes[lane] = task.partial(i, lane);
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      for (int lane = 0; lane < distance; ++lane) lanes[lane] += lanes[lane + distance];
    task.finish(i, lanes[0]);
  }
  return nullptr;
}

#endif

// ---- numbers --------------------------------------------------------------------------------------------------

struct Bfloat16 { uint16_t bits; };

template <class T> struct AccumulatorOf { using type = T; };
template <> struct AccumulatorOf<Bfloat16> { using type = float; };
template <class T> using Accumulator = typename AccumulatorOf<T>::type;

template <class T> GK_INLINE T widen(T value) { return value; }
GK_INLINE float widen(Bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

template <class T> GK_INLINE T narrow(Accumulator<T> value) {
  if constexpr (sizeof(T) == sizeof(Accumulator<T>)) {
    return value;
  } else {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, quiet = (bits >> 16) | 64u;  // a NaN stays one
    return T{uint16_t(value == value ? rounded : quiet)};
  }
}

// Calls with the integer in which values are counted.
template <class Call> const char* with_values(bool wide, Call call) {
  return wide ? call.template operator()<int64_t>() : call.template operator()<int32_t>();
}

}  // namespace
}  // namespace graphkit::cuda
