// The common neighbours of many pairs, one pair after the other, on all threads: which way each pair is intersected, in which
// order, and with what memory. Lists are the same whatever is chosen here.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common_neighbors.h"
#include "isa.h"
#include "tasks.h"

namespace graphkit {

struct Row {
  const int32_t* col;
  const uint8_t* gone;  // null where every entry counts
  int64_t size, left;   // entries, and those that count
};

struct NeighborGraph {
  int64_t N;
  const int64_t* ptr;     // [N + 1]
  const int32_t* col;     // [2M], sorted in each row
  const uint8_t* gone;    // [2M] or null
  const int64_t* degree;  // [N] entries that count; null with gone

  [[gnu::always_inline]] int64_t size(int64_t u) const { return ptr[u + 1] - ptr[u]; }
  [[gnu::always_inline]] int64_t left(int64_t u) const { return degree ? degree[u] : size(u); }
  [[gnu::always_inline]] Row row(int64_t u) const {
    const int64_t all = size(u), some = left(u);
    return {col + ptr[u], some != all ? gone + ptr[u] : nullptr, all, some};
  }
  bool has(int64_t u, int64_t v) const {
    const int32_t *begin = col + ptr[u], *end = col + ptr[u + 1], *at = std::lower_bound(begin, end, int32_t(v));
    return at != end && *at == v && !(gone && gone[at - col]);
  }
};

class Intersections {
 public:
  // Throws if a pair names a node that is not there.
  Intersections(const NeighborGraph& graph, int64_t pairs, const int64_t* nodes, int strategy)
      : g(graph), P(pairs), one(nodes), two(nodes + pairs), kernels(GRAPHKIT_KERNELS(common_neighbor_kernels)), strategy_(strategy), words_((graph.N + 63) / 64) {
    struct Block {
      Survey of;
      bool wrong;
    };
    std::vector<Block> found(blocks());
    torch::stable::parallel_for(0, blocks(), 8, [&](int64_t from, int64_t to) {
      for (int64_t k = from; k < to; ++k) {
        const int64_t begin = k * kBlock, size = block_end(k) - begin;
        if (!(found[k].wrong = has_wrong(begin, begin + size))) found[k].of = kernels.survey(g.ptr, one + begin, two + begin, size, kShares, shared_);
      }
    });
    for (const Block& block : found) STD_TORCH_CHECK(!block.wrong, "pairs hold an id outside [0, num_nodes)");
    int64_t shorter = 0, sharing = 0;
    for (const Block& block : found) {
      bounds_.push_back(block.of.shorter);
      shorter += block.of.shorter, sharing += block.of.sharing, longest_ = std::max(longest_, block.of.longest);
    }
    total_ = shorter;
    // bits of all rows pay where they stay in the caches and cost less to make than the work they save
    const bool pays = g.N * words_ * 8 <= kMostMatrixBytes && shorter >= 16 * P && g.N * words_ / 4 + g.ptr[g.N] <= 2 * shorter;
    if (strategy_ == kProbe || strategy_ == kWords || (strategy_ == kAuto && pays)) make_matrix();
    in_order_ = matrix_ || (strategy_ != kBitmap && !(strategy_ == kAuto && sharing >= P / 4));
    // short rows of a small graph, most of which share nothing
    if (strategy_ == kAuto && in_order_ && !matrix_ && !far_apart_ && shorter <= 8 * P && g.ptr[g.N] <= 4 * P) make_signatures();
    make_room();
  }

  const NeighborGraph& g;
  const int64_t P;
  const int64_t *one, *two;
  const CommonNeighborKernels& kernels;

  // At most so many common neighbours.
  int64_t bound(int64_t p) const { return std::min(g.left(one[p]), g.left(two[p])); }
  int64_t total_bound() const { return total_; }
  int64_t longest() const { return longest_; }
  bool has_matrix() const { return matrix_ != nullptr; }
  // Whether whole rows of bits shall be combined, tile by tile: where shorter rows have that many nodes for each word, on average.
  bool combines_bits(int64_t nodes_per_word) const { return strategy_ == kWords || (strategy_ == kAuto && matrix_ && total_ >= nodes_per_word * words_ * P); }
  const uint64_t* bits(int64_t u) const { return matrix_.get() + u * words_; }
  int64_t words() const { return words_; }
  int64_t slots() const { return int64_t(room_.size()); }

  // Pairs are independent of each other and taken in their order; if not, `each` puts them into an order of its own.
  bool in_order() const { return in_order_; }
  int64_t blocks() const { return (P + kBlock - 1) / kBlock; }
  int64_t block_end(int64_t k) const { return std::min(P, (k + 1) * kBlock); }
  int64_t block_bound(int64_t k) const { return bounds_[k]; }

