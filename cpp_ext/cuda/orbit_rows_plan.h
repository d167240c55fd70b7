// How rows of orbit adjacencies are put together from the kernels of orbit_rows.h: which tables there are, what is counted before it is
// listed, and how much memory is used at once.
#pragma once

#include <algorithm>
#include <vector>

#include "orbit_rows.h"

namespace graphkit::cuda {

// The most that tables hold at a time, whatever the number of rows; one row always fits.
struct RowLimits {
  int64_t words = int64_t(1) << 26;         // of 32 bits: 256 MiB of marks
  int64_t table_bytes = int64_t(1) << 30;  // of the table of walks
};

template <class V, class Memory> struct RowsInMemory {
  template <class T> using Array = typename Memory::template Array<T>;
  Array<int64_t> ptr2, ptr3;
  Array<int32_t> col2, col3;
  std::vector<Array<V>> values2;  // of the keys that were asked for, in their order
  Array<V> values3;
};

// keys: a bit for each PairKey, and one more for (4,4).
template <class V, class Memory>
RowsInMemory<V, Memory> rows_of_orbits(const OrbitGraph& g, int64_t begin, int64_t end, int64_t keys, Memory& memory,
                                       const RowLimits& limits = {}) {
  const int64_t rows = end - begin, words = (g.N + 31) / 32;
  const bool hop3 = keys >> kPairKeys & 1, wide = sizeof(V) == 8;
  const cudaStream_t stream = memory.stream;
  const auto entry = [&](int64_t u) { return memory.read(g.ptr + u); };
  const auto wedges = [&](int64_t from, int64_t to) {
    const int64_t first = entry(from), last = entry(to);
    return StepsInMemory<Memory>(memory, first, last,
                                 [&](int32_t* owner, int64_t* size) { return entry_steps(g, first, last - first, owner, size, stream); });
  };
  RowsInMemory<V, Memory> made;

  // nodes at distance 2
  const auto marks = [&](auto& bits, int64_t from, int64_t to) { return MarkedRows{from, to - from, words, bits.data()}; };
  auto size = memory.template empty<int64_t>(rows);
  int64_t pairs = 0;
  in_two_passes(
      begin, end, std::max<int64_t>(1, limits.words / std::max<int64_t>(1, words)),
      [&](int64_t from, int64_t to) {
        auto bits = memory.template zeros<uint32_t>((to - from) * words);
        memory.check(mark_pairs(g, wedges(from, to).steps, marks(bits, from, to), stream));
        return bits;
      },
      [&](auto& bits, int64_t from, int64_t to) {
        memory.check(count_marked(g.N, marks(bits, from, to), size.data() + (from - begin), stream));
      },
      [&] {
        made.ptr2 = memory.sums(size.data(), rows);
        pairs = memory.read(made.ptr2.data() + rows);
        made.col2 = memory.template empty<int32_t>(pairs);
      },
      [&](auto& bits, int64_t from, int64_t to) {
        memory.check(list_marked(g.N, marks(bits, from, to), made.ptr2.data() + (from - begin), made.col2.data(), stream));
      });
  const PairRows of{begin, rows, made.ptr2.data(), made.col2.data()};

  // their values; (4,4) is made from two of them
  constexpr int64_t kHop3Needs = int64_t(1) << p1_1 | int64_t(1) << p9_10;
  const int64_t needed = (keys & ((int64_t(1) << kPairKeys) - 1)) | (hop3 ? kHop3Needs : 0);
  typename Memory::template Array<V> value[kPairKeys];
  if (needed) {
    auto common = memory.template zeros<V>(pairs);
    PairSums sums{wide, common.data(), nullptr, nullptr, nullptr, nullptr};
    const bool only_common = needed == int64_t(1) << p1_1;
    auto others = memory.template zeros<V>(only_common ? 0 : 4 * pairs);
    if (!only_common) {
      sums.beside_v = others.data(), sums.beside_u = others.data() + pairs;
      sums.ends = others.data() + 2 * pairs, sums.diamonds = others.data() + 3 * pairs;
    }
    memory.check(add_wedges(g, wedges(begin, end).steps, of, sums, stream));
    value[p1_1] = common;
    if (!only_common) {
      const int64_t first = memory.read(g.opp_ptr + begin), last = memory.read(g.opp_ptr + end);
      const StepsInMemory<Memory> opposites(memory, first, last, [&](int32_t* owner, int64_t* size) {
        return opposite_steps(g, first, last - first, owner, size, stream);
      });
      memory.check(add_diamonds(g, opposites.steps, of, sums, stream));
      PairOutputs out{};
      for (int key = 0; key < kPairKeys; ++key)
        if (key != p1_1 && needed >> key & 1) value[key] = memory.template empty<V>(pairs), out.to[key] = value[key].data();
      memory.check(pair_values(g, of, pairs, sums, out, stream));
    }
    for (int key = 0; key < kPairKeys; ++key)
      if (keys >> key & 1) made.values2.push_back(value[key]);
  }

  // (4,4)
  if (!hop3) {
    made.ptr3 = memory.template empty<int64_t>(0), made.col3 = memory.template empty<int32_t>(0),
        made.values3 = memory.template empty<V>(0);
    return made;
  }
  const auto walks = [&](auto& table, int64_t from, int64_t to) { return WalkTable{wide, from, to - from, table.data()}; };
  in_two_passes(
      begin, end, std::max<int64_t>(1, limits.table_bytes / std::max<int64_t>(1, g.N * int64_t(sizeof(V)))),
      [&](int64_t from, int64_t to) {
        auto table = memory.template zeros<V>((to - from) * g.N);
        const int64_t first = memory.read(of.ptr + (from - begin)), last = memory.read(of.ptr + (to - begin)), first_entry = entry(from);
        const StepsInMemory<Memory> steps(memory, first, last, [&](int32_t* owner, int64_t* size) {
          return pair_steps(g, of, first, last - first, owner, size, stream);
        });
        memory.check(walk_values(g, steps.steps, of, value[p1_1].data(), value[p9_10].data(), walks(table, from, to), first_entry,
                                 entry(to) - first_entry, stream));
        return table;
      },
      [&](auto& table, int64_t from, int64_t to) {
        memory.check(count_walks(g.N, walks(table, from, to), size.data() + (from - begin), stream));
      },
      [&] {
        made.ptr3 = memory.sums(size.data(), rows);
        const int64_t total = memory.read(made.ptr3.data() + rows);
        made.col3 = memory.template empty<int32_t>(total), made.values3 = memory.template empty<V>(total);
      },
      [&](auto& table, int64_t from, int64_t to) {
        memory.check(list_walks(g.N, walks(table, from, to), made.ptr3.data() + (from - begin), made.col3.data(), made.values3.data(),
                                stream));
      });
  return made;
}

}  // namespace graphkit::cuda
