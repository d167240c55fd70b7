// Common and residual neighbours of many pairs as sets, whole or sampled, and their numbers.
#include <torch/csrc/stable/library.h>

#include "neighbor_lists.h"
#include "sampling.h"

namespace graphkit {
namespace {

enum Sets : int { kCommon = 1, kResidual = 2 };

// Rows of nodes that can be made again and again: common neighbours of pair p, or residual ones of one of its nodes.
struct Rows {
  const Intersections& of;
  const Lists& lists;
  Sets sets;
  int64_t cap;
  uint64_t seed;
  uint32_t counter;

  int64_t count() const { return sets == kCommon ? of.P : 2 * of.P; }
  int64_t own(int64_t r) const { return sets == kCommon ? std::min(of.one[r], of.two[r]) : r < of.P ? of.one[r] : of.two[r - of.P]; }
  int64_t other(int64_t r) const { return sets == kCommon ? std::max(of.one[r], of.two[r]) : r < of.P ? of.two[r] : of.one[r - of.P]; }
  int64_t pair(int64_t r) const { return r < of.P ? r : r - of.P; }

  int64_t length(int64_t r) const {
    if (sets == kCommon) return lists.size(r);
    return of.g.left(own(r)) - lists.size(pair(r)) - of.g.has(own(r), other(r));
  }
  const int32_t* nodes(int64_t r, int32_t* room) const {
    const int64_t p = pair(r);
    if (sets == kCommon) return lists.at(p);
    const Row row = of.g.row(own(r));
    of.kernels.without(row.col, row.gone, row.size, lists.at(p), lists.size(p), int32_t(other(r)), room);
    return room;
  }
  DrawKey key(int64_t r) const { return {seed, uint32_t(own(r)) | (sets == kCommon ? 0u : 1u << 31), uint32_t(other(r)), counter}; }
};

Emitted emit_rows(const Tensor& like, const Rows& rows) {
  const int64_t count = rows.count(), cap = rows.cap, slots = int64_t(torch::stable::get_num_threads());
  Tensor ptr = torch::stable::new_empty(like, {count + 1}, ScalarType::Long);
  int64_t* start = data<int64_t>(ptr);
  const int64_t places = cap ? std::min(cap, rows.of.longest()) : 0;
  std::vector<std::unique_ptr<int32_t[]>> drawn(slots), room(slots);
  for (int64_t s = 0; s < slots; ++s) drawn[s].reset(new int32_t[places + 4]), room[s].reset(new int32_t[rows.of.longest() + kSpare]);
  each_block(count, [&](int64_t begin, int64_t end, int64_t slot) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t length = rows.length(r);
      if (cap && length > cap) {
        draw_places(rows.key(r), length, cap, drawn[slot].get());
        length = count_places(drawn[slot].get(), cap);
      }
      start[r + 1] = length;
    }
  });
  const int64_t total = add_up(start, count);
  Tensor node = large(like, total, ScalarType::Long), value = torch::stable::new_empty(like, {cap ? total : 0}, ScalarType::Float);
  int64_t* to = data<int64_t>(node);
  float* values = data<float>(value);
  each_block(count, [&](int64_t begin, int64_t end, int64_t slot) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t length = rows.length(r), size = start[r + 1] - start[r];
      const int32_t* nodes = rows.nodes(r, room[slot].get());
      int64_t* out = to + start[r];
      if (!cap || length <= cap) {
        widen(nodes, size, out);
        if (cap) std::fill(values + start[r], values + start[r + 1], 1.0f);
        continue;
      }
      const int32_t* place = drawn[slot].get();
      draw_places(rows.key(r), length, cap, drawn[slot].get());
      float* weight = values + start[r];
      for (int64_t d = 0; d < cap;) {
        int64_t last = d + 1;
        while (last < cap && place[last] == place[d]) ++last;
        *out++ = nodes[place[d]], *weight++ = float(double((last - d) * length) / double(cap));
        d = last;
      }
    }
  });
  return {ptr, node, value};
}

Emitted neighbor_sets(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, int64_t sets, int64_t cap, int64_t seed,
                      int64_t counter, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  STD_TORCH_CHECK((sets == kCommon || sets == kResidual) && cap >= 0 && cap < int64_t(1) << 31 && counter >= 0 && counter < int64_t(1) << 32,
                  "unknown set, or a cap or counter out of range");
  if (sets == kCommon && !cap) return emit_common(pairs, of, Unused{});
  const Lists lists(of);
  return emit_rows(pairs, Rows{of, lists, Sets(sets), cap, uint64_t(seed), uint32_t(counter)});
}

Tensor count(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  Tensor out = torch::stable::new_empty(pairs, {of.P}, ScalarType::Long);
  int64_t* to = data<int64_t>(out);
  if (of.in_order())
    of.each_block([&](int64_t, int64_t begin, int64_t end, int64_t slot) {
      std::fill(to + begin, to + end, 0);
      of.each_that_may_meet(begin, end, slot, [&](int64_t p) { to[p] = of.size(p, end, slot); });
    });
  else
    of.each(0, of.P, [](int64_t, int64_t) {}, [&](int64_t p, const int32_t*, int64_t size, int64_t) { to[p] = size; });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("neighbor_sets", TORCH_BOX(&neighbor_sets));
  library.impl("common_neighbor_count", TORCH_BOX(&count));
}

}  // namespace graphkit
