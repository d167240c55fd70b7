// Tensors as the arguments of kernels: device and stream, checks, memory.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace graphkit::cuda {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Kernels run on the device of the tensors and on the stream that torch has made current there. Memory comes from torch and
// goes back when the function returns, before the kernels have run: torch hands it on in the order of the same stream.
struct Device {
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;
  explicit Device(const Tensor& x) : guard(x.get_device_index()) {
    void* current = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &current));
    stream = static_cast<cudaStream_t>(current);
  }
};

Tensor buffer(const Tensor& like, std::vector<int64_t> size, ScalarType dtype) { return torch::stable::new_empty(like, size, dtype); }

template <class T> T* data(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }

// The data of an argument of `number` elements, in one block, beside `like`. The wrapper in Python has checked values; here only
// what would read past the end of an array.
template <class T> const T* input(const Tensor& t, const Tensor& like, ScalarType dtype, int64_t number, const char* name) {
  STD_TORCH_CHECK(t.is_cuda() && t.get_device_index() == like.get_device_index(), name, " must be on the device of the graph");
  STD_TORCH_CHECK(t.scalar_type() == dtype, name, " has a wrong dtype");
  STD_TORCH_CHECK(t.numel() == number && t.is_contiguous(), name, " must be contiguous, with ", number, " elements");
  return data<const T>(t);
}
template <class T> const T* input(const std::optional<Tensor>& t, const Tensor& like, ScalarType dtype, int64_t number, const char* name) {
  return t ? input<T>(*t, like, dtype, number, name) : nullptr;
}

}  // namespace
}  // namespace graphkit::cuda
