// Registration of the kernels on common neighbours and masked graphs for CUDA with torch: checks, memory, stream.
// Not named common_neighbors.cpp: setuptools would give it the object file of common_neighbors.cu.
#include "common_neighbors.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "device_tensors.h"

namespace graphkit::cuda {
namespace {

void check(const char* error) { STD_TORCH_CHECK(error == nullptr, "graphkit could not run a kernel on common neighbours: ", error); }

ScalarType accumulators(Real dtype) { return dtype == Real::kFloat64 ? ScalarType::Double : ScalarType::Float; }

Features features(const Tensor& x, const Tensor& like, int64_t rows, const char* name) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(x.dim() == 2, name, " must be [rows, F]");
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16, name, " must be float32, float64 or bfloat16");
  return {type == ScalarType::Double ? Real::kFloat64 : type == ScalarType::Float ? Real::kFloat32 : Real::kBfloat16, x.size(1),
          input<void>(x, like, type, rows * x.size(1), name)};
}

NeighborGraph graph_of(const Tensor& ptr, const Tensor& col, const std::optional<Tensor>& gone) {
  const int64_t N = ptr.numel() - 1, entries = col.numel();
  STD_TORCH_CHECK(N >= 0 && N <= INT32_MAX && entries <= INT32_MAX, "nodes and entries must each be fewer than 2^31");
  return {N, input<int64_t>(ptr, ptr, ScalarType::Long, N + 1, "ptr"), input<int32_t>(col, ptr, ScalarType::Int, entries, "col"),
          input<uint8_t>(gone, ptr, ScalarType::Byte, entries, "gone")};
}

Pairs pairs_of(const Tensor& pairs, const Tensor& like) {
  STD_TORCH_CHECK(pairs.dim() == 2 && pairs.size(0) == 2 && pairs.size(1) <= INT32_MAX, "pairs must be [2, P], fewer than 2^31");
  const int64_t* node = input<int64_t>(pairs, like, ScalarType::Long, pairs.numel(), "pairs");
  return {pairs.size(1), node, node + pairs.size(1)};
}

// Things sorted by key; the tensors keep the memory.
struct SortedMemory {
  Tensor place, ptr;
  Sorted sorted;
};

SortedMemory sort(const int32_t* key, int64_t count, int64_t keys, const Tensor& like, cudaStream_t stream) {
  size_t bytes = 0;
  check(key_sort_bytes(count, keys, &bytes));
  Tensor memory = buffer(like, {int64_t(bytes)}, ScalarType::Byte), scratch = buffer(like, {2, count}, ScalarType::Int);
  SortedMemory made{buffer(like, {count}, ScalarType::Int), buffer(like, {keys + 1}, ScalarType::Long), {}};
  check(sort_by_key(key, count, keys, memory.data_ptr(), bytes, data<int32_t>(scratch), data<int32_t>(made.place), data<int64_t>(made.ptr), stream));
  made.sorted = {data<const int32_t>(made.place), data<const int64_t>(made.ptr)};
  return made;
}

// Rows are sampled by the body in torch, which the wrapper in Python calls for a cap.
std::tuple<Tensor, Tensor, Tensor> neighbor_sets(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor>, Tensor pairs, int64_t sets,
                                                 int64_t cap, int64_t, int64_t, int64_t) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Pairs of = pairs_of(pairs, ptr);
  STD_TORCH_CHECK((sets == kCommon || sets == kResidual) && cap == 0, "unknown set, or a cap");
  const Device device(ptr);
  const int64_t rows = sets == kCommon ? of.count : 2 * of.count;
  Tensor size = buffer(ptr, {rows}, ScalarType::Long), start = buffer(ptr, {rows + 1}, ScalarType::Long);
  check(count_sets(g, of, Sets(sets), data<int64_t>(size), device.stream));
  size_t bytes = 0;
  check(sums_bytes(rows, &bytes));
  Tensor memory = buffer(ptr, {int64_t(bytes)}, ScalarType::Byte);
  check(running_sums(data<int64_t>(size), rows, memory.data_ptr(), bytes, data<int64_t>(start), device.stream));
  int64_t total = 0;
  check(read_back(data<int64_t>(start) + rows, &total, device.stream));
  Tensor node = buffer(ptr, {total}, ScalarType::Long);
  check(fill_sets(g, of, Sets(sets), data<int64_t>(start), data<int64_t>(node), device.stream));
  return {start, node, buffer(ptr, {0}, ScalarType::Float)};
}

