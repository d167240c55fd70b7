// Any list of edges as an undirected simple graph in CSR form: both directions, rows sorted, no loops, nothing twice.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

#include "large_pages.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// An entry is (neighbour, was the edge given the other way round). Writing every edge to both of its rows and
// transposing the result sorts the rows: the transpose of a symmetric list is the list itself.
std::tuple<Tensor, Tensor, Tensor> simple_graph(Tensor edge_index, int64_t num_nodes) {
  STD_TORCH_CHECK(edge_index.dim() == 2 && edge_index.size(0) == 2 && edge_index.scalar_type() == ScalarType::Long,
                  "edge_index must be int64 [2, E]");
  const int64_t N = num_nodes, E = edge_index.size(1), row_stride = edge_index.stride(0), stride = edge_index.stride(1);
  const int64_t* source = static_cast<const int64_t*>(edge_index.data_ptr());
  const int64_t* target = source + row_stride;

  std::vector<int64_t> begin(N + 1), cursor(N);
  int64_t loops = 0;
  for (int64_t e = 0; e < E; ++e) {
    const int64_t s = source[e * stride], t = target[e * stride];
    STD_TORCH_CHECK(s >= 0 && s < N && t >= 0 && t < N, "edge_index holds an id outside [0, num_nodes)");
    if (s == t) ++loops; else ++begin[s + 1], ++begin[t + 1];
  }
  for (int64_t v = 0; v < N; ++v) begin[v + 1] += begin[v], cursor[v] = begin[v];
  const int64_t entries = begin[N];
  std::unique_ptr<uint32_t[]> unsorted(new uint32_t[entries + 1]), sorted(new uint32_t[entries + 1]);
  for (int64_t e = 0; e < E; ++e) {
    const int64_t s = source[e * stride], t = target[e * stride];
    if (s == t) continue;
    unsorted[cursor[s]++] = uint32_t(t) << 1;
    unsorted[cursor[t]++] = uint32_t(s) << 1 | 1;
  }
  for (int64_t v = 0; v < N; ++v) cursor[v] = begin[v];
  for (int64_t u = 0; u < N; ++u)
    for (int64_t e = begin[u]; e < begin[u + 1]; ++e) {
      const uint32_t entry = unsorted[e];
      sorted[cursor[entry >> 1]++] = uint32_t(u) << 1 | ((entry & 1) ^ 1);
    }

  Tensor ptr = torch::stable::new_empty(edge_index, {N + 1}, ScalarType::Long);
  ask_for_large_pages(ptr.data_ptr(), 8 * N);  // operators read the rows in an order that small pages make slow
  Tensor info = torch::stable::new_empty(edge_index, {4}, ScalarType::Long);
  int64_t* row = static_cast<int64_t*>(ptr.data_ptr());
  int64_t kept = 0, duplicates = 0, one_way = 0, largest = 0;
  for (int64_t u = 0; u < N; ++u) {
    row[u] = kept;
    for (int64_t e = begin[u]; e < begin[u + 1];) {
      const int64_t v = sorted[e] >> 1;
      int64_t given[2] = {0, 0};
      for (; e < begin[u + 1] && int64_t(sorted[e] >> 1) == v; ++e) ++given[sorted[e] & 1];
      if (u < v) {
        duplicates += (given[0] > 1 ? given[0] - 1 : 0) + (given[1] > 1 ? given[1] - 1 : 0);
        one_way += given[0] == 0 || given[1] == 0;
      }
      unsorted[kept++] = uint32_t(v);
    }
    if (kept - row[u] > largest) largest = kept - row[u];
  }
  row[N] = kept;
  STD_TORCH_CHECK(kept < int64_t(1) << 31, "more than 2^31 - 1 entries");
  Tensor col = torch::stable::new_empty(edge_index, {kept}, ScalarType::Int);
  ask_for_large_pages(col.data_ptr(), 4 * kept);
  int32_t* to = static_cast<int32_t*>(col.data_ptr());
  for (int64_t e = 0; e < kept; ++e) to[e] = int32_t(unsorted[e]);
  int64_t* counts = static_cast<int64_t*>(info.data_ptr());
  counts[0] = loops, counts[1] = duplicates, counts[2] = one_way, counts[3] = largest;
  return {ptr, col, info};
}

// A simple graph whose edges have numbers: those from a node to larger ones follow each other, in the order of the nodes.
struct Numbered {
  int64_t N, entries;
  const int64_t* ptr;
  const int32_t* col;
  const int64_t* first;  // [N + 1] number of the first edge from each node to a larger one

  Numbered(const Tensor& ptr_of, const Tensor& col_of) : N(ptr_of.numel() - 1), entries(col_of.numel()) {
    STD_TORCH_CHECK(N >= 0 && ptr_of.scalar_type() == ScalarType::Long && ptr_of.is_contiguous(), "ptr must be int64 [N + 1]");
    STD_TORCH_CHECK(col_of.scalar_type() == ScalarType::Int && col_of.is_contiguous(), "col must be int32");
    ptr = static_cast<const int64_t*>(ptr_of.data_ptr()), col = static_cast<const int32_t*>(col_of.data_ptr()), first = nullptr;
    STD_TORCH_CHECK(ptr[0] == 0 && ptr[N] == entries, "ptr does not belong to col");
  }
  Numbered(const Tensor& ptr_of, const Tensor& col_of, const Tensor& first_of) : Numbered(ptr_of, col_of) {
    STD_TORCH_CHECK(first_of.scalar_type() == ScalarType::Long && first_of.is_contiguous() && first_of.numel() == N + 1, "first must be int64 [N + 1]");
    first = static_cast<const int64_t*>(first_of.data_ptr());
    STD_TORCH_CHECK(first[N] == entries / 2, "first does not belong to col");
  }

