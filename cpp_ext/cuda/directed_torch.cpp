// Registration of the products with a directed adjacency matrix for CUDA with torch: checks, memory, stream.
// Not named directed.cpp: setuptools would give it the object file of directed.cu.
#include "directed.h"

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>

namespace graphkit::cuda {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const void* input(const Tensor& t, const Tensor& x, ScalarType dtype, int64_t number, const char* name) {
  STD_TORCH_CHECK(t.is_cuda() && t.get_device_index() == x.get_device_index(), name, " must be on the device of x");
  STD_TORCH_CHECK(t.scalar_type() == dtype && t.is_contiguous() && t.numel() == number, name, " has a wrong dtype or size");
  return t.data_ptr();
}
const void* input(const std::optional<Tensor>& t, const Tensor& x, int64_t number, const char* name) {
  return t ? input(*t, x, x.scalar_type(), number, name) : nullptr;
}

Tensor product(Tensor ptr, Tensor col, std::optional<Tensor> value, Tensor t_ptr, Tensor t_col, std::optional<Tensor> t_value,
               std::optional<Tensor> left, std::optional<Tensor> right, std::optional<Tensor> t_left, std::optional<Tensor> t_right,
               Tensor x, int64_t sides) {
  Directed a{};
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "directed_product: float32 or float64");
  STD_TORCH_CHECK(sides >= kOneSide && sides <= kSumOfSides && x.dim() == (sides == kSumOfSides ? 3 : 2) && x.is_contiguous() &&
                  (sides != kSumOfSides || x.size(0) == 2), "directed_product: x must be contiguous, [N, D] or [2, N, D]");
  a.N = x.size(-2), a.D = x.size(-1), a.sides = int(sides), a.wide = type == ScalarType::Double;
  const Tensor* ptrs[2] = {&ptr, &t_ptr};
  const Tensor* cols[2] = {&col, &t_col};
  const std::optional<Tensor>* optional[2][3] = {{&value, &left, &right}, {&t_value, &t_left, &t_right}};
  int64_t entries = 0;
  for (int side = 0; side < 2; ++side) {
    const int64_t size = cols[side]->numel();
    a.ptr[side] = static_cast<const int64_t*>(input(*ptrs[side], x, ScalarType::Long, a.N + 1, "ptr"));
    a.col[side] = static_cast<const int32_t*>(input(*cols[side], x, ScalarType::Int, size, "col"));
    a.value[side] = input(*optional[side][0], x, size, "value");
    a.left[side] = input(*optional[side][1], x, a.N, "left");
    a.right[side] = input(*optional[side][2], x, a.N, "right");
    if (side == 0 || sides != kOneSide) entries += size;
  }
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  Tensor out = sides == kBothSides ? torch::stable::new_empty(x, {2, a.N, a.D}) : torch::stable::new_empty(x, {a.N, a.D});
  a.x = x.data_ptr(), a.out = out.data_ptr();
  a.pieces = small_pieces(lists(a), entries);
  Tensor carry = torch::stable::new_empty(x, {a.pieces.count, 2, a.D});
  a.carry = carry.data_ptr();
  const char* error = directed_product(a, entries, static_cast<cudaStream_t>(stream));
  STD_TORCH_CHECK(error == nullptr, "graphkit could not run a product with a directed graph: ", error);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) { library.impl("directed_product", TORCH_BOX(&product)); }

}  // namespace graphkit::cuda
