// Listing what satisfies a condition, in order, with as many threads as a warp has for each list.
#pragma once

#include "launch.cuh"

namespace graphkit::cuda {
namespace {

// A filter has size(i), hit(i, k) for each k below it, emit(i, k, n) for the n-th hit in the order of k, and finish(i, hits).
#ifdef __CUDACC__

template <class Task> __global__ void __launch_bounds__(kBlock) run_filters(const Task task, int64_t count) {
  const int lane = threadIdx.x % kWarp;
  const int64_t step = int64_t(gridDim.x) * (kBlock / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kBlock / kWarp) + threadIdx.x / kWarp; i < count; i += step) {
    const int64_t size = task.size(i);
    int64_t hits = 0;
    for (int64_t base = 0; base < size; base += kWarp) {
      const int64_t k = base + lane;
      const bool hit = k < size && task.hit(i, k);
      const unsigned set = __ballot_sync(0xffffffffu, hit);
      if (hit) task.emit(i, k, hits + __popc(set & ((1u << lane) - 1)));
      hits += __popc(set);
    }
    if (lane == 0) task.finish(i, hits);
  }
}

template <class Task> const char* launch_filters(const Task& task, int64_t count, cudaStream_t stream) {
  if (count <= 0) return nullptr;
  run_filters<Task><<<blocks_for(count, kBlock / kWarp), kBlock, 0, stream>>>(task, count);
  return told(cudaGetLastError());
}

#else

template <class Task> const char* launch_filters(const Task& task, int64_t count, cudaStream_t) {
  for (int64_t i = count; i-- > 0;) {
    int64_t hits = 0;
    for (int64_t k = 0; k < task.size(i); ++k)
      if (task.hit(i, k)) task.emit(i, k, hits++);
    task.finish(i, hits);
  }
  return nullptr;
}

#endif

}  // namespace
}  // namespace graphkit::cuda