  // f(pair) for pairs [begin, end) in rising order, without some that have no common neighbours.
  template <class F> void each_that_may_meet(int64_t begin, int64_t end, int64_t slot, const F& f) {
    if (!signature_) {
      for (int64_t p = begin; p < end; ++p) f(p);
      return;
    }
    // first which, by arithmetic, then the work: nothing foretells which pairs are left out
    int32_t* some = room_[slot].some.get();
    int64_t size = 0;
    for (int64_t p = begin; p < end; ++p) some[size] = int32_t(p), size += (signature_[one[p]] & signature_[two[p]]) != 0;
    for (int64_t k = 0; k < size; ++k) f(int64_t(some[k]));
  }
  // f(block, begin, end, slot), for pairs that are taken in order.
  template <class F> void each_block(const F& f) {
    run_tasks(blocks(), slots(), [&](int64_t k, int64_t slot) { f(k, k * kBlock, block_end(k), slot); });
  }
  // The common neighbours of one pair, for pairs that are taken in order; `to` has room for kSpare more. Their number.
  int64_t list(int64_t p, int64_t end, int64_t slot, int32_t* to) {
    if (far_apart_) {
      if (p + kPointersAhead < end) prefetch_pointers(p + kPointersAhead);
      if (p + kAhead < end) prefetch(p + kAhead);
    }
    return matrix_ ? by_matrix(p, room_[slot], to) : by_rows(p, room_[slot], to);
  }
  int64_t size(int64_t p, int64_t end, int64_t slot) {
    if (matrix_ && (strategy_ == kWords || (strategy_ != kProbe && bound(p) > words_ / 2))) return kernels.shared(bits(one[p]), bits(two[p]), words_);
    return list(p, end, slot, room_[slot].list.get());
  }

  // f(pair, list, size, slot) for pairs [begin, end), but not for all that have no common neighbours; no two calls in one slot
  // at a time. The list lasts for the call. Before that ready(from, to) for pairs [from, to), which among them are all pairs.
  template <class R, class F> void each(int64_t begin, int64_t end, const R& ready, const F& f) {
    if (in_order_) {
      const int64_t first = begin / kBlock;
      run_tasks((end + kBlock - 1) / kBlock - first, slots(), [&](int64_t k, int64_t slot) {
        const int64_t from = std::max(begin, (first + k) * kBlock), to = std::min(end, block_end(first + k));
        int32_t* room = room_[slot].list.get();
        ready(from, to);
        each_that_may_meet(from, to, slot, [&](int64_t p) { f(p, room, list(p, to, slot, room), slot); });
      });
      return;
    }
    const Order order = arrange(begin, end);
    run_tasks(int64_t(order.cut.size()) - 1, slots(), [&](int64_t task, int64_t slot) {
      Room& room = room_[slot];
      int32_t* list = room.list.get();
      const int64_t to = order.cut[task + 1];
      for (int64_t k = order.cut[task]; k < to;) {
        const int64_t key = k < order.keyed ? longer(order.pair[k]) : -1;
        int64_t last = k + 1;
        while (key >= 0 && last < std::min(to, order.keyed) && longer(order.pair[last]) == key) ++last;
        const bool as_bits = key >= 0 && shared_bitmap_pays(order, k, last, key);
        if (as_bits) set_bits(g.row(key), room.bits.get());
        for (; k < last; ++k) {
          if (far_apart_) {
            if (k + kPointersAhead < to) prefetch_pointers(order.pair[k + kPointersAhead]);
            if (k + kAhead < to) prefetch(order.pair[k + kAhead]);
          }
          const int64_t p = order.pair[k];
          ready(p, p + 1);
          const int64_t size = as_bits ? by_bitmap(p, key, room, list) : by_rows(p, room, list);
          f(p, list, size, slot);
        }
        if (as_bits) clear_bits(g.row(key), room.bits.get());
      }
    });
  }

  // Pairs [begin, end) that follow `begin`, as many as have at most `most` common neighbours together, at least one.
  int64_t follow(int64_t begin, int64_t most) const {
    if (begin == 0 && total_ <= most) return P;
    int64_t end = begin, total = 0;
    while (end < P && (end == begin || total + bound(end) <= most)) total += bound(end++);
    return end;
  }

 private:
  static constexpr int64_t kMostMatrixBytes = int64_t(32) << 20, kAhead = 8, kPointersAhead = 20, kBlock = 512;
  static constexpr int64_t kShares = 4, kFarApart = int64_t(1) << 18;  // entries of a graph that a cache does not hold

  struct Room {
    std::unique_ptr<int32_t[]> list, kept[2], some;
    std::unique_ptr<uint64_t[]> bits;
  };
  struct Order {
    std::vector<int32_t> pair;  // first those that may share the bits of their longer row, by that row
    int64_t keyed;
    std::vector<int64_t> cut;   // borders of the tasks
  };

