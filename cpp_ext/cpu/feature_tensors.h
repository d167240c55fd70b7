// Tensors of features, checked and described for the kernels that add rows of them.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>

#include "isa.h"
#include "neighbor_pool.h"

namespace graphkit {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline const NeighborPoolKernels& pool_kernels() { return GRAPHKIT_KERNELS(neighbor_pool_kernels); }

inline Features features(const Tensor& x) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && (type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16),
                  "features must be contiguous [rows, F] of float32, float64 or bfloat16");
  return {type == ScalarType::Double ? Real::kFloat64 : type == ScalarType::Float ? Real::kFloat32 : Real::kBfloat16, x.size(1), x.data_ptr()};
}
inline ScalarType accumulators(Real dtype) { return dtype == Real::kFloat64 ? ScalarType::Double : ScalarType::Float; }
inline int64_t bytes_of(Real dtype) { return dtype == Real::kFloat64 ? 8 : 4; }

inline const void* optional_values(const std::optional<Tensor>& t, int64_t size, Real dtype) {
  STD_TORCH_CHECK(!t || (t->scalar_type() == accumulators(dtype) && t->is_contiguous() && t->numel() == size), "weights must be accumulators, one each");
  return t ? t->data_ptr() : nullptr;
}

}  // namespace graphkit
