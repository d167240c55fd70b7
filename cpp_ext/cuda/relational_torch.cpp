// Registration of the relational kernels for CUDA with torch: checks, memory, stream.
// Not named relational.cpp: setuptools would give it the object file of relational.cu.
#include "relational.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>

#include "device_tensors.h"

namespace graphkit::cuda {
namespace {

// What the coefficients and relation tables of one pass over queries may take. How many queries a pass works on, and with it
// the order of every sum, follows from this and the sizes alone, never from the device or the memory it has free.
constexpr int64_t kWorkspace = int64_t(256) << 20;

void check(const char* error) { STD_TORCH_CHECK(error == nullptr, "graphkit could not run a relational kernel: ", error); }

ScalarType accumulator(const Tensor& x) { return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float; }

// The wrapper in Python has checked values; here only what would read past the end of an array.
void describe(Relational& a, const Tensor& ptr, const Tensor& source, const Tensor& type, const std::optional<Tensor>& weight,
              const std::optional<Tensor>& keep, const Tensor& x, const Tensor& relation,
              const std::optional<Tensor>& boundary_source, const std::optional<Tensor>& boundary, int64_t message, int64_t reduce) {
  const ScalarType dtype = x.scalar_type();
  STD_TORCH_CHECK(x.dim() == 3, "x must be [B, N, D]");
  STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double || dtype == ScalarType::BFloat16,
                  "x must be float32, float64 or bfloat16");
  STD_TORCH_CHECK(relation.dim() == 2 || relation.dim() == 3, "relation must be [R, D] or [B, R, D]");
  a.B = x.size(0), a.N = x.size(1), a.D = x.size(2), a.E = source.numel(), a.R = relation.size(-2);
  STD_TORCH_CHECK(std::max(a.N, a.E) <= INT32_MAX, "nodes and edges must each be fewer than 2^31");
  STD_TORCH_CHECK(a.E == 0 || (a.N > 0 && a.R > 0), "edges need nodes and relations");
  STD_TORCH_CHECK(relation.size(-1) == a.D, "relation must have as many channels as x");
  STD_TORCH_CHECK(relation.dim() == 2 || relation.size(0) == a.B, "relation must have as many queries as x");
  STD_TORCH_CHECK(message >= kMul && message <= kMin && reduce >= kSum && reduce <= kPna, "unknown message or reduce");
  STD_TORCH_CHECK(message != kRotate || a.D % 2 == 0, "rotate needs an even number of channels");
  a.dtype = dtype == ScalarType::Double ? kFloat64 : dtype == ScalarType::BFloat16 ? kBfloat16 : kFloat32;
  a.message = int(message), a.reduce = int(reduce);
  a.ptr = input<int64_t>(ptr, x, ScalarType::Long, a.N + 1, "ptr");
  a.source = input<int32_t>(source, x, ScalarType::Int, a.E, "source");
  a.type = input<int32_t>(type, x, ScalarType::Int, a.E, "type");
  a.weight = input<void>(weight, x, accumulator(x), a.E, "weight");
  a.keep = input<uint8_t>(keep, x, ScalarType::Byte, a.E, "keep");
  a.x = input<void>(x, x, dtype, a.B * a.N * a.D, "x");
  a.relation_stride = relation.dim() == 3 ? a.R * a.D : 0;
  a.relation = input<void>(relation, x, dtype, (relation.dim() == 3 ? a.B : 1) * a.R * a.D, "relation");
  a.boundary_kind = !boundary ? kNone : boundary_source ? kSparse : kDense;
  a.boundary = input<void>(boundary, x, dtype, (boundary_source ? 1 : a.N) * a.B * a.D, "boundary");
  a.boundary_source = input<int64_t>(boundary_source, x, ScalarType::Long, a.B, "boundary_source");
}

// Cuts the rows and finds where the pieces begin; `borders` keeps the memory.
Order order_of(const int64_t* ptr, int64_t rows, int64_t edges, int64_t queries, int64_t D, const Tensor& x, Tensor& borders,
               cudaStream_t stream) {
  Order order{rows, edges, ptr, cut(rows, edges, queries, D), nullptr};
  borders = buffer(x, {order.pieces.count + 1}, ScalarType::Long);
  check(find_borders(order, data<int64_t>(borders), stream));
  order.border = data<int64_t>(borders);
  return order;
}

std::tuple<Tensor, Tensor> run_forward(
    Tensor ptr, Tensor source, Tensor type, std::optional<Tensor> weight, std::optional<Tensor> keep, Tensor x, Tensor relation,
    std::optional<Tensor> boundary_source, std::optional<Tensor> boundary, Tensor, Tensor, Tensor, int64_t message, int64_t reduce,
    double empty, bool with_arg) {
  Forward a{};
  describe(a, ptr, source, type, weight, keep, x, relation, boundary_source, boundary, message, reduce);
  const Device device(x);
  const bool pna = reduce == kPna, extreme = reduce == kMaximum || reduce == kMinimum, args = with_arg && (pna || extreme);
  Tensor out = pna ? buffer(x, {a.B, a.N, 4, a.D}, x.scalar_type()) : buffer(x, {a.B, a.N, a.D}, x.scalar_type());
  Tensor arg = !args ? buffer(x, {0}, ScalarType::Int)
             : pna ? buffer(x, {a.B, a.N, 2, a.D}, ScalarType::Int) : buffer(x, {a.B, a.N, a.D}, ScalarType::Int);
  a.empty = empty, a.out = out.data_ptr(), a.arg = args ? data<int32_t>(arg) : nullptr;
  Tensor borders = arg;
  a.order = order_of(a.ptr, a.N, a.E, a.B, a.D, x, borders, device.stream);
  const int64_t slots = a.B * a.order.pieces.count * 2;
  Tensor carry = buffer(x, {slots, carry_fields(int(reduce)), a.D}, accumulator(x));
  Tensor carry_arg = buffer(x, {pna || extreme ? slots : 0, 2, a.D}, ScalarType::Int);
  Tensor carry_count = buffer(x, {slots}, ScalarType::Long);
  a.carry = carry.data_ptr(), a.carry_arg = data<int32_t>(carry_arg), a.carry_count = data<int64_t>(carry_count);
  check(forward(a, device.stream));
  return {out, arg};
}

enum Needs : int { kNeedX = 1, kNeedRelation = 2, kNeedWeight = 4, kNeedBoundary = 8 };

// Memory of edges in another order.
struct Sorted {
  SortedEdges edges{};
  Tensor borders, other, target, weight, keep;
};

// Fills `sorted` with what the edges carry, given their positions in the new order.
void carry_over(Sorted& sorted, const Backward& a, const Order& order, const int32_t* position, const int32_t* other_from,
                const int32_t* target_from, const Tensor& x, cudaStream_t stream) {
  sorted.other = buffer(x, {a.E}, ScalarType::Int);
  sorted.target = buffer(x, {target_from ? a.E : 0}, ScalarType::Int);
  sorted.weight = buffer(x, {a.weight ? a.E : 0}, accumulator(x));
  sorted.keep = buffer(x, {a.keep ? a.E : 0}, ScalarType::Byte);
  Gather gather{};
  gather.edges = a.E, gather.dtype = a.dtype, gather.position = position;
  gather.other_from = other_from, gather.target_from = target_from, gather.weight_from = a.weight, gather.keep_from = a.keep;
  gather.other = data<int32_t>(sorted.other);
  gather.target = target_from ? data<int32_t>(sorted.target) : nullptr;
  gather.weight = a.weight ? sorted.weight.data_ptr() : nullptr;
  gather.keep = a.keep ? data<uint8_t>(sorted.keep) : nullptr;
  check(gather_edges(gather, stream));
  static_cast<Order&>(sorted.edges) = order;
  sorted.edges.other = gather.other, sorted.edges.target = gather.target, sorted.edges.position = position;
  sorted.edges.weight = gather.weight, sorted.edges.keep = gather.keep;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> run_backward(
    Tensor ptr, Tensor source, Tensor type, std::optional<Tensor> weight, std::optional<Tensor> keep, Tensor x, Tensor relation,
    std::optional<Tensor> boundary_source, std::optional<Tensor> boundary, Tensor t_ptr, Tensor t_target, Tensor t_position,
    Tensor out, Tensor arg, Tensor grad, int64_t message, int64_t reduce, int64_t needs) {
  Backward a{};
  describe(a, ptr, source, type, weight, keep, x, relation, boundary_source, boundary, message, reduce);
  const Device device(x);
  const cudaStream_t stream = device.stream;
  const ScalarType dtype = x.scalar_type(), real = accumulator(x);
  const int64_t B = a.B, N = a.N, E = a.E, R = a.R, D = a.D, real_bytes = real == ScalarType::Double ? 8 : 4;
  const bool pna = reduce == kPna, mean = reduce == kMean, extreme = reduce == kMaximum || reduce == kMinimum;
  const bool per_query = a.relation_stride != 0;
  const bool need_x = needs & kNeedX, need_relation = needs & kNeedRelation, need_weight = (needs & kNeedWeight) && a.weight;
  const bool need_boundary = (needs & kNeedBoundary) && a.boundary_kind != kNone;
  const int64_t* by_source = input<int64_t>(t_ptr, x, ScalarType::Long, N + 1, "t_ptr");
  const int32_t* its_target = input<int32_t>(t_target, x, ScalarType::Int, E, "t_target");
  const int32_t* its_position = input<int32_t>(t_position, x, ScalarType::Int, E, "t_position");
  a.grad_out = input<void>(grad, x, dtype, B * N * D * (pna ? 4 : 1), "the gradient");
  if (pna) a.out = input<void>(out, x, dtype, B * N * D * 4, "out");
  if (pna || extreme) a.arg = input<int32_t>(arg, x, ScalarType::Int, B * N * D * (pna ? 2 : 1), "arg");

  Tensor grad_x = need_x ? buffer(x, {B, N, D}, dtype) : buffer(x, {0}, dtype);
  // Without a query, or without D, no kernel writes these two: their sums begin at zero.
  Tensor grad_relation = need_relation ? torch::stable::new_zeros(relation, relation.sizes(), real) : buffer(x, {0}, real);
  Tensor grad_weight = need_weight ? torch::stable::new_zeros(x, {E}, real) : buffer(x, {0}, real);
  std::vector<int64_t> boundary_size{0};
  if (need_boundary) boundary_size = a.boundary_kind == kSparse ? std::vector<int64_t>{B, D} : std::vector<int64_t>{B, N, D};
  Tensor grad_boundary = buffer(x, boundary_size, dtype);

  // how many queries at a time
  const int64_t coefficient_bytes = pna ? N * 2 * D * real_bytes : 0;
  const int64_t table_bytes = need_relation && !per_query ? R * D * real_bytes : 0;
  const int64_t most = kWorkspace / std::max<int64_t>(1, std::max(coefficient_bytes, table_bytes));
  const int64_t at_once = std::max<int64_t>(1, std::min(B, most));

  Tensor scale = buffer(x, {pna || mean ? N : 0}, real);
  if (pna || mean) {
    check(message_share(a, scale.data_ptr(), stream));
    a.scale = scale.data_ptr();
  }
  Tensor target = buffer(x, {need_relation || need_weight ? E : 0}, ScalarType::Int);
  if (need_relation || need_weight) {
    check(find_targets(E, its_target, its_position, data<int32_t>(target), stream));
    a.target = data<int32_t>(target);
  }

  const Tensor none = buffer(x, {0}, ScalarType::Int);
  Sorted by{{}, none, none, none, none, none}, kinds{{}, none, none, none, none, none};
  Tensor t_carry = none, r_carry = none, r_ptr = none, r_position = none, tables = none;
  if (need_x) {
    const Order order = order_of(by_source, N, E, at_once, D, x, by.borders, stream);
    carry_over(by, a, order, its_position, a.type, nullptr, x, stream);
    by.edges.target = its_target;
    t_carry = buffer(x, {at_once, order.pieces.count, 2, D}, real);
  }
  if (need_relation) {
    r_ptr = buffer(x, {R + 1}, ScalarType::Long), r_position = buffer(x, {E}, ScalarType::Int);
    size_t bytes = 0;
    check(sort_bytes(E, R, &bytes));
    Tensor memory = buffer(x, {int64_t(bytes)}, ScalarType::Byte), scratch = buffer(x, {2, E}, ScalarType::Int);
    check(sort_by_relation(a.type, E, R, memory.data_ptr(), bytes, data<int32_t>(scratch), data<int32_t>(r_position),
                           data<int64_t>(r_ptr), stream));
    const Order order = order_of(data<int64_t>(r_ptr), R, E, at_once, D, x, kinds.borders, stream);
    carry_over(kinds, a, order, data<int32_t>(r_position), a.source, a.target, x, stream);
    r_carry = buffer(x, {at_once, order.pieces.count, 2, D}, real);
    if (!per_query) tables = buffer(x, {at_once, R, D}, real);
  }
  Tensor coefficient = buffer(x, {pna ? at_once : 0, N, 2, D}, real);
  a.coefficients = coefficient.data_ptr();

  const auto offset = [](const Tensor& t, int64_t elements) {
    return static_cast<void*>(data<char>(t) + elements * int64_t(t.element_size()));
  };
  for (int64_t begin = 0; begin < B; begin += at_once) {
    a.batch_begin = begin, a.batch_count = std::min(at_once, B - begin);
    if (pna) check(coefficients(a, stream));
    if (need_boundary) check(boundary_gradient(a, grad_boundary.data_ptr(), stream));
    if (need_x) check(source_gradient(a, by.edges, offset(grad_x, begin * N * D), t_carry.data_ptr(), stream));
    if (need_relation) {
      void* to = per_query ? offset(grad_relation, begin * R * D) : tables.data_ptr();
      check(relation_gradient(a, kinds.edges, to, r_carry.data_ptr(), stream));
      if (!per_query) check(add_queries(a.dtype, a.batch_count, R * D, to, grad_relation.data_ptr(), stream));
    }
    if (need_weight) check(weight_gradient(a, grad_weight.data_ptr(), stream));
  }
  return {grad_x, grad_relation, grad_weight, grad_boundary};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) {
  library.impl("relational_aggregate", TORCH_BOX(&run_forward));
  library.impl("relational_aggregate_backward", TORCH_BOX(&run_backward));
}

}  // namespace graphkit::cuda