  bool has_wrong(int64_t begin, int64_t end) const {
    uint64_t wrong = 0;
    for (int64_t p = begin; p < end; ++p) wrong |= uint64_t(uint64_t(one[p]) >= uint64_t(g.N)) | uint64_t(uint64_t(two[p]) >= uint64_t(g.N));
    return wrong != 0;
  }
  // by arithmetic: which node has the longer row is a coin toss, and a wrong guess costs more than a short intersection
  [[gnu::always_inline]] int64_t changed(int64_t p) const { return (one[p] ^ two[p]) & -int64_t(g.size(one[p]) > g.size(two[p])); }
  [[gnu::always_inline]] int64_t longer(int64_t p) const { return two[p] ^ changed(p); }
  [[gnu::always_inline]] int64_t shorter(int64_t p) const { return one[p] ^ changed(p); }

  void make_room() {
    room_.resize(int64_t(torch::stable::get_num_threads()));
    for (Room& room : room_) {
      room.list.reset(new int32_t[longest_ + kSpare]);
      if (g.gone) room.kept[0].reset(new int32_t[longest_ + kSpare]), room.kept[1].reset(new int32_t[longest_ + kSpare]);
      if (signature_) room.some.reset(new int32_t[kBlock]);
      if (!in_order_) room.bits.reset(new uint64_t[words_ + 1]());
    }
  }

  static void set_bits(const Row& row, uint64_t* to) {
    for (int64_t e = 0; e < row.size; ++e) to[row.col[e] >> 6] |= uint64_t(!row.gone || !row.gone[e]) << (row.col[e] & 63);
  }
  static void clear_bits(const Row& row, uint64_t* to) {
    for (int64_t e = 0; e < row.size; ++e) to[row.col[e] >> 6] = 0;
  }

  void make_matrix() {
    STD_TORCH_CHECK(g.N * words_ <= int64_t(1) << 27, "the bits of all rows take more than a gigabyte");
    matrix_.reset(new uint64_t[g.N * words_ + 1]);
    torch::stable::parallel_for(0, g.N, 256, [&](int64_t begin, int64_t end) {
      std::memset(matrix_.get() + begin * words_, 0, (end - begin) * words_ * 8);
      for (int64_t u = begin; u < end; ++u) set_bits(g.row(u), matrix_.get() + u * words_);
    });
  }

