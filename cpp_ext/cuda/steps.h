// Items that have a number of steps each, and how they are numbered.
#pragma once

#include <cstdint>

namespace graphkit::cuda {

// Items first .. first + count - 1; all steps are numbered through, in the order of the items.
struct Steps {
  int64_t first, count, total;
  const int64_t* start;  // [count + 1] number of the first step of each item
  const int32_t* owner;  // [count] what the item belongs to, such as its row
};

// Steps and the arrays that they point to, in the memory of a plan. `sizes(owner, size)` fills both for the items from first to last.
template <class Memory> struct StepsInMemory {
  typename Memory::template Array<int32_t> owner;
  typename Memory::template Array<int64_t> start;
  Steps steps{};

  template <class Sizes> StepsInMemory(Memory& memory, int64_t first, int64_t last, const Sizes& sizes) {
    const int64_t count = last - first;
    owner = memory.template empty<int32_t>(count);
    auto size = memory.template empty<int64_t>(count);
    memory.check(sizes(owner.data(), size.data()));
    start = memory.sums(size.data(), count);
    steps = {first, count, memory.read(start.data() + count), start.data(), owner.data()};
  }
};

// Things numbered from `begin` to `end`, at most `at_once` of them in one table. Tables are made to count what they hold and, once the
// counts are known, again to list it: only the result has to fit into memory. One that holds all is made once.
template <class Make, class Count, class Between, class List>
void in_two_passes(int64_t begin, int64_t end, int64_t at_once, const Make& make, const Count& count, const Between& between,
                   const List& list) {
  decltype(make(begin, end)) table;
  const auto piece = [&](int64_t first, const auto& use, bool is_made) {
    const int64_t last = first + at_once < end ? first + at_once : end;
    if (!is_made) table = {}, table = make(first, last);  // the old one goes first
    use(table, first, last);
  };
  for (int64_t first = begin; first < end; first += at_once) piece(first, count, false);
  between();
  for (int64_t first = begin; first < end; first += at_once) piece(first, list, end - begin <= at_once);
}

}  // namespace graphkit::cuda
