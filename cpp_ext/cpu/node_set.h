// A small set of nodes with a number for each; emptied in no time, so one serves many sets after each other.
#pragma once

#include <cstdint>
#include <vector>

namespace graphkit {

class NodeSet {
 public:
  // Room for `most` nodes; at least half of the cells stay free.
  explicit NodeSet(int64_t most) { reserve(most); }

  void reserve(int64_t most) {
    int bits = 4;
    while ((int64_t(1) << bits) < 2 * most) ++bits;
    if (int64_t(1) << bits <= int64_t(cells_.size())) return;
    cells_.assign(size_t(1) << bits, Cell{0, 0, 0}), shift_ = 32 - bits, now_ = 1;
  }

  void clear() {
    if (++now_ == 0) cells_.assign(cells_.size(), Cell{0, 0, 0}), now_ = 1;  // the marks have come round
  }

  // Whether the node is new.
  bool insert(int32_t node, int32_t number) {
    Cell* cell = at(node);
    if (cell->mark == now_) return false;
    *cell = {now_, node, number};
    return true;
  }

  // Its number, or -1.
  int32_t find(int32_t node) const {
    const Cell* cell = const_cast<NodeSet*>(this)->at(node);
    return cell->mark == now_ ? cell->number : -1;
  }

 private:
  struct Cell {
    uint32_t mark;
    int32_t node, number;
  };

  // The node's cell, or the free one where it belongs.
  Cell* at(int32_t node) {
    const size_t mask = cells_.size() - 1;
    for (size_t k = uint32_t(node) * 0x9E3779B1u >> shift_;; k = (k + 1) & mask)
      if (cells_[k].mark != now_ || cells_[k].node == node) return &cells_[k];
  }

  std::vector<Cell> cells_;
  int shift_ = 28;
  uint32_t now_ = 1;
};

}  // namespace graphkit