  // One bit for each neighbour, removed or not, by its hash: rows without a common bit have no common node.
  void make_signatures() {
    signature_.reset(new uint64_t[g.N]);
    torch::stable::parallel_for(0, g.N, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t u = begin; u < end; ++u) {
        uint64_t all = 0;
        for (int64_t e = g.ptr[u]; e < g.ptr[u + 1]; ++e) all |= uint64_t(1) << (uint32_t(g.col[e]) * 0x9e3779b1u >> 26);
        signature_[u] = all;
      }
    });
  }

  // The entries that count, in memory of the slot where some do not.
  const int32_t* kept(const Row& row, const std::unique_ptr<int32_t[]>& to) const {
    if (!row.gone) return row.col;
    kernels.keep(row.col, row.gone, row.size, to.get());
    return to.get();
  }

  int64_t by_matrix(int64_t p, Room& room, int32_t* to) const {
    const int64_t few = shorter(p), many = longer(p);
    const Row row = g.row(few);
    if (strategy_ == kWords || (strategy_ != kProbe && row.left > kWordsPerNode * words_))
      return kernels.words(bits(few), bits(many), words_, to);
    return kernels.probe(kept(row, room.kept[0]), row.left, bits(many), to);
  }

  int64_t by_bitmap(int64_t p, int64_t key, Room& room, int32_t* to) const {
    const Row row = g.row(one[p] == key ? two[p] : one[p]);
    return kernels.probe(kept(row, room.kept[0]), row.left, room.bits.get(), to);
  }

  int64_t by_rows(int64_t p, Room& room, int32_t* to) const {
    const Row few = g.row(shorter(p)), many = g.row(longer(p));
    if (!few.left || !many.left) return 0;
    const int32_t* short_row = kept(few, room.kept[0]);
    if (strategy_ == kGallop || (strategy_ != kMerge && many.size > 64 && gallop_cost(few.size, many.size) < merge_cost(few.size, many.size)))
      return kernels.gallop(short_row, few.left, many.col, many.gone, many.size, to);
    return merge_(short_row, few.left, kept(many, room.kept[1]), many.left, to);
  }

  // Cycles, roughly.
  static int64_t log2_of(int64_t n) {
    return 63 - __builtin_clzll(uint64_t(n | 1));
  }
  static int64_t gallop_cost(int64_t few, int64_t many) { return few * (4 + 3 * log2_of(many)); }
  int64_t merge_cost(int64_t few, int64_t many) const {
    return blocks_ ? 12 + (few + many) / 2 : wide_ ? 6 * few + many / 2 : 6 * (few + many);
  }
  static int64_t bitmap_cost(int64_t few) { return 4 * few; }

  bool may_share(int64_t few, int64_t many) const { return strategy_ == kBitmap || (strategy_ == kAuto && few >= kShares && many >= shared_); }
  bool shared_bitmap_pays(const Order& order, int64_t first, int64_t last, int64_t key) const {
    if (strategy_ == kBitmap) return true;
    const int64_t many = g.size(key);
    int64_t with = 4 * many, without = 0;
    for (int64_t k = first; k < last; ++k) {
      const int64_t few = g.size(shorter(order.pair[k]));
      with += bitmap_cost(few), without += std::min(gallop_cost(few, many), merge_cost(few, many));
      if (without > 8 * many + with) return true;
    }
    return with < without;
  }

  Order arrange(int64_t begin, int64_t end) const {
    Order order;
    order.pair.resize(end - begin);
    std::vector<uint64_t> keyed;
    int64_t others = end - begin;
    for (int64_t p = end - 1; p >= begin; --p) {
      if (may_share(g.size(shorter(p)), g.size(longer(p)))) keyed.push_back(uint64_t(longer(p)) << 32 | uint64_t(p));
      else order.pair[--others] = int32_t(p);
    }
    order.keyed = int64_t(keyed.size());
    sort_by_upper_half(keyed);
    for (int64_t k = 0; k < order.keyed; ++k) order.pair[k] = int32_t(keyed[k]);
    // tasks of about equal work
    std::vector<int64_t> cost(end - begin + 1);
    for (int64_t k = 0; k < end - begin; ++k) {
      const int64_t p = order.pair[k];
      const bool opens = k < order.keyed && (k == 0 || longer(order.pair[k - 1]) != longer(p));
      cost[k + 1] = cost[k] + 64 + 8 * g.size(shorter(p)) + (opens ? 4 * g.size(longer(p)) : 0);
    }
    const int64_t step = std::max<int64_t>(32768, cost.back() / 256 + 1);
    order.cut.push_back(0);
    for (int64_t next = step; next < cost.back(); next += step) {
      const int64_t at = std::lower_bound(cost.begin(), cost.end(), next) - cost.begin();
      if (at > order.cut.back()) order.cut.push_back(at);
    }
    if (order.cut.back() < end - begin || order.cut.size() == 1) order.cut.push_back(end - begin);
    return order;
  }

  // Stable, by digits of eleven bits.
  void sort_by_upper_half(std::vector<uint64_t>& keys) const {
    std::vector<uint64_t> other(keys.size());
    for (int shift = 32; shift < 64 && (uint64_t(g.N) >> (shift - 32)) > 0; shift += 11) {
      int64_t start[2049] = {};
      for (uint64_t key : keys) ++start[(key >> shift & 2047) + 1];
      for (int d = 0; d < 2048; ++d) start[d + 1] += start[d];
      for (uint64_t key : keys) other[start[key >> shift & 2047]++] = key;
      keys.swap(other);
    }
  }

  // First where the rows begin, later the rows.
  void prefetch_pointers(int64_t p) const {
    __builtin_prefetch(g.ptr + one[p]), __builtin_prefetch(g.ptr + two[p]);
  }
  void prefetch(int64_t p) const {
    const int64_t few = shorter(p), many = longer(p), size = g.size(many);
    __builtin_prefetch(g.col + g.ptr[few]);
    const int32_t* row = g.col + g.ptr[many];
    if (matrix_) return;
    for (int64_t e = 0; e < std::min<int64_t>(size, 64); e += 16) __builtin_prefetch(row + e);
    if (size > 64) __builtin_prefetch(row + size / 2), __builtin_prefetch(row + size / 4), __builtin_prefetch(row + 3 * (size / 4));
  }

  static constexpr int64_t kWordsPerNode = 4;
  const int strategy_;
  const int64_t words_;
  int64_t longest_ = 0, total_ = 0;
  std::vector<int64_t> bounds_;  // of the blocks
  bool in_order_ = false;
  const bool wide_ = isa() == Isa::kAvx512;
  const Merge merge_ = fastest_merge(kernels.merge);
  const bool blocks_ = merge_ != kernels.merge;  // whole vectors are compared
  const int64_t shared_ = blocks_ ? 256 : 32;    // from so many neighbours on pairs are sorted by their longer row
  const bool far_apart_ = g.ptr[g.N] > kFarApart;
  std::unique_ptr<uint64_t[]> matrix_, signature_;
  std::vector<Room> room_;
};

}  // namespace graphkit
