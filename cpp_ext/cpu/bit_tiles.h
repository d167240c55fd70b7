// Bits of pairs and nodes, in tiles of 256 times 256: made from the bits of rows, turned, and read as lists. Raw pointers,
// nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

constexpr int64_t kTile = 256, kTileWords = kTile / 64;

struct BitTileKernels {
  // Both rows combined: words 4 k to 4 k + 3 go to to[k * step], the last ones filled up with zeros.
  void (*both)(const uint64_t* a, const uint64_t* b, int64_t words, uint64_t* to, int64_t step);
  // The rows one[k] and two[k] of the table of bits combined, for up to 64 pairs k, and turned: bit c of word w, of up to eight
  // words, is bit k of to[w * step + c]. `row` is how many words a row of the table has.
  void (*turned)(const uint64_t* table, int64_t row, const int64_t* one, const int64_t* two, int64_t pairs, int64_t words, uint64_t* to, int64_t step);
  // The places of the bits that are set in rows of four words, one list after the other, and how many each has. Word w of row
  // r is bits[r * row_step + w * word_step]. There is room for 64 places more.
  void (*unpack)(const uint64_t* bits, int64_t row_step, int64_t word_step, int64_t rows, uint8_t* to, int32_t* sizes);
};

// For this processor.
const BitTileKernels& bit_tile_kernels();

}  // namespace graphkit
