// Directed graphs and products with their adjacency matrices: checks, memory, threads.
#include "directed.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "large_pages.h"
#include "isa.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const DirectedKernels& kernels() { return GRAPHKIT_KERNELS(directed_kernels); }

Tensor product(Tensor ptr, Tensor col, std::optional<Tensor> value, Tensor t_ptr, Tensor t_col, std::optional<Tensor> t_value,
               std::optional<Tensor> left, std::optional<Tensor> right, std::optional<Tensor> t_left, std::optional<Tensor> t_right,
               Tensor x, int64_t sides) {
  Directed a{};
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "directed_product: float32 or float64");
  STD_TORCH_CHECK(sides >= kOneSide && sides <= kSumOfSides && x.dim() == (sides == kSumOfSides ? 3 : 2) && x.is_contiguous(),
                  "directed_product: x must be contiguous, [N, D] or [2, N, D]");
  a.N = x.size(-2), a.D = x.size(-1), a.sides = int(sides), a.wide = type == ScalarType::Double;
  STD_TORCH_CHECK(sides != kSumOfSides || x.size(0) == 2, "directed_product: x must be [2, N, D]");
  const Tensor* ptrs[2] = {&ptr, &t_ptr};
  const Tensor* cols[2] = {&col, &t_col};
  const std::optional<Tensor>* values[2] = {&value, &t_value};
  const std::optional<Tensor>* lefts[2] = {&left, &t_left};
  const std::optional<Tensor>* rights[2] = {&right, &t_right};
  for (int side = 0; side < 2; ++side) {
    STD_TORCH_CHECK(ptrs[side]->numel() == a.N + 1 && ptrs[side]->scalar_type() == ScalarType::Long &&
                    cols[side]->scalar_type() == ScalarType::Int, "directed_product: the graph does not have the nodes of x");
    a.ptr[side] = static_cast<const int64_t*>(ptrs[side]->data_ptr());
    a.col[side] = static_cast<const int32_t*>(cols[side]->data_ptr());
    auto optional = [&](const std::optional<Tensor>& t, int64_t size) -> const void* {
      if (!t) return nullptr;
      STD_TORCH_CHECK(t->numel() == size && t->scalar_type() == type && t->is_contiguous(), "directed_product: a factor does not fit");
      return t->data_ptr();
    };
    a.value[side] = optional(*values[side], cols[side]->numel());
    a.left[side] = optional(*lefts[side], a.N), a.right[side] = optional(*rights[side], a.N);
  }
  a.x = x.data_ptr();
  Tensor out = sides == kBothSides ? torch::stable::new_empty(x, {2, a.N, a.D}) : torch::stable::new_empty(x, {a.N, a.D});
  a.out = out.data_ptr();
  ask_for_large_pages(a.out, out.numel() * (a.wide ? 8 : 4));
  a.pieces = cut(lists(a), entries_before(a, lists(a)), 1);
  Tensor carry = torch::stable::new_empty(x, {a.pieces.count, 2, a.D});
  a.carry = carry.data_ptr();
  torch::stable::parallel_for(0, a.pieces.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) kernels().sweep(a, piece);
  });
  if (a.pieces.count > 1) kernels().join(a);
  return out;
}

