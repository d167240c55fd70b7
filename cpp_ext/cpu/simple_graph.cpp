// Any list of edges as an undirected simple graph in CSR form: both directions, rows sorted, no loops, nothing twice.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <memory>
#include <tuple>
#include <vector>

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
  int32_t* to = static_cast<int32_t*>(col.data_ptr());
  for (int64_t e = 0; e < kept; ++e) to[e] = int32_t(unsorted[e]);
  int64_t* counts = static_cast<int64_t*>(info.data_ptr());
  counts[0] = loops, counts[1] = duplicates, counts[2] = one_way, counts[3] = largest;
  return {ptr, col, info};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) { library.impl("simple_graph", TORCH_BOX(&simple_graph)); }

}  // namespace graphkit
