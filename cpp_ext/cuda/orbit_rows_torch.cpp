// Registration of the rows of orbit adjacencies for CUDA with torch: checks and memory.
// Not named orbit_rows.cpp: setuptools would give it the object file of orbit_rows.cu.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "device_memory.h"
#include "orbit_rows_plan.h"

namespace graphkit::cuda {
namespace {

using Rows = std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor>;

template <class V> Rows rows_as(const OrbitGraph& g, const Tensor& like, int64_t begin, int64_t end, int64_t keys, cudaStream_t stream) {
  DeviceMemory memory(like, stream);
  auto made = rows_of_orbits<V>(g, begin, end, keys, memory);
  std::vector<Tensor> values;
  for (const auto& value : made.values2) values.push_back(value.tensor);
  return {made.ptr2.tensor, made.col2.tensor, values, made.ptr3.tensor, made.col3.tensor, made.values3.tensor};
}

Rows rows(Tensor ptr, Tensor col, Tensor triangles, Tensor com_ptr, Tensor com, Tensor opp_ptr, Tensor opp, int64_t begin, int64_t end,
          int64_t keys, bool wide) {
  const int64_t N = ptr.numel() - 1, entries = col.numel();
  STD_TORCH_CHECK(N >= 0 && N < INT32_MAX && entries <= INT32_MAX, "nodes and entries must each be fewer than 2^31");
  STD_TORCH_CHECK(begin >= 0 && begin <= end && end <= N, "rows outside the graph");
  STD_TORCH_CHECK(com.numel() == opp.numel(), "the triangles do not belong to this graph");
  const OrbitGraph g{N,
                     input<int64_t>(ptr, ptr, ScalarType::Long, N + 1, "ptr"),
                     input<int32_t>(col, ptr, ScalarType::Int, entries, "col"),
                     input<int32_t>(triangles, ptr, ScalarType::Int, entries, "triangles"),
                     input<int64_t>(com_ptr, ptr, ScalarType::Long, entries / 2 + 1, "com_ptr"),
                     input<int32_t>(com, ptr, ScalarType::Int, com.numel(), "com"),
                     input<int64_t>(opp_ptr, ptr, ScalarType::Long, N + 1, "opp_ptr"),
                     input<int32_t>(opp, ptr, ScalarType::Int, opp.numel(), "opp")};
  const Device device(ptr);
  return wide ? rows_as<int64_t>(g, ptr, begin, end, keys, device.stream) : rows_as<int32_t>(g, ptr, begin, end, keys, device.stream);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) { library.impl("orbit_rows", TORCH_BOX(&rows)); }

}  // namespace graphkit::cuda