  // Entry of the edge with number m in the row of its smaller end u.
  int64_t entry(int64_t u, int64_t m) const { return ptr[u + 1] - first[u + 1] + m; }
  // Entry of v in the row of u, or -1.
  int64_t find(int64_t u, int64_t v) const {
    const int32_t *begin = col + ptr[u], *end = col + ptr[u + 1], *at = std::lower_bound(begin, end, int32_t(v));
    return at != end && *at == v ? at - col : -1;
  }
};

std::tuple<Tensor, Tensor> numbers(Tensor ptr, Tensor col) {
  const Numbered g(ptr, col);
  Tensor edge = torch::stable::new_empty(col, {g.entries}, ScalarType::Int), reverse = torch::stable::new_empty(col, {g.entries}, ScalarType::Int);
  int32_t *number = static_cast<int32_t*>(edge.data_ptr()), *other = static_cast<int32_t*>(reverse.data_ptr());
  // rows are visited in rising order, so the entries of a row that point upwards are met again in theirs
  std::vector<int64_t> next(g.N);
  int32_t count = 0;
  for (int64_t u = 0; u < g.N; ++u) {
    next[u] = g.ptr[u + 1];
    for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) {
      const int64_t v = g.col[e];
      if (v > u) {
        if (next[u] > e) next[u] = e;
        number[e] = count++;
      } else {
        const int64_t back = next[v]++;
        STD_TORCH_CHECK(back < g.entries && g.col[back] == u, "the graph is not symmetric");
        number[e] = number[back], other[e] = int32_t(back), other[back] = int32_t(e);
      }
    }
  }
  return {edge, reverse};
}

Tensor first_edges(Tensor ptr, Tensor col) {
  const Numbered g(ptr, col);
  Tensor first = torch::stable::new_empty(ptr, {g.N + 1}, ScalarType::Long);
  int64_t* to = static_cast<int64_t*>(first.data_ptr());
  to[0] = 0;
  for (int64_t u = 0; u < g.N; ++u)
    to[u + 1] = to[u] + (g.col + g.ptr[u + 1] - std::upper_bound(g.col + g.ptr[u], g.col + g.ptr[u + 1], int32_t(u)));
  return first;
}

Tensor find(Tensor ptr, Tensor col, Tensor first, Tensor pairs) {
  const Numbered g(ptr, col, first);
  STD_TORCH_CHECK(pairs.dim() == 2 && pairs.size(0) == 2 && pairs.scalar_type() == ScalarType::Long && pairs.is_contiguous(), "pairs must be int64 [2, P]");
  const int64_t P = pairs.size(1);
  const int64_t* node = static_cast<const int64_t*>(pairs.data_ptr());
  for (int64_t k = 0; k < 2 * P; ++k) STD_TORCH_CHECK(node[k] >= 0 && node[k] < g.N, "pairs hold an id outside [0, num_nodes)");
  Tensor ids = torch::stable::new_empty(pairs, {P}, ScalarType::Long);
  int64_t* to = static_cast<int64_t*>(ids.data_ptr());
  torch::stable::parallel_for(0, P, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t u = std::min(node[p], node[P + p]), v = std::max(node[p], node[P + p]), e = u < v ? g.find(u, v) : -1;
      to[p] = e < 0 ? -1 : e - g.entry(u, 0);
    }
  });
  return ids;
}

// The removed edges are looked for eight flags at a time; only what they touch is visited.
std::tuple<Tensor, Tensor> mask(Tensor ptr, Tensor col, Tensor first, Tensor removed) {
  const Numbered g(ptr, col, first);
  STD_TORCH_CHECK(removed.scalar_type() == ScalarType::Byte && removed.is_contiguous() && removed.numel() == g.entries / 2, "removed must be uint8 [M]");
  Tensor gone = torch::stable::new_zeros(col, {g.entries}, ScalarType::Byte), degree = torch::stable::new_empty(ptr, {g.N}, ScalarType::Long);
  uint8_t* entry = static_cast<uint8_t*>(gone.data_ptr());
  int64_t* left = static_cast<int64_t*>(degree.data_ptr());
  for (int64_t u = 0; u < g.N; ++u) left[u] = g.ptr[u + 1] - g.ptr[u];
  const uint8_t* flag = static_cast<const uint8_t*>(removed.data_ptr());
  const int64_t M = g.entries / 2;
  int64_t u = 0;
  for (int64_t m = 0; m < M;) {
    uint64_t eight = 0;
    if (m + 8 <= M) {
      std::memcpy(&eight, flag + m, 8);
      if (!eight) { m += 8; continue; }
    }
    for (const int64_t end = std::min(M, m + 8); m < end; ++m) {
      if (!flag[m]) continue;
      if (g.first[u + 1] <= m) u = std::upper_bound(g.first + u, g.first + g.N + 1, m) - g.first - 1;
      const int64_t e = g.entry(u, m), v = g.col[e], back = g.find(v, u);
      STD_TORCH_CHECK(back >= 0, "the graph is not symmetric");
      entry[e] = entry[back] = 1, --left[u], --left[v];
    }
  }
  return {gone, degree};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("simple_graph", TORCH_BOX(&simple_graph));
  library.impl("simple_graph_numbers", TORCH_BOX(&numbers));
  library.impl("simple_graph_first", TORCH_BOX(&first_edges));
  library.impl("simple_graph_find", TORCH_BOX(&find));
  library.impl("simple_graph_mask", TORCH_BOX(&mask));
}

}  // namespace graphkit
