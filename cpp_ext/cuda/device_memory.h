// Memory of a CUDA device for the plans that put results together from kernels; a plan is a template on it, so that tests run it on a CPU.
#pragma once

#include <type_traits>

#include "common_neighbors.h"
#include "device_tensors.h"

namespace graphkit::cuda {
namespace {

class DeviceMemory {
 public:
  template <class T> struct Array {
    Tensor tensor;
    T* data() const { return static_cast<T*>(tensor.data_ptr()); }
  };

  DeviceMemory(const Tensor& like, cudaStream_t stream) : stream(stream), like_(like) {}

  template <class T> Array<T> empty(int64_t size) { return {torch::stable::new_empty(like_, {size}, type<T>())}; }
  template <class T> Array<T> zeros(int64_t size) { return {torch::stable::new_zeros(like_, {size}, type<T>())}; }

  // size[0] + ... + size[k - 1] for k = 0 .. count
  Array<int64_t> sums(const int64_t* size, int64_t count) {
    Array<int64_t> to = empty<int64_t>(count + 1);
    size_t bytes = 0;
    check(sums_bytes(count, &bytes));
    Tensor memory = torch::stable::new_empty(like_, {int64_t(bytes)}, ScalarType::Byte);
    check(running_sums(size, count, memory.data_ptr(), bytes, to.data(), stream));
    return to;
  }

  int64_t read(const int64_t* from) {
    int64_t value = 0;
    check(read_back(from, &value, stream));
    return value;
  }

  void check(const char* error) { STD_TORCH_CHECK(error == nullptr, "graphkit could not run a kernel: ", error); }

  const cudaStream_t stream;

 private:
  template <class T> static constexpr ScalarType type() {
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    return sizeof(T) == 8 ? ScalarType::Long : ScalarType::Int;
  }

  const Tensor like_;
};

}  // namespace
}  // namespace graphkit::cuda
