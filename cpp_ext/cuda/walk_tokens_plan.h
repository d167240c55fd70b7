// How tokens of random walks are put together from the kernels of walk_tokens.h.
#pragma once

#include <algorithm>

#include "steps.h"
#include "walk_tokens.h"

namespace graphkit::cuda {

template <class Memory> struct TokensInMemory { typename Memory::template Array<int64_t> ptr, nodes; };

// most_cells: of tables at a time, 8 bytes each: 1 GiB; one token always fits.
template <class Memory> TokensInMemory<Memory> tokens_of_walks(const Tokens& of, Memory& memory, int64_t most_cells = int64_t(1) << 27) {
  const int64_t tokens = of.starts * of.longest * of.repeats, cells = 2 * (1 + of.walks * of.longest);  // half of them stay free
  auto size = memory.template empty<int64_t>(tokens * of.walks);
  typename Memory::template Array<int64_t> at;
  TokensInMemory<Memory> made;
  const auto tables = [&](auto& table, int64_t first, int64_t last) { return TokenTables{first, last - first, cells, table.data()}; };
  in_two_passes(
      0, tokens, std::max<int64_t>(1, most_cells / cells),
      [&](int64_t first, int64_t last) {
        auto table = memory.template zeros<uint64_t>((last - first) * cells);
        memory.check(fill_tables(of, tables(table, first, last), memory.stream));
        return table;
      },
      [&](auto& table, int64_t first, int64_t last) {
        memory.check(count_met(of, tables(table, first, last), size.data(), memory.stream));
      },
      [&] {
        at = memory.sums(size.data(), tokens * of.walks);
        made.ptr = memory.template empty<int64_t>(tokens + 1);
        memory.check(token_pointers(of, tokens, at.data(), made.ptr.data(), memory.stream));
        made.nodes = memory.template empty<int64_t>(memory.read(at.data() + tokens * of.walks));
      },
      [&](auto& table, int64_t first, int64_t last) {
        memory.check(list_met(of, tables(table, first, last), at.data(), made.nodes.data(), memory.stream));
      });
  return made;
}

}  // namespace graphkit::cuda
