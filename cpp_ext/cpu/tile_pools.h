// Sums over common neighbours from the bits of all rows, tile by tile: 256 rows that are read together stay in the nearest
// cache, and no list is longer than a byte counts. Every sum has the order that lists of whole pairs would give it.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "bit_tiles.h"
#include "intersections.h"
#include "neighbor_pool.h"
#include "tasks.h"

namespace graphkit {

// From so many nodes of the shorter row for each word on tiles pay (measured with thinned ogbl-ddi): lists of whole pairs, which
// the other way makes of shorter rows alone, serve sums well but not gradients.
constexpr int64_t kPoolsInTiles = 4, kSpreadsInTiles = 2;

// The lists of up to 256 rows of bits.
struct TileLists {
  std::unique_ptr<uint8_t[]> place{new uint8_t[kTile * kTile + 64]};
  std::unique_ptr<int32_t[]> size{new int32_t[kTile]};
};

// out[p] = sums over the common neighbours of pair p; x has accumulators of its own dtype, but bfloat16 those of float32.
inline void pool_tiles(const Intersections& of, const NeighborPoolKernels& kernels, const Features& x, const void* factor, void* out) {
  const BitTileKernels& tiles = bit_tile_kernels();
  const bool half = x.dtype == Real::kBfloat16;
  const int64_t bytes = x.dtype == Real::kFloat64 ? 8 : 4, x_bytes = half ? 2 : bytes, F = x.F, groups = (of.words() + kTileWords - 1) / kTileWords;
  struct Scratch {
    TileLists lists;
    std::unique_ptr<uint64_t[]> bits;  // [groups][256][4]
    std::unique_ptr<uint8_t[]> sums;   // [256, F] for bfloat16
  };
  std::vector<Scratch> scratch(of.slots());
  for (Scratch& s : scratch) {
    s.bits.reset(new uint64_t[groups * kTile * kTileWords]);
    if (half) s.sums.reset(new uint8_t[kTile * F * bytes]);
  }
  run_tasks((of.P + kTile - 1) / kTile, of.slots(), [&](int64_t task, int64_t slot) {
    Scratch& s = scratch[slot];
    const int64_t begin = task * kTile, rows = std::min(of.P - begin, kTile);
    uint8_t* to = static_cast<uint8_t*>(out) + begin * F * x_bytes;
    uint8_t* sums = half ? s.sums.get() : to;
    std::fill_n(sums, rows * F * bytes, uint8_t{0});
    for (int64_t r = 0; r < rows; ++r)
      tiles.both(of.bits(of.one[begin + r]), of.bits(of.two[begin + r]), of.words(), s.bits.get() + r * kTileWords, kTile * kTileWords);
    for (int64_t k = 0; k < groups; ++k) {
      tiles.unpack(s.bits.get() + k * kTile * kTileWords, kTileWords, 1, rows, s.lists.place.get(), s.lists.size.get());
      const Features part{x.dtype, F, static_cast<const uint8_t*>(x.x) + k * kTile * F * x_bytes};
      const void* factors = factor ? static_cast<const uint8_t*>(factor) + k * kTile * bytes : nullptr;
      kernels.gather_tiles(part, rows, s.lists.place.get(), s.lists.size.get(), factors, sums);
    }
    if (half)
      for (int64_t r = 0; r < rows; ++r) kernels.finish(x, sums + r * F * bytes, nullptr, to + r * F * x_bytes);
  });
}

// out[u] += the rows of the gradient of all pairs that have u as a common neighbour: the tiles are turned, and every node
// gathers. Threads own nodes, so that each value has one owner, who adds in the order of the pairs.
inline void spread_tiles(const Intersections& of, const NeighborPoolKernels& kernels, const Features& grad, void* out) {
  const BitTileKernels& tiles = bit_tile_kernels();
  const int64_t bytes = grad.dtype == Real::kFloat64 ? 8 : 4, row_bytes = grad.F * bytes, words = of.words();
  // a node of degree d is common to about d^2 of the pairs
  std::vector<double> cost(words + 1);
  for (int64_t u = 0; u < of.g.N; ++u) cost[u / 64 + 1] += 1 + double(of.g.left(u)) * double(of.g.left(u));
  for (int64_t w = 0; w < words; ++w) cost[w + 1] += cost[w];
  const int64_t tasks = std::min(words, 4 * of.slots());
  std::vector<int64_t> border(tasks + 1, words);
  for (int64_t t = 0; t < tasks; ++t) border[t] = std::lower_bound(cost.begin(), cost.end(), cost[words] * double(t) / double(tasks)) - cost.begin();
  run_tasks(tasks, task_slots(tasks), [&](int64_t task, int64_t) {
    const int64_t first = border[task], last = border[task + 1], node = first * 64, nodes = std::min(of.g.N, last * 64) - node;
    if (first >= last) return;
    const TileLists lists;
    const int64_t plane = (last - first) * 64;
    const std::unique_ptr<uint64_t[]> turned(new uint64_t[kTileWords * plane]);  // [4 words of pairs][node]
    for (int64_t begin = 0; begin < of.P; begin += kTile) {
      for (int64_t part = 0; part < kTileWords; ++part) {
        const int64_t from = std::min(of.P, begin + part * 64), pairs = std::min<int64_t>(64, of.P - from);
        for (int64_t w = first; w < last; w += 8)
          tiles.turned(of.bits(0) + w, words, of.one + from, of.two + from, pairs, std::min<int64_t>(8, last - w),
                       turned.get() + part * plane + (w - first) * 64, 64);
      }
      const Features rows{grad.dtype, grad.F, static_cast<const uint8_t*>(grad.x) + begin * row_bytes};
      for (int64_t u = 0; u < nodes; u += kTile) {
        const int64_t count = std::min(nodes - u, kTile);
        tiles.unpack(turned.get() + u, 1, plane, count, lists.place.get(), lists.size.get());
        kernels.gather_tiles(rows, count, lists.place.get(), lists.size.get(), nullptr, static_cast<uint8_t*>(out) + (node + u) * row_bytes);
      }
    }
  });
}

}  // namespace graphkit
