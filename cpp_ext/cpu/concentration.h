// A simple graph as the kernels of topological concentration read it.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>

namespace graphkit {

struct Rows {
  int64_t N, entries;
  const int64_t* ptr;  // [N + 1]
  const int32_t* col;  // [entries], sorted in each row
  int64_t degree(int64_t v) const { return ptr[v + 1] - ptr[v]; }
};

inline Rows rows_of(const torch::stable::Tensor& ptr, const torch::stable::Tensor& col) {
  using torch::headeronly::ScalarType;
  STD_TORCH_CHECK(ptr.scalar_type() == ScalarType::Long && col.scalar_type() == ScalarType::Int && ptr.is_contiguous() && col.is_contiguous() &&
                  ptr.numel() >= 1, "ptr must be int64 [N + 1], col int32 [2M], both contiguous");
  const Rows g{ptr.numel() - 1, col.numel(), static_cast<const int64_t*>(ptr.data_ptr()), static_cast<const int32_t*>(col.data_ptr())};
  STD_TORCH_CHECK(g.ptr[g.N] == g.entries, "ptr and col do not belong together");
  return g;
}

}  // namespace graphkit
