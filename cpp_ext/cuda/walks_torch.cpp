// Registration of the random walks, their tokens and the edges of sets for CUDA with torch: checks and memory.
// Not named walks.cpp: setuptools would give it the object file of walks.cu.
#include "walks.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "device_memory.h"
#include "induced_edges_plan.h"
#include "walk_tokens_plan.h"

namespace graphkit::cuda {
namespace {

// Ids and the rows are trusted: looking at them here would wait for the device. The public functions have looked.
WalkDraws draws_of(const Tensor& ptr, const Tensor& col, const Tensor& start, const std::optional<Tensor>& key, int64_t seed,
                   int64_t counter) {
  STD_TORCH_CHECK(counter >= 0 && counter < int64_t(1) << 32, "counter must lie in [0, 2^32)");
  return {input<int64_t>(ptr, start, ScalarType::Long, ptr.numel(), "ptr"),
          input<int64_t>(key, start, ScalarType::Long, ptr.numel() - 1, "key"),
          input<int32_t>(col, start, ScalarType::Int, col.numel(), "col"), uint64_t(seed), uint32_t(counter)};
}

void check_limits(int64_t length, int64_t walks, int64_t repeats, int64_t most_repeats) {
  STD_TORCH_CHECK(length >= 0 && length <= 255 && walks >= 1 && walks <= 4096 && repeats >= 0 && repeats <= most_repeats,
                  "walks have at most 255 steps, 4096 walks and 4096 repeats");
}

Tensor walks(Tensor ptr, Tensor col, Tensor start, std::optional<Tensor> key, int64_t length, int64_t walks, int64_t repeat,
             int64_t seed, int64_t counter) {
  check_limits(length, walks, repeat, 4095);
  const int64_t* from = input<int64_t>(start, start, ScalarType::Long, start.numel(), "start");
  const WalkDraws draws = draws_of(ptr, col, start, key, seed, counter);
  const Device device(start);
  Tensor out = buffer(start, {start.numel(), walks, length + 1}, ScalarType::Long);
  const char* error = sample_walks({draws, from, data<int64_t>(out), start.numel(), walks, length, repeat}, device.stream);
  STD_TORCH_CHECK(error == nullptr, "graphkit could not run random walks: ", error);
  return out;
}

std::tuple<Tensor, Tensor, Tensor> tokens(Tensor ptr, Tensor col, Tensor start, std::optional<Tensor> key, int64_t longest, int64_t walks,
                                          int64_t repeats, int64_t seed, int64_t counter, bool keep) {
  check_limits(longest, walks, repeats, 4096);
  const int64_t S = start.numel(), slots = longest * repeats;
  const int64_t* from = input<int64_t>(start, start, ScalarType::Long, S, "start");
  const Tokens of{draws_of(ptr, col, start, key, seed, counter), from, S, longest, walks, repeats};
  const Device device(start);
  DeviceMemory memory(start, device.stream);
  Tensor kept = buffer(start, {keep ? S : 0, slots, walks, longest + 1}, ScalarType::Long);
  if (keep) memory.check(keep_walks(of, S * slots, data<int64_t>(kept), device.stream));
  const auto made = tokens_of_walks(of, memory);
  return {made.ptr.tensor, made.nodes.tensor, kept};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> edges(Tensor ptr, Tensor col, Tensor edge, Tensor set_ptr, Tensor nodes) {
  const int64_t N = ptr.numel() - 1, sets = set_ptr.numel() - 1, entries = col.numel();
  STD_TORCH_CHECK(N >= 0 && sets >= 0 && sets <= INT32_MAX && entries <= INT32_MAX,
                  "there must be pointers; sets and entries must each be fewer than 2^31");
  const StoredEdges g{N,
                      input<int64_t>(ptr, nodes, ScalarType::Long, N + 1, "ptr"),
                      input<int32_t>(col, nodes, ScalarType::Int, entries, "col"),
                      input<int64_t>(edge, nodes, ScalarType::Long, entries, "edge")};
  const NodeSets of{sets,
                    nodes.numel(),
                    input<int64_t>(set_ptr, nodes, ScalarType::Long, sets + 1, "set_ptr"),
                    input<int64_t>(nodes, nodes, ScalarType::Long, nodes.numel(), "nodes"),
                    nullptr};
  const Device device(nodes);
  DeviceMemory memory(nodes, device.stream);
  const auto made = edges_of_sets(g, of, memory);
  return {made.ptr.tensor, made.source.tensor, made.target.tensor, made.edge.tensor, torch::stable::view(made.repeated.tensor, {})};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) {
  library.impl("sample_walks", TORCH_BOX(&walks));
  library.impl("walk_tokens", TORCH_BOX(&tokens));
  library.impl("induced_edges", TORCH_BOX(&edges));
}

}  // namespace graphkit::cuda
