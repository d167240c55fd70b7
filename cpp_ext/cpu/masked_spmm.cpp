// Aggregation over an undirected graph from which edges are taken out for a while: checks, memory, threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "feature_tensors.h"
#include "pieces.h"
#include "tasks.h"

namespace graphkit {
namespace {

struct Graph {
  int64_t N, entries;
  const int64_t* ptr;
  const int32_t* col;
  const uint8_t* gone;

  Graph(const Tensor& ptr_of, const Tensor& col_of, const std::optional<Tensor>& gone_of)
      : N(ptr_of.numel() - 1), entries(col_of.numel()), ptr(static_cast<const int64_t*>(ptr_of.data_ptr())), col(static_cast<const int32_t*>(col_of.data_ptr())),
        gone(gone_of ? static_cast<const uint8_t*>(gone_of->data_ptr()) : nullptr) {
    STD_TORCH_CHECK(N >= 0 && ptr_of.scalar_type() == ScalarType::Long && ptr_of.is_contiguous(), "ptr must be int64 [N + 1]");
    STD_TORCH_CHECK(col_of.scalar_type() == ScalarType::Int && col_of.is_contiguous() && ptr[N] == entries, "col must be int32 [ptr[N]]");
    STD_TORCH_CHECK(!gone_of || (gone_of->scalar_type() == ScalarType::Byte && gone_of->is_contiguous() && gone_of->numel() == entries), "gone must be uint8 [2M]");
  }

  Features of_nodes(const Tensor& x) const {
    STD_TORCH_CHECK(x.dim() == 2 && x.size(0) == N, "features must be [N, F]");
    return features(x);
  }

  // f(row_begin, row_end, slot) for runs of rows of about equal work. A row belongs to one run, so its sum has one order.
  template <class F> void each_run(const F& f, int64_t slots_wanted = 0) const {
    const int64_t items = entries + N, size = std::max<int64_t>(2048, items / 256), count = (items + size - 1) / size;
    const int64_t slots = slots_wanted ? slots_wanted : task_slots(count);
    run_tasks(count, slots, [&](int64_t k, int64_t slot) {
      const int64_t begin = row_of_item(ptr, N, k * size), end = k + 1 < count ? row_of_item(ptr, N, (k + 1) * size) : N;
      if (begin < end) f(begin, end, slot);
    });
  }
  int64_t slots() const { return int64_t(torch::stable::get_num_threads()); }
};

Tensor spmm(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor x, std::optional<Tensor> in_scale, std::optional<Tensor> out_scale,
            std::optional<Tensor> edge_weight, std::optional<Tensor>, double loop) {
  const Graph g(ptr, col, gone);
  MaskedSpmm a{g.of_nodes(x), g.ptr, g.col, g.gone, nullptr, nullptr, nullptr, loop, nullptr};
  a.in_scale = optional_values(in_scale, g.N, a.x.dtype), a.out_scale = optional_values(out_scale, g.N, a.x.dtype), a.edge_weight = optional_values(edge_weight, g.entries, a.x.dtype);
  Tensor out = torch::stable::new_empty(x, {g.N, a.x.F}, x.scalar_type());
  a.out = out.data_ptr();
  const int64_t bytes = (a.x.F + 16) * bytes_of(a.x.dtype), slots = g.slots();
  std::vector<std::vector<uint8_t>> sums(slots, std::vector<uint8_t>(bytes));
  g.each_run([&](int64_t begin, int64_t end, int64_t slot) { pool_kernels().spmm(a, begin, end, sums[slot].data()); }, slots);
  return out;
}

Tensor sddmm(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor left, Tensor right, std::optional<Tensor> left_scale, std::optional<Tensor> right_scale) {
  const Graph g(ptr, col, gone);
  MaskedSddmm a{g.of_nodes(left), g.of_nodes(right), g.ptr, g.col, g.gone, nullptr, nullptr, nullptr};
  STD_TORCH_CHECK(a.left.F == a.right.F && a.left.dtype == a.right.dtype, "both sides must be alike");
  a.left_scale = optional_values(left_scale, g.N, a.left.dtype), a.right_scale = optional_values(right_scale, g.N, a.left.dtype);
  Tensor out = torch::stable::new_empty(left, {g.entries}, accumulators(a.left.dtype));
  a.out = out.data_ptr();
  g.each_run([&](int64_t begin, int64_t end, int64_t) { pool_kernels().sddmm(a, begin, end); });
  return out;
}

MaskedMax describe(const Graph& g, const Tensor& x, bool loop) {
  const Features f = g.of_nodes(x);
  STD_TORCH_CHECK(f.dtype != Real::kBfloat16, "the maximum is taken in float32 or float64");
  return {f.dtype, f.F, g.ptr, g.col, g.gone, loop, f.x, nullptr, nullptr};
}

std::tuple<Tensor, Tensor> maximum(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor x, bool loop) {
  const Graph g(ptr, col, gone);
  MaskedMax a = describe(g, x, loop);
  Tensor out = torch::stable::new_empty(x, {g.N, a.F}, x.scalar_type()), arg = torch::stable::new_empty(x, {g.N, a.F}, ScalarType::Int);
  a.out = out.data_ptr(), a.arg = static_cast<int32_t*>(arg.data_ptr());
  g.each_run([&](int64_t begin, int64_t end, int64_t) { pool_kernels().maximum(a, begin, end); });
  return {out, arg};
}

Tensor maximum_gradient(Tensor ptr, Tensor col, std::optional<Tensor> gone, Tensor arg, Tensor grad, bool loop) {
  const Graph g(ptr, col, gone);
  MaskedMax a = describe(g, grad, loop);
  STD_TORCH_CHECK(arg.scalar_type() == ScalarType::Int && arg.is_contiguous() && arg.numel() == g.N * a.F, "arg must be int32 [N, F]");
  Tensor out = torch::stable::new_empty(grad, {g.N, a.F}, grad.scalar_type());
  a.out = out.data_ptr(), a.arg = static_cast<int32_t*>(arg.data_ptr());
  g.each_run([&](int64_t begin, int64_t end, int64_t) { pool_kernels().maximum_gradient(a, begin, end); });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("masked_spmm", TORCH_BOX(&spmm));
  library.impl("masked_sddmm", TORCH_BOX(&sddmm));
  library.impl("masked_max", TORCH_BOX(&maximum));
  library.impl("masked_max_backward", TORCH_BOX(&maximum_gradient));
}

}  // namespace graphkit
