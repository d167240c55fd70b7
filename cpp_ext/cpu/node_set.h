// A small set of nodes with a number for each; emptied in no time, so one serves many sets after each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace graphkit {

class NodeSet {
 public:
  // Room for `most` nodes; at least half of the cells stay free.
  explicit NodeSet(int64_t most) { reserve(most); }

  // Forgets what is in it if it grows.
  void reserve(int64_t most) {
    int bits = 4;
    while ((int64_t(1) << bits) < 2 * most) ++bits;
    if (int64_t(1) << bits <= int64_t(cells_.size())) return;
    cells_.assign(size_t(1) << bits, 0), numbers_.resize(size_t(1) << bits), shift_ = 32 - bits, now_ = 1;
  }

  void clear() {
    if (++now_ == 0) cells_.assign(cells_.size(), 0), now_ = 1;  // the marks have come round
  }

  // Whether the node is new. There is no branch on that: nobody could foresee it.
  bool insert(int32_t node) {
    const size_t k = find_cell(node);
    const bool is_new = cells_[k] != cell(node);
    cells_[k] = cell(node);
    return is_new;
  }
  bool insert(int32_t node, int32_t number) {
    const size_t k = find_cell(node);
    const bool is_new = cells_[k] != cell(node);
    cells_[k] = cell(node), numbers_[k] = number;
    return is_new;
  }

  // The number it was last inserted with, or -1.
  int32_t find(int32_t node) const {
    const size_t k = find_cell(node);
    return cells_[k] == cell(node) ? numbers_[k] : -1;
  }

 private:
  // A cell holds the mark of the set it was filled for, and the node.
  uint64_t cell(int32_t node) const { return uint64_t(now_) << 32 | uint32_t(node); }

  // The node's cell, or the free one where it belongs.
  size_t find_cell(int32_t node) const {
    const size_t mask = cells_.size() - 1;
    const uint64_t *cells = cells_.data(), wanted = cell(node);
    size_t k = uint32_t(node) * 0x9E3779B1u >> shift_;
    while (!(int(cells[k] == wanted) | int(cells[k] >> 32 != now_))) k = (k + 1) & mask;
    return k;
  }

  std::vector<uint64_t> cells_;
  std::vector<int32_t> numbers_;
  int shift_ = 28;
  uint32_t now_ = 1;
};

}  // namespace graphkit