Tensor count(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor>, Tensor pairs, int64_t) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Pairs of = pairs_of(pairs, ptr);
  const Device device(ptr);
  Tensor size = buffer(ptr, {of.count}, ScalarType::Long);
  check(count_sets(g, of, kCommon, data<int64_t>(size), device.stream));
  return size;
}

Tensor pool(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor>, Tensor pairs, Tensor x, std::optional<Tensor> weight, int64_t) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Pairs of = pairs_of(pairs, ptr);
  const Features f = features(x, ptr, g.N, "x");
  const void* factor = input<void>(weight, ptr, accumulators(f.dtype), g.N, "weight");
  const Device device(ptr);
  Tensor out = buffer(x, {of.count, f.F}, x.scalar_type());
  check(cn_pool(g, of, f, factor, out.data_ptr(), device.stream));
  return out;
}

Tensor spread(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor>, Tensor pairs, Tensor grad, int64_t) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Pairs of = pairs_of(pairs, ptr);
  const Features f = features(grad, ptr, of.count, "grad");
  STD_TORCH_CHECK(f.dtype != Real::kBfloat16, "grad must be float32 or float64");
  const Device device(ptr);
  Tensor key = buffer(ptr, {of.count}, ScalarType::Int), out = buffer(grad, {g.N, f.F}, grad.scalar_type());
  check(shorter_rows(g, of, data<int32_t>(key), device.stream));
  const SortedMemory by_shorter = sort(data<int32_t>(key), of.count, g.N, ptr, device.stream);
  check(cn_spread(g, of, by_shorter.sorted, f, out.data_ptr(), device.stream));
  return out;
}

Ragged ragged_of(const Tensor& ptr, const Tensor& node, const std::optional<Tensor>& value, Real dtype, int64_t rows) {
  const int64_t count = ptr.numel() - 1, entries = node.numel();
  STD_TORCH_CHECK(count >= 0 && entries <= INT32_MAX && rows >= 0 && (rows > 0 || count == 0), "ragged rows must be fewer than 2^31 entries, with a row to add to");
  return {count, entries, rows, input<int64_t>(ptr, ptr, ScalarType::Long, count + 1, "ptr"), input<int64_t>(node, ptr, ScalarType::Long, entries, "node"),
          input<void>(value, ptr, accumulators(dtype), entries, "value")};
}

Tensor ragged_pool(Tensor ptr, Tensor node, std::optional<Tensor> value, Tensor x, int64_t rows) {
  const Features f = features(x, ptr, x.size(0), "x");
  const Ragged lists = ragged_of(ptr, node, value, f.dtype, rows);
  const Device device(ptr);
  Tensor out = buffer(x, {rows, f.F}, x.scalar_type());
  check(weighted_pool(lists, f, out.data_ptr(), device.stream));
  return out;
}

std::tuple<Tensor, Tensor> ragged_pool_backward(Tensor ptr, Tensor node, std::optional<Tensor> value, Tensor x, Tensor grad, bool need_value, bool need_x) {
  const int64_t N = x.size(0);
  const Features f = features(x, ptr, N, "x"), g = features(grad, ptr, grad.size(0), "grad");
  STD_TORCH_CHECK(g.F == f.F && grad.scalar_type() == accumulators(f.dtype), "grad must be accumulators [rows, F]");
  const Ragged lists = ragged_of(ptr, node, value, f.dtype, grad.size(0));
  const Device device(ptr);
  Tensor grad_value = buffer(grad, {need_value ? lists.entries : 0}, grad.scalar_type());
  if (need_value) check(value_gradient(lists, f, g.x, grad_value.data_ptr(), device.stream));
  if (!need_x) return {grad_value, buffer(grad, {0}, grad.scalar_type())};
  Tensor key = buffer(ptr, {lists.entries}, ScalarType::Int), grad_x = buffer(grad, {N, f.F}, grad.scalar_type());
  check(narrow_ids(lists.node, lists.entries, data<int32_t>(key), device.stream));
  const SortedMemory by_node = sort(data<int32_t>(key), lists.entries, N, ptr, device.stream);
  check(feature_gradient(lists, by_node.sorted, g, N, grad_x.data_ptr(), device.stream));
  return {grad_value, grad_x};
}

