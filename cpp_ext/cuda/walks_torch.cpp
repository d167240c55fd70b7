// Registration of the random walks for CUDA with torch: checks, memory, stream.
// Not named walks.cpp: setuptools would give it the object file of walks.cu.
#include "walks.h"

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

const int64_t* longs(const Tensor& t, const Tensor& start, const char* name) {
  STD_TORCH_CHECK(t.is_cuda() && t.get_device_index() == start.get_device_index(), name, " must be on the device of start");
  STD_TORCH_CHECK(t.dim() == 1 && t.scalar_type() == ScalarType::Long && t.is_contiguous(), name, " must be contiguous int64 of one dimension");
  return static_cast<const int64_t*>(t.data_ptr());
}

// Ids and the rows are trusted: looking at them here would wait for the device. The public function has looked.
Tensor walks(Tensor ptr, Tensor col, Tensor start, std::optional<Tensor> key, int64_t length, int64_t walks, int64_t repeat,
             int64_t seed, int64_t counter) {
  STD_TORCH_CHECK(length >= 0 && length <= 255 && walks >= 1 && walks <= 4096 && repeat >= 0 && repeat <= 4095,
                  "walks have at most 255 steps, 4096 walks and 4096 repeats");
  STD_TORCH_CHECK(counter >= 0 && counter < int64_t(1) << 32, "counter must lie in [0, 2^32)");
  STD_TORCH_CHECK(col.is_cuda() && col.scalar_type() == ScalarType::Int && col.is_contiguous(), "col must be contiguous int32");
  STD_TORCH_CHECK(!key || key->numel() == ptr.numel() - 1, "key must hold one number for each node");
  Walks a{};
  a.ptr = longs(ptr, start, "ptr"), a.start = longs(start, start, "start"), a.key = key ? longs(*key, start, "key") : nullptr;
  a.col = static_cast<const int32_t*>(col.data_ptr());
  a.starts = start.numel(), a.walks = walks, a.length = length, a.repeat = repeat;
  a.seed = uint64_t(seed), a.counter = uint32_t(counter);
  const torch::stable::accelerator::DeviceGuard guard(start.get_device_index());
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(start.get_device_index(), &stream));
  Tensor out = torch::stable::new_empty(start, {a.starts, walks, length + 1});
  a.out = static_cast<int64_t*>(out.data_ptr());
  const char* error = sample_walks(a, static_cast<cudaStream_t>(stream));
  STD_TORCH_CHECK(error == nullptr, "graphkit could not run random walks: ", error);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) { library.impl("sample_walks", TORCH_BOX(&walks)); }

}  // namespace graphkit::cuda
