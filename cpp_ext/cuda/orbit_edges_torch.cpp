// Registration of the orbit counts of edges and nodes for CUDA with torch: checks, memory, stream.
// Not named orbit_edges.cpp: setuptools would give it the object file of orbit_edges.cu.
#include "orbit_edges.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>

#include "device_memory.h"

namespace graphkit::cuda {
namespace {

void check(const char* error) { STD_TORCH_CHECK(error == nullptr, "graphkit could not run a kernel on orbits: ", error); }

Tensor zeros(const Tensor& like, std::vector<int64_t> size, ScalarType dtype) { return torch::stable::new_zeros(like, size, dtype); }

EdgeGraph graph_of(const Tensor& ptr, const Tensor& col) {
  const int64_t N = ptr.numel() - 1, entries = col.numel();
  STD_TORCH_CHECK(N >= 0 && N <= INT32_MAX && entries <= INT32_MAX, "nodes and entries must each be fewer than 2^31");
  return {N, entries, input<int64_t>(ptr, ptr, ScalarType::Long, N + 1, "ptr"), input<int32_t>(col, ptr, ScalarType::Int, entries, "col")};
}

Tensor sums_of(const Tensor& size, cudaStream_t stream) {
  return DeviceMemory(size, stream).sums(data<int64_t>(size), size.numel()).tensor;
}

// Row of each entry, and how many entries before it lead to a larger node.
struct Numbers {
  Tensor row, before;
  Numbers(const EdgeGraph& g, const Tensor& like, cudaStream_t stream) : row(buffer(like, {g.entries}, ScalarType::Int)) {
    Tensor lower = buffer(like, {g.entries}, ScalarType::Long);
    check(lower_entries(g, data<int32_t>(row), data<int64_t>(lower), stream));
    before = sums_of(lower, stream);
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> edge_bases(Tensor ptr, Tensor col, int64_t need, bool wide) {
  const EdgeGraph g = graph_of(ptr, col);
  const bool lists = need & kNeedLists;
  const int64_t M = g.entries / 2;
  const Device device(ptr);
  const Numbers numbers(g, ptr, device.stream);
  Tensor edge = buffer(ptr, {g.entries}, ScalarType::Int), T = buffer(ptr, {g.entries}, ScalarType::Int);
  Tensor of_edge = buffer(ptr, {M}, ScalarType::Long), later = buffer(ptr, {g.entries}, ScalarType::Long);
  Tensor base = zeros(ptr, {kBases, g.entries}, wide ? ScalarType::Long : ScalarType::Int);
  check(number_edges(g, data<int32_t>(numbers.row), data<int64_t>(numbers.before), data<int32_t>(edge), device.stream));
  const TrianglesOfEdges triangles{data<int32_t>(numbers.row), data<int32_t>(edge), data<int32_t>(T), data<int64_t>(of_edge), data<int64_t>(later)};
  check(count_triangles(g, triangles, device.stream));

  const EdgeBases to{wide, data<int32_t>(T), base.data_ptr()};
  Tensor com_ptr = buffer(ptr, {0}, ScalarType::Long), opp_ptr = buffer(ptr, {0}, ScalarType::Long);
  Tensor com = buffer(ptr, {0}, ScalarType::Int), opp = buffer(ptr, {0}, ScalarType::Int);
  if (lists || need & kNeedCliques) {
    Tensor start = sums_of(of_edge, device.stream), opp_at = sums_of(later, device.stream);
    int64_t total = 0;
    check(read_back(data<int64_t>(start) + M, &total, device.stream));
    Tensor common = buffer(ptr, {total}, ScalarType::Int);
    if (lists) opp = buffer(ptr, {total}, ScalarType::Int), opp_ptr = buffer(ptr, {g.N + 1}, ScalarType::Long);
    const OrbitLists of{data<int64_t>(start), data<int64_t>(opp_at), data<int32_t>(common), lists ? data<int32_t>(opp) : nullptr,
                        lists ? data<int64_t>(opp_ptr) : nullptr};
    check(fill_lists(g, triangles, of, device.stream));
    if (need & kNeedCliques) check(sum_cliques(g, data<int32_t>(edge), of, to, device.stream));
    if (lists) com_ptr = start, com = common;
  }
  if (need & kNeedSupport) check(sum_support(g, data<int32_t>(numbers.row), to, device.stream));
  if (need & kNeedCycles) {  // a row of counters for every block at work, 1 GiB at most in all
    const int64_t slots = std::clamp<int64_t>((int64_t(1) << 28) / std::max<int64_t>(g.N, 1), 1, std::clamp<int64_t>(g.N, 1, 1024));
    Tensor ways = zeros(ptr, {slots, g.N}, ScalarType::Int);
    check(sum_cycles(g, data<int32_t>(ways), slots, to, device.stream));
  }
  return {T, base, com_ptr, com, opp_ptr, opp};
}

// Arguments that were made by edge_bases, and the sums at the nodes; the tensors keep the memory.
struct Known {
  EdgeBases of;
  Tensor t, R;
  NodeSums node;
  Known(const EdgeGraph& g, const Tensor& like, const Tensor& triangles, const Tensor& bases, cudaStream_t stream)
      : t(buffer(like, {g.N}, ScalarType::Long)), R(buffer(like, {g.N}, ScalarType::Long)) {
    const ScalarType type = bases.scalar_type();
    STD_TORCH_CHECK(type == ScalarType::Int || type == ScalarType::Long, "bases must be int32 or int64");
    of = {type == ScalarType::Long, input<int32_t>(triangles, like, ScalarType::Int, g.entries, "triangles"),
          const_cast<void*>(input<void>(bases, like, type, kBases * g.entries, "bases"))};
    node = {data<int64_t>(t), data<int64_t>(R)};
    check(sum_nodes(g, of.T, node, stream));
  }
};

std::vector<Tensor> values(Tensor ptr, Tensor col, Tensor triangles, Tensor bases, int64_t keys) {
  const EdgeGraph g = graph_of(ptr, col);
  const Device device(ptr);
  const Known known(g, ptr, triangles, bases, device.stream);
  std::vector<Tensor> out;
  EdgeOutputs to{};
  for (int key = 0; key < kEdgeKeys; ++key)
    if (keys >> key & 1) out.push_back(buffer(bases, {g.entries}, bases.scalar_type())), to.to[key] = out.back().data_ptr();
  check(edge_values(g, known.of, known.node, to, device.stream));
  return out;
}

std::tuple<Tensor, Tensor> counts_of_edges(Tensor ptr, Tensor col, Tensor triangles, Tensor bases) {
  const EdgeGraph g = graph_of(ptr, col);
  const Device device(ptr);
  const Known known(g, ptr, triangles, bases, device.stream);
  const Numbers numbers(g, ptr, device.stream);
  Tensor ends = buffer(ptr, {2, g.entries / 2}, ScalarType::Long), counts = buffer(ptr, {g.entries / 2, 12}, ScalarType::Long);
  check(edge_counts(g, known.of, known.node, data<int32_t>(numbers.row), data<int64_t>(numbers.before), data<int64_t>(ends), data<int64_t>(counts), device.stream));
  return {ends, counts};
}

Tensor counts_of_nodes(Tensor ptr, Tensor col) {
  const EdgeGraph g = graph_of(ptr, col);
  const auto made = edge_bases(ptr, col, kNeedCliques | kNeedSupport | kNeedCycles, true);
  const Device device(ptr);
  const Known known(g, ptr, std::get<0>(made), std::get<1>(made), device.stream);
  Tensor counts = buffer(ptr, {g.N, 15}, ScalarType::Long);
  check(node_counts(g, known.of, known.node, data<int64_t>(counts), device.stream));
  return counts;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) {
  library.impl("orbit_edge_bases", TORCH_BOX(&edge_bases));
  library.impl("orbit_edge_values", TORCH_BOX(&values));
  library.impl("orbit_edge_counts", TORCH_BOX(&counts_of_edges));
  library.impl("orbit_node_counts", TORCH_BOX(&counts_of_nodes));
}

}  // namespace graphkit::cuda
