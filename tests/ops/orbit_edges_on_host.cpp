// The CUDA kernels of orbit counts compiled as plain C++, one thread after the other, for test_orbits_cuda.py.
#include <numeric>
#include <vector>

#include "orbit_edges.cu"

using namespace graphkit::cuda;

namespace {

std::vector<int64_t> running(const std::vector<int64_t>& size) {
  std::vector<int64_t> ptr(size.size() + 1);
  std::partial_sum(size.begin(), size.end(), ptr.begin() + 1);
  return ptr;
}

template <class V>
void run(const EdgeGraph& g, int32_t* T, V* base, int64_t* lists, V* values, int64_t* ends, int64_t* edges, int64_t* nodes) {
  std::vector<int32_t> row(g.entries), edge(g.entries), ways(g.N);
  std::vector<int64_t> lower(g.entries), of_edge(g.entries / 2), later(g.entries), t(g.N), R(g.N);
  lower_entries(g, row.data(), lower.data(), nullptr);
  const std::vector<int64_t> before = running(lower);
  number_edges(g, row.data(), before.data(), edge.data(), nullptr);
  const TrianglesOfEdges triangles{row.data(), edge.data(), T, of_edge.data(), later.data()};
  count_triangles(g, triangles, nullptr);
  const std::vector<int64_t> com_ptr = running(of_edge), opp_at = running(later);
  std::vector<int32_t> com(com_ptr.back()), opp(opp_at.back());
  std::vector<int64_t> opp_ptr(g.N + 1);
  const OrbitLists of{com_ptr.data(), opp_at.data(), com.data(), opp.data(), opp_ptr.data()};
  fill_lists(g, triangles, of, nullptr);
  const EdgeBases bases{sizeof(V) == 8, T, base};
  sum_support(g, row.data(), bases, nullptr), sum_cliques(g, edge.data(), of, bases, nullptr), sum_cycles(g, ways.data(), 1, bases, nullptr);
  // com_ptr, opp_ptr, com, opp, one after the other
  for (int64_t x : com_ptr) *lists++ = x;
  for (int64_t x : opp_ptr) *lists++ = x;
  for (int64_t x : com) *lists++ = x;
  for (int64_t x : opp) *lists++ = x;
  const NodeSums sums{t.data(), R.data()};
  sum_nodes(g, T, sums, nullptr);
  EdgeOutputs out{};
  for (int key = 0; key < graphkit::kEdgeKeys; ++key) out.to[key] = values + key * g.entries;
  edge_values(g, bases, sums, out, nullptr), edge_counts(g, bases, sums, row.data(), before.data(), ends, edges, nullptr);
  if (sizeof(V) == 8) node_counts(g, bases, sums, nodes, nullptr);
}

}  // namespace

extern "C" void orbits(int64_t N, int64_t entries, const int64_t* ptr, const int32_t* col, bool wide, int32_t* T, void* base, int64_t* lists, void* values,
                       int64_t* ends, int64_t* edges, int64_t* nodes) {
  const EdgeGraph g{N, entries, ptr, col};
  if (wide) run(g, T, static_cast<int64_t*>(base), lists, static_cast<int64_t*>(values), ends, edges, nodes);
  else run(g, T, static_cast<int32_t*>(base), lists, static_cast<int32_t*>(values), ends, edges, nodes);
}