Tensor masked_spmm(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor x, std::optional<Tensor> in_scale, std::optional<Tensor> out_scale,
                   std::optional<Tensor> edge_weight, std::optional<Tensor>, double loop) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Features f = features(x, ptr, g.N, "x");
  const ScalarType real = accumulators(f.dtype);
  const Device device(ptr);
  Tensor out = buffer(x, {g.N, f.F}, x.scalar_type());
  const MaskedSpmm a{f, g.ptr, g.col, g.gone, input<void>(in_scale, ptr, real, g.N, "in_scale"), input<void>(out_scale, ptr, real, g.N, "out_scale"),
                     input<void>(edge_weight, ptr, real, col.numel(), "edge_weight"), loop, out.data_ptr()};
  check(spmm(a, g.N, device.stream));
  return out;
}

Tensor masked_sddmm(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor left, Tensor right, std::optional<Tensor> left_scale,
                    std::optional<Tensor> right_scale) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  const Features a = features(left, ptr, g.N, "left"), b = features(right, ptr, g.N, "right");
  STD_TORCH_CHECK(a.F == b.F && a.dtype == b.dtype, "both sides must be alike");
  const ScalarType real = accumulators(a.dtype);
  const Device device(ptr);
  Tensor out = buffer(left, {col.numel()}, real);
  const MaskedSddmm of{a, b, g.ptr, g.col, g.gone, input<void>(left_scale, ptr, real, g.N, "left_scale"), input<void>(right_scale, ptr, real, g.N, "right_scale"), out.data_ptr()};
  check(sddmm(of, g.N, col.numel(), device.stream));
  return out;
}

MaskedMax maximum_of(const NeighborGraph& g, const Tensor& x, const Tensor& like, bool loop) {
  const Features f = features(x, like, g.N, "x");
  STD_TORCH_CHECK(f.dtype != Real::kBfloat16, "the maximum is taken in float32 or float64");
  return {f.dtype, f.F, g.ptr, g.col, g.gone, loop, f.x, nullptr, nullptr};
}

std::tuple<Tensor, Tensor> masked_max(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor x, bool loop) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  MaskedMax a = maximum_of(g, x, ptr, loop);
  const Device device(ptr);
  Tensor out = buffer(x, {g.N, a.F}, x.scalar_type()), arg = buffer(x, {g.N, a.F}, ScalarType::Int);
  a.out = out.data_ptr(), a.arg = data<int32_t>(arg);
  check(maximum(a, g.N, device.stream));
  return {out, arg};
}

Tensor masked_max_backward(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor arg, Tensor grad, bool loop) {
  const NeighborGraph g = graph_of(ptr, col, gone);
  MaskedMax a = maximum_of(g, grad, ptr, loop);
  input<int32_t>(arg, ptr, ScalarType::Int, g.N * a.F, "arg");
  const Device device(ptr);
  Tensor out = buffer(grad, {g.N, a.F}, grad.scalar_type());
  a.out = out.data_ptr(), a.arg = data<int32_t>(arg);
  check(maximum_gradient(a, g.N, device.stream));
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) {
  library.impl("neighbor_sets", TORCH_BOX(&neighbor_sets));
  library.impl("common_neighbor_count", TORCH_BOX(&count));
  library.impl("cn_pool", TORCH_BOX(&pool));
  library.impl("cn_spread", TORCH_BOX(&spread));
  library.impl("weighted_pool", TORCH_BOX(&ragged_pool));
  library.impl("weighted_pool_backward", TORCH_BOX(&ragged_pool_backward));
  library.impl("masked_spmm", TORCH_BOX(&masked_spmm));
  library.impl("masked_sddmm", TORCH_BOX(&masked_sddmm));
  library.impl("masked_max", TORCH_BOX(&masked_max));
  library.impl("masked_max_backward", TORCH_BOX(&masked_max_backward));
}

}  // namespace graphkit::cuda
