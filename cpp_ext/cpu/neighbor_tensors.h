// Tensors of the operators on neighbours, checked and described for the kernels; blocks of rows for the threads.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <optional>

#include "feature_tensors.h"
#include "intersections.h"
#include "large_pages.h"
#include "tasks.h"

namespace graphkit {

constexpr int64_t kListsAtOnce = int64_t(1) << 22;  // nodes in the lists that are held at one time

template <class T> T* data(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }

inline NeighborGraph describe(const Tensor& ptr, const Tensor& col, const std::optional<Tensor>& gone, const std::optional<Tensor>& degree) {
  const int64_t N = ptr.numel() - 1;
  STD_TORCH_CHECK(N >= 0 && ptr.scalar_type() == ScalarType::Long && ptr.is_contiguous(), "ptr must be int64 [N + 1]");
  STD_TORCH_CHECK(col.scalar_type() == ScalarType::Int && col.is_contiguous() && data<int64_t>(ptr)[N] == col.numel(), "col must be int32 [ptr[N]]");
  STD_TORCH_CHECK(gone.has_value() == degree.has_value(), "gone and degree go together");
  if (gone) {
    STD_TORCH_CHECK(gone->scalar_type() == ScalarType::Byte && gone->is_contiguous() && gone->numel() == col.numel(), "gone must be uint8 [2M]");
    STD_TORCH_CHECK(degree->scalar_type() == ScalarType::Long && degree->is_contiguous() && degree->numel() == N, "degree must be int64 [N]");
  }
  return {N, data<int64_t>(ptr), data<int32_t>(col), gone ? data<uint8_t>(*gone) : nullptr, degree ? data<int64_t>(*degree) : nullptr};
}

inline Intersections describe(const NeighborGraph& g, const Tensor& pairs, int64_t strategy) {
  STD_TORCH_CHECK(pairs.dim() == 2 && pairs.size(0) == 2 && pairs.scalar_type() == ScalarType::Long && pairs.is_contiguous(), "pairs must be int64 [2, P]");
  STD_TORCH_CHECK(strategy >= kAuto && strategy <= kWords, "unknown strategy");
  const int64_t P = pairs.size(1);
  STD_TORCH_CHECK(P < int64_t(1) << 31, "more than 2^31 - 1 pairs");
  return Intersections(g, P, data<int64_t>(pairs), int(strategy));
}

inline Tensor large(const Tensor& like, int64_t size, ScalarType dtype) {
  Tensor made = torch::stable::new_empty(like, {size}, dtype);
  ask_for_large_pages(made.data_ptr(), size * 8);
  return made;
}

template <class F> void each_block(int64_t count, const F& f) {
  const int64_t size = std::max<int64_t>(16, (count + 255) / 256), blocks = (count + size - 1) / size;
  run_tasks(blocks, task_slots(blocks), [&](int64_t b, int64_t slot) { f(b * size, std::min(count, (b + 1) * size), slot); });
}

}  // namespace graphkit
