// Tables of nodes with a number for each, filled by many threads at once. A cell holds the node, plus one, above the least number that it
// was put in with; where several threads bring the same node, the result does not depend on who comes first.
#pragma once

#include "steps.cuh"

namespace graphkit::cuda {
namespace {

struct NodeTable {
  uint64_t* cells;  // zeros before
  int64_t size;     // more than the nodes that are put in

  // Whether the node was not there.
  GK_INLINE bool put(int64_t node, uint32_t number) const {
    const uint64_t mine = uint64_t(node + 1) << 32 | number;
    for (int64_t k = home(node);; k = next(k)) {
      const uint64_t before = put_if_zero(cells + k, mine);
      if (before == 0) return true;
      if (before >> 32 == uint64_t(node + 1)) {
        lower_to(cells + k, mine);
        return false;
      }
    }
  }

  // The number of the node, or -1.
  GK_INLINE int64_t find(int64_t node) const {
    for (int64_t k = home(node);; k = next(k)) {
      const uint64_t cell = cells[k];
      if (cell == 0) return -1;
      if (cell >> 32 == uint64_t(node + 1)) return int64_t(uint32_t(cell));
    }
  }

 private:
  GK_INLINE int64_t home(int64_t node) const { return int64_t(uint64_t(uint32_t(node) * 0x9E3779B1u) * uint64_t(size) >> 32); }
  GK_INLINE int64_t next(int64_t k) const { return k + 1 < size ? k + 1 : 0; }
};

}  // namespace
}  // namespace graphkit::cuda