// Counting sorts by target and then by source: the rows come out sorted, and duplicates side by side.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> directed_graph(Tensor edge_index, int64_t num_nodes) {
  STD_TORCH_CHECK(edge_index.dim() == 2 && edge_index.size(0) == 2 && edge_index.scalar_type() == ScalarType::Long,
                  "edge_index must be int64 [2, E]");
  const int64_t N = num_nodes, E = edge_index.size(1), row_stride = edge_index.stride(0), stride = edge_index.stride(1);
  const int64_t* source = static_cast<const int64_t*>(edge_index.data_ptr());
  const int64_t* target = source + row_stride;

  std::vector<int64_t> cursor(N + 1);
  int64_t loops = 0;
  for (int64_t e = 0; e < E; ++e) {
    const int64_t s = source[e * stride], t = target[e * stride];
    STD_TORCH_CHECK(s >= 0 && s < N && t >= 0 && t < N, "edge_index holds an id outside [0, num_nodes)");
    if (s == t) ++loops; else ++cursor[t + 1];
  }
  for (int64_t v = 0; v < N; ++v) cursor[v + 1] += cursor[v];
  const int64_t kept = cursor[N];
  std::unique_ptr<int32_t[]> by_target(new int32_t[kept + 1]), column(new int32_t[kept + 1]);
  std::vector<int64_t> begin(cursor);
  for (int64_t e = 0; e < E; ++e) {
    const int64_t s = source[e * stride], t = target[e * stride];
    if (s != t) by_target[cursor[t]++] = int32_t(s);
  }
  std::vector<int64_t> row(N + 1);
  for (int64_t i = 0; i < kept; ++i) ++row[by_target[i] + 1];
  for (int64_t v = 0; v < N; ++v) row[v + 1] += row[v], cursor[v] = row[v];
  for (int64_t t = 0; t < N; ++t)
    for (int64_t i = begin[t]; i < begin[t + 1]; ++i) column[cursor[by_target[i]]++] = int32_t(t);

  auto tensor = [&](std::vector<int64_t> size, ScalarType type) { return torch::stable::new_empty(edge_index, size, type); };
  Tensor ptr = tensor({N + 1}, ScalarType::Long), t_ptr = tensor({N + 1}, ScalarType::Long), info = tensor({4}, ScalarType::Long);
  int64_t *to = static_cast<int64_t*>(ptr.data_ptr()), *t_to = static_cast<int64_t*>(t_ptr.data_ptr());
  for (int64_t v = 0; v <= N; ++v) cursor[v] = 0;
  int64_t unique = 0, ascending = 0;
  for (int64_t s = 0; s < N; ++s) {
    const int64_t first = unique;
    to[s] = first;
    for (int64_t i = row[s]; i < row[s + 1]; ++i) {
      const int32_t t = column[i];
      if (unique > first && column[unique - 1] == t) continue;
      column[unique++] = t, ++cursor[t + 1], ascending += s < t;
    }
  }
  to[N] = unique;
  for (int64_t v = 0; v < N; ++v) cursor[v + 1] += cursor[v];
  for (int64_t v = 0; v <= N; ++v) t_to[v] = cursor[v];
  STD_TORCH_CHECK(unique < int64_t(1) << 31, "more than 2^31 - 1 edges");
  Tensor col = tensor({unique}, ScalarType::Int), t_col = tensor({unique}, ScalarType::Int);
  int32_t *cols = static_cast<int32_t*>(col.data_ptr()), *t_cols = static_cast<int32_t*>(t_col.data_ptr());
  for (int64_t i = 0; i < unique; ++i) cols[i] = column[i];
  for (int64_t s = 0; s < N; ++s)
    for (int64_t i = to[s]; i < to[s + 1]; ++i) t_cols[cursor[cols[i]]++] = int32_t(s);
  int64_t reciprocal = 0;
  for (int64_t v = 0; v < N; ++v)
    for (int64_t i = to[v], j = t_to[v]; i < to[v + 1] && j < t_to[v + 1];) {
      reciprocal += cols[i] == t_cols[j];
      if (cols[i] < t_cols[j]) ++i; else if (cols[i] > t_cols[j]) ++j; else ++i, ++j;
    }
  int64_t* counts = static_cast<int64_t*>(info.data_ptr());
  counts[0] = loops, counts[1] = kept - unique, counts[2] = reciprocal, counts[3] = ascending;
  return {ptr, col, t_ptr, t_col, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("directed_product", TORCH_BOX(&product));
  library.impl("directed_graph", TORCH_BOX(&directed_graph));
}

}  // namespace graphkit
