// The CUDA kernels of walks, tokens and induced edges compiled as plain C++, one thread after the other, for test_walks_cuda.py.
#include "walks.cu"
#include "walk_tokens.cu"
#include "induced_edges.cu"

#include "host_memory.h"
#include "induced_edges_plan.h"
#include "walk_tokens_plan.h"

using namespace graphkit::cuda;

extern "C" void walks(const int64_t* ptr, const int32_t* col, const int64_t* start, int64_t starts, const int64_t* key, int64_t length,
                      int64_t walks,
                      int64_t repeat, uint64_t seed, uint32_t counter, int64_t* out) {
  sample_walks({{ptr, key, col, seed, counter}, start, out, starts, walks, length, repeat}, nullptr);
}

extern "C" void tokens(const int64_t* ptr, const int32_t* col, const int64_t* start, int64_t starts, const int64_t* key, int64_t longest,
                       int64_t walks,
                       int64_t repeats, uint64_t seed, uint32_t counter, int64_t most_cells) {
  HostMemory memory;
  const Tokens of{{ptr, key, col, seed, counter}, start, starts, longest, walks, repeats};
  const int64_t count = starts * longest * repeats;
  auto kept = memory.empty<int64_t>(count * walks * (longest + 1));
  memory.check(keep_walks(of, count, kept.data(), nullptr));
  const auto made = tokens_of_walks(of, memory, most_cells);
  results.clear();
  give(made.ptr), give(made.nodes), give(kept);
}

extern "C" void edges(int64_t N, const int64_t* ptr, const int32_t* col, const int64_t* edge, int64_t sets, int64_t members,
                      const int64_t* set_ptr,
                      const int64_t* node) {
  HostMemory memory;
  const auto made = edges_of_sets({N, ptr, col, edge}, {sets, members, set_ptr, node, nullptr}, memory);
  results.clear();
  give(made.ptr), give(made.source), give(made.target), give(made.edge), give(made.repeated);
}
