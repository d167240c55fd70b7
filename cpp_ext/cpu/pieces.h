// Rows cut into pieces of equal work. The cut depends on the graph alone, never on the number of threads.
#pragma once

#include <cstdint>

namespace graphkit {

// A row costs its edges plus one. Piece k holds the items [k * size, (k + 1) * size) of the list
// "edges of row 0, end of row 0, edges of row 1, end of row 1, ...", so a long row is shared by several pieces.
struct Pieces {
  int64_t count, size;
};

struct Range {
  int64_t row_begin, edge_begin;  // the first row touched, and the first edge of it that belongs to this piece
  int64_t row_end, edge_end;      // rows below row_end end inside the piece; row_end itself has its edges up to edge_end here
};

// The row that holds item `item`, found by bisection over ptr[row] + row.
inline int64_t row_of_item(const int64_t* ptr, int64_t rows, int64_t item) {
  int64_t low = 0, high = rows;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (ptr[middle] + middle <= item) low = middle; else high = middle - 1;
  }
  return low;
}

inline Range piece_range(const int64_t* ptr, int64_t rows, const Pieces& pieces, int64_t k) {
  const int64_t items = ptr[rows] + rows;
  const int64_t begin = k * pieces.size < items ? k * pieces.size : items;
  const int64_t end = begin + pieces.size < items ? begin + pieces.size : items;
  Range range;
  range.row_begin = row_of_item(ptr, rows, begin);
  range.edge_begin = begin - range.row_begin;
  range.row_end = row_of_item(ptr, rows, end);
  range.edge_end = end - range.row_end;
  return range;
}

// About 64 pieces over all queries, none smaller than 4096 items: enough for many threads, and few tables to add up.
inline Pieces cut(int64_t rows, int64_t edges, int64_t batches) {
  constexpr int64_t kTasks = 64, kSmallest = 4096;
  const int64_t items = rows + edges;
  const int64_t wanted = (kTasks + batches - 1) / (batches > 0 ? batches : 1);
  const int64_t most = items / kSmallest > 0 ? items / kSmallest : 1;
  const int64_t count = wanted < most ? wanted : most;
  const int64_t size = items > 0 ? (items + count - 1) / count : 1;
  return {items > 0 ? (items + size - 1) / size : 1, size};
}

}  // namespace graphkit
