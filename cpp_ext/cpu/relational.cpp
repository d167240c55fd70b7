// Registration of the relational kernels with torch: checks, memory, threads. The only file here that knows torch.
#include "relational.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <tuple>
#include <vector>

#include "isa.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const RelationalKernels& kernels() { return GRAPHKIT_KERNELS(relational_kernels); }

template <class F> void parallel(int64_t count, const F& f) {
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}
template <class F> void parallel_rows(int64_t count, const F& f) { torch::stable::parallel_for(0, count, 512, f); }

template <class T> const T* pointer(const std::optional<Tensor>& t) {
  return t ? static_cast<const T*>(t->data_ptr()) : nullptr;
}

int dtype_of(const Tensor& t) {
  if (t.scalar_type() == ScalarType::Double) return kFloat64;
  return t.scalar_type() == ScalarType::BFloat16 ? kBfloat16 : kFloat32;
}

// The wrapper in Python has checked values; here only what would read past the end of an array.
void describe(Relational& a, const Tensor& ptr, const Tensor& source, const Tensor& type, const std::optional<Tensor>& weight,
              const std::optional<Tensor>& keep, const Tensor& x, const Tensor& relation,
              const std::optional<Tensor>& boundary_source, const std::optional<Tensor>& boundary, int64_t message, int64_t reduce) {
  STD_TORCH_CHECK(x.dim() == 3, "x must be [B, N, D]");
  a.B = x.size(0), a.N = x.size(1), a.D = x.size(2), a.E = source.numel(), a.R = relation.size(-2);
  STD_TORCH_CHECK(x.is_contiguous() && relation.is_contiguous(), "x and relation must be contiguous");
  STD_TORCH_CHECK(ptr.numel() == a.N + 1 && type.numel() == a.E, "ptr and type do not belong to this graph");
  STD_TORCH_CHECK(relation.size(-1) == a.D, "relation must have as many channels as x");
  STD_TORCH_CHECK(relation.dim() == 2 || relation.size(0) == a.B, "relation must have as many queries as x");
  STD_TORCH_CHECK(ptr.scalar_type() == ScalarType::Long && source.scalar_type() == ScalarType::Int &&
                  type.scalar_type() == ScalarType::Int, "ptr must be int64, source and type int32");
  STD_TORCH_CHECK(!weight || weight->numel() == a.E, "one weight per edge");
  STD_TORCH_CHECK(!keep || keep->numel() == a.E, "one mask entry per edge");
  a.dtype = dtype_of(x), a.message = int(message), a.reduce = int(reduce);
  a.ptr = static_cast<const int64_t*>(ptr.data_ptr());
  a.source = static_cast<const int32_t*>(source.data_ptr());
  a.type = static_cast<const int32_t*>(type.data_ptr());
  a.weight = pointer<void>(weight), a.keep = pointer<uint8_t>(keep);
  a.x = x.data_ptr(), a.relation = relation.data_ptr();
  a.relation_stride = relation.dim() == 3 ? a.R * a.D : 0;
  a.boundary_kind = !boundary ? kNone : boundary_source ? kSparse : kDense;
  a.boundary = pointer<void>(boundary), a.boundary_source = pointer<int64_t>(boundary_source);
  STD_TORCH_CHECK(!boundary || (boundary->is_contiguous() && boundary->numel() == (boundary_source ? 1 : a.N) * a.B * a.D),
                  "boundary must be [B, N, D], or [B, D] with one source per query");
}

ScalarType accumulator(const Tensor& x) { return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float; }

// A view of a buffer's bytes as a tensor is only used for memory: torch accounts for it and frees it.
Tensor buffer(const Tensor& like, std::vector<int64_t> size, ScalarType dtype) { return torch::stable::new_empty(like, size, dtype); }

std::tuple<Tensor, Tensor> forward(Tensor ptr, Tensor source, Tensor type, std::optional<Tensor> weight, std::optional<Tensor> keep,
                                   Tensor x, Tensor relation, std::optional<Tensor> boundary_source, std::optional<Tensor> boundary,
                                   Tensor, Tensor, Tensor, int64_t message, int64_t reduce, double empty, bool with_arg) {
  Forward a{};
  describe(a, ptr, source, type, weight, keep, x, relation, boundary_source, boundary, message, reduce);
  const bool pna = reduce == kPna, extreme = reduce == kMaximum || reduce == kMinimum;
  Tensor out = pna ? buffer(x, {a.B, a.N, 4, a.D}, x.scalar_type()) : buffer(x, {a.B, a.N, a.D}, x.scalar_type());
  Tensor arg = !with_arg || !(pna || extreme) ? buffer(x, {0}, ScalarType::Int)
             : pna ? buffer(x, {a.B, a.N, 2, a.D}, ScalarType::Int) : buffer(x, {a.B, a.N, a.D}, ScalarType::Int);
  a.empty = empty, a.out = out.data_ptr();
  a.arg = arg.numel() ? static_cast<int32_t*>(arg.data_ptr()) : nullptr;
  a.pieces = cut(a.N, a.E, a.B);
  Tensor carry = buffer(x, {a.B, a.pieces.count, 2, carry_fields(int(reduce)), a.D}, accumulator(x));
  Tensor carry_arg = buffer(x, {a.B, a.pieces.count, 2, 2, a.D}, ScalarType::Int);
  Tensor carry_count = buffer(x, {a.B, a.pieces.count, 2}, ScalarType::Long);
  a.carry = carry.data_ptr();
  a.carry_arg = static_cast<int32_t*>(carry_arg.data_ptr());
  a.carry_count = static_cast<int64_t*>(carry_count.data_ptr());
  parallel(a.B * a.pieces.count, [&](int64_t task) { kernels().forward(a, task / a.pieces.count, task % a.pieces.count); });
  if (a.pieces.count > 1) parallel(a.B, [&](int64_t b) { kernels().forward_join(a, b); });
  return {out, arg};
}

