// Products with a directed adjacency matrix on a CUDA device; see ../cpu/directed.h for what the arguments mean. One thread
// owns one channel of one piece, and the threads of a warp walk the same entries in step. Lists that several pieces share go
// to a workspace and are added in the order of the pieces: no atomics, and runs repeat bit for bit.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "directed.h"

#include <algorithm>

#ifdef __CUDACC__
#define GK_DEVICE __device__ __forceinline__
#else
#define GK_DEVICE inline
#endif

namespace graphkit::cuda {
namespace {

constexpr int kBlock = 128;

#ifdef __CUDACC__

template <class Task> __global__ void __launch_bounds__(kBlock) run_tasks(const Task task, int64_t count) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) task(i);
}

template <class Task> const char* launch(const Task& task, int64_t count, cudaStream_t stream) {
  if (count <= 0) return nullptr;  // an empty grid is an error to CUDA
  const int64_t blocks = std::min<int64_t>((count + kBlock - 1) / kBlock, 0x7fffffff);
  run_tasks<Task><<<unsigned(blocks), kBlock, 0, stream>>>(task, count);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

#else

template <class Task> const char* launch(const Task& task, int64_t count, cudaStream_t) {
  for (int64_t i = count; i-- > 0;) task(i);
  return nullptr;
}

#endif

template <class A> struct Sweep {
  Directed a;
  int64_t items;

  GK_DEVICE A entries(int side, int64_t row, int64_t begin, int64_t end, int64_t channel) const {
    const int32_t* col = a.col[side];
    const A *right = static_cast<const A*>(a.right[side]), *value = static_cast<const A*>(a.value[side]), *left = static_cast<const A*>(a.left[side]);
    const A* x = static_cast<const A*>(a.x) + (a.sides == kSumOfSides && side == 1 ? a.N * a.D : 0) + channel;
    A sum = A(0);
    for (int64_t e = begin; e < end; ++e) {
      const int64_t source = col[e];
      A term = x[source * a.D];
      if (right) term *= right[source];
      if (value) term *= value[e];
      sum += term;
    }
    return left ? sum * left[row] : sum;
  }

  GK_DEVICE void operator()(int64_t i) const {
    const int64_t piece = i / a.D, channel = i % a.D, count = lists(a);
    const int64_t begin = piece * a.pieces.size, end = begin + a.pieces.size < items ? begin + a.pieces.size : items;
    int64_t list = list_of_item(a, begin);
    for (int64_t item = begin; item < end && list < count; ++list) {
      const int64_t before = entries_before(a, list), size = entries_before(a, list + 1) - before;
      const int64_t first = item - list - before, stop = end - list - before < size ? end - list - before : size;
      const bool whole_begin = first == 0, whole_end = end > before + list + size;
      const int64_t node = a.sides == kBothSides ? list / 2 : list;
      A sum = A(0);
      int64_t skipped = 0;
      for (int side = 0; side < 2; ++side) {
        if ((a.sides == kOneSide && side == 1) || (a.sides == kBothSides && side != (list & 1))) continue;
        const int64_t from = a.ptr[side][node], number = a.ptr[side][node + 1] - from;
        const int64_t low = first - skipped < 0 ? 0 : first - skipped, high = stop - skipped > number ? number : stop - skipped;
        if (low < high) sum += entries(side, node, from + low, from + high, channel);
        skipped += number;
      }
      if (whole_begin && whole_end) {
        static_cast<A*>(a.out)[((a.sides == kBothSides && (list & 1) ? a.N : 0) + node) * a.D + channel] = sum;
      } else {
        static_cast<A*>(a.carry)[(piece * 2 + (whole_begin ? 1 : 0)) * a.D + channel] = sum;
      }
      item = before + list + size + 1;
    }
  }
};

// Slot 1 of the piece in which a shared list begins, slot 0 of the others.
template <class A> struct Join {
  Directed a;

  GK_DEVICE void operator()(int64_t i) const {
    const int64_t piece = i / a.D + 1, channel = i % a.D;
    const int64_t border = piece * a.pieces.size, list = list_of_item(a, border);
    if (list >= lists(a)) return;
    const int64_t start = entries_before(a, list) + list, first = start / a.pieces.size;
    if (start >= border || first != piece - 1) return;  // begins at the border, or is joined at an earlier one
    const int64_t last = (entries_before(a, list + 1) + list) / a.pieces.size;
    const A* carry = static_cast<const A*>(a.carry);
    A total = A(0);
    for (int64_t k = first; k <= last; ++k) total += carry[(k * 2 + (k == first ? 1 : 0)) * a.D + channel];
    static_cast<A*>(a.out)[(a.sides == kBothSides ? (list & 1) * a.N + list / 2 : list) * a.D + channel] = total;
  }
};

template <class A> const char* run(const Directed& a, int64_t entries, cudaStream_t stream) {
  const char* error = launch(Sweep<A>{a, entries + lists(a)}, a.pieces.count * a.D, stream);
  return error ? error : launch(Join<A>{a}, (a.pieces.count - 1) * a.D, stream);
}

}  // namespace

const char* directed_product(const Directed& a, int64_t entries, cudaStream_t stream) {
  return a.wide ? run<double>(a, entries, stream) : run<float>(a, entries, stream);
}

}  // namespace graphkit::cuda