enum Needs : int { kNeedX = 1, kNeedRelation = 2, kNeedWeight = 4, kNeedBoundary = 8 };

template <class A>
std::tuple<Tensor, Tensor, Tensor, Tensor> backward_as(Backward& a, const Tensor& x, const Tensor& relation, int64_t needs) {
  const ScalarType real = accumulator(x);
  const bool pna = a.reduce == kPna, mean = a.reduce == kMean;
  const int64_t B = a.B, N = a.N, E = a.E, R = a.R, D = a.D;

  // what the edges carry, in the order of their sources
  Tensor t_type = buffer(x, {E}, ScalarType::Int), t_weight = buffer(x, {a.weight ? E : 0}, real), t_keep = buffer(x, {a.keep ? E : 0}, ScalarType::Byte);
  int32_t* type_to = static_cast<int32_t*>(t_type.data_ptr());
  A* weight_to = static_cast<A*>(t_weight.data_ptr());
  uint8_t* keep_to = static_cast<uint8_t*>(t_keep.data_ptr());
  torch::stable::parallel_for(0, E, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const int32_t at = a.t_position[e];
      type_to[e] = a.type[at];
      if (a.weight) weight_to[e] = static_cast<const A*>(a.weight)[at];
      if (a.keep) keep_to[e] = a.keep[at];
    }
  });
  a.t_type = type_to, a.t_weight = a.weight ? weight_to : nullptr, a.t_keep = a.keep ? keep_to : nullptr;

  Tensor scale = buffer(x, {pna || mean ? N : 0}, real);
  A* share = static_cast<A*>(scale.data_ptr());
  if (pna || mean) {
    parallel_rows(N, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t count = a.boundary_kind == kNone ? 0 : 1;
        if (!a.keep) count += a.ptr[row + 1] - a.ptr[row];
        else for (int64_t e = a.ptr[row]; e < a.ptr[row + 1]; ++e) count += a.keep[e] != 0;
        share[row] = A(1) / A(count > 0 ? count : 1);
      }
    });
    a.scale = share;
  }

  a.t_pieces = cut(N, E, B), a.pieces = cut(N, E, 1);
  const int64_t tasks = B * a.t_pieces.count;
  // one table of relation gradients per task; fewer where many relations would make the tables larger than the messages
  const bool per_query = a.relation_stride != 0;
  const int64_t most = R * 4 > E ? 1 : E / (R * 4);
  int64_t groups = per_query ? B * (most < a.t_pieces.count ? most : a.t_pieces.count) : (most * B < tasks ? most * B : tasks);
  if (!per_query && groups > 64) groups = 64;
  if (groups < 1) groups = 1;
  const int64_t group_tasks_base = per_query ? a.t_pieces.count : tasks, in_parent = per_query ? groups / (B > 0 ? B : 1) : groups;
  Tensor tables = needs & kNeedRelation ? torch::stable::new_zeros(x, {groups, R, D}, real) : buffer(x, {0}, real);
  a.groups = groups, a.tables = needs & kNeedRelation ? tables.data_ptr() : nullptr;

  Tensor grad_x = needs & kNeedX ? buffer(x, {B, N, D}, x.scalar_type()) : buffer(x, {0}, x.scalar_type());
  a.grad_x = needs & kNeedX ? grad_x.data_ptr() : nullptr;
  Tensor carry = buffer(x, {B, a.t_pieces.count, 2, D}, real);
  a.carry = carry.data_ptr();
  Tensor grad_weight = needs & kNeedWeight ? torch::stable::new_zeros(x, {E}, real) : buffer(x, {0}, real);
  a.grad_weight = needs & kNeedWeight ? grad_weight.data_ptr() : nullptr;
  std::vector<int64_t> boundary_size{0};
  if (needs & kNeedBoundary) boundary_size = a.boundary_kind == kSparse ? std::vector<int64_t>{B, D} : std::vector<int64_t>{B, N, D};
  Tensor grad_boundary = buffer(x, boundary_size, x.scalar_type());
  a.grad_boundary = needs & kNeedBoundary ? grad_boundary.data_ptr() : nullptr;

  // PNA prepares coefficients for a few queries at a time: they stay in the cache until the gather reads them.
  // The number of queries at a time follows the threads; no sum depends on it.
  const int64_t at_once = pna ? int64_t(torch::stable::get_num_threads()) : B;
  Tensor coefficients = buffer(x, {pna ? (at_once < B ? at_once : B) : 0, N, 6, D}, real);
  a.coefficients = coefficients.data_ptr();
  const bool gather = (needs & kNeedX) || (needs & kNeedRelation);
  for (int64_t begin = 0; begin < B; begin += at_once) {
    a.batch_begin = begin, a.batch_count = B - begin < at_once ? B - begin : at_once;
    if (pna)
      parallel_rows(a.batch_count * N, [&](int64_t from, int64_t to) {
        for (int64_t node = from; node < to;) {
          const int64_t b = node / N, row = node % N, last = to - node < N - row ? row + to - node : N;
          kernels().coefficients(a, begin + b, row, last);
          node += last - row;
        }
      });
    if (a.grad_boundary) parallel(a.batch_count, [&](int64_t b) { kernels().boundary_gradient(a, begin + b, 0, N); });
    if (gather) {
      // a group's tasks run one after the other on one thread: its table has one writer and one order
      const int64_t group_begin = per_query ? begin * in_parent : 0;
      const int64_t group_count = per_query ? a.batch_count * in_parent : groups;
      auto run_group = [&](int64_t g) {
        const int64_t parent = per_query ? g / in_parent : 0, local = per_query ? g % in_parent : g;
        const int64_t first = parent * group_tasks_base + local * group_tasks_base / in_parent;
        const int64_t last = parent * group_tasks_base + (local + 1) * group_tasks_base / in_parent;
        for (int64_t task = first; task < last; ++task) {
          const int64_t b = task / a.t_pieces.count;
          if (b >= begin && b < begin + a.batch_count) kernels().backward(a, b, task % a.t_pieces.count, g);
        }
      };
      parallel(group_count, [&](int64_t g) { run_group(group_begin + g); });
    }
    if (a.grad_weight) parallel(a.pieces.count, [&](int64_t piece) { kernels().weight_gradient(a, piece); });
  }
  if (a.t_pieces.count > 1) parallel(B, [&](int64_t b) { kernels().backward_join(a, b); });

  Tensor grad_relation = needs & kNeedRelation ? torch::stable::new_empty(relation, relation.sizes(), real) : buffer(x, {0}, real);
  if (needs & kNeedRelation) {
    const A* from = static_cast<const A*>(tables.data_ptr());
    A* to = static_cast<A*>(grad_relation.data_ptr());
    const int64_t size = R * D, parents = per_query ? B : 1;
    parallel_rows(parents * R, [&](int64_t row_begin, int64_t row_end) {
      for (int64_t row = row_begin; row < row_end; ++row) {
        const int64_t parent = row / R, i = (row % R) * D;
        for (int64_t c = i; c < i + D; ++c) {
          A total = 0;
          for (int64_t g = parent * in_parent; g < (parent + 1) * in_parent; ++g) total += from[g * size + c];
          to[parent * size + c] = total;
        }
      }
    });
  }
  return {grad_x, grad_relation, grad_weight, grad_boundary};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> backward(
    Tensor ptr, Tensor source, Tensor type, std::optional<Tensor> weight, std::optional<Tensor> keep, Tensor x, Tensor relation,
    std::optional<Tensor> boundary_source, std::optional<Tensor> boundary, Tensor t_ptr, Tensor t_target, Tensor t_position,
    Tensor out, Tensor arg, Tensor grad, int64_t message, int64_t reduce, int64_t needs) {
  Backward a{};
  describe(a, ptr, source, type, weight, keep, x, relation, boundary_source, boundary, message, reduce);
  STD_TORCH_CHECK(grad.is_contiguous() && grad.numel() == a.B * a.N * a.D * (reduce == kPna ? 4 : 1), "the gradient must be contiguous and of the output's size");
  STD_TORCH_CHECK(t_ptr.numel() == a.N + 1 && t_target.numel() == a.E && t_position.numel() == a.E, "the transposed graph does not belong to this graph");
  a.out = out.data_ptr(), a.arg = static_cast<const int32_t*>(arg.data_ptr()), a.grad_out = grad.data_ptr();
  a.t_ptr = static_cast<const int64_t*>(t_ptr.data_ptr());
  a.t_target = static_cast<const int32_t*>(t_target.data_ptr());
  a.t_position = static_cast<const int32_t*>(t_position.data_ptr());
  return a.dtype == kFloat64 ? backward_as<double>(a, x, relation, needs) : backward_as<float>(a, x, relation, needs);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("relational_aggregate", TORCH_BOX(&forward));
  library.impl("relational_aggregate_backward", TORCH_BOX(&backward));
}

}  // namespace graphkit
