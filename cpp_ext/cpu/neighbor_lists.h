// Lists of common neighbours of many pairs, kept for further use or put into a result.
#pragma once

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "neighbor_tensors.h"

namespace graphkit {
namespace {  // torch hides its types, so what is made of them has to be hidden too

// The lists of all pairs, in as much memory as they take.
class Lists {
 public:
  explicit Lists(Intersections& of) : at_(of.P), size_(of.P) {
    std::unique_ptr<int32_t[]> buffer;
    std::vector<int64_t> offset;
    int64_t room = 0;
    for (int64_t begin = 0; begin < of.P;) {
      const int64_t end = of.follow(begin, kListsAtOnce);
      offset.assign(end - begin + 1, 0);
      for (int64_t p = begin; p < end; ++p) offset[p - begin + 1] = offset[p - begin] + of.bound(p);
      if (offset.back() > room) buffer.reset(new int32_t[room = offset.back()]);
      int32_t* to = buffer.get();
      const auto ready = [&](int64_t from, int64_t last) {
        for (int64_t p = from; p < last; ++p) at_[p] = to + offset[p - begin], size_[p] = 0;
      };
      of.each(begin, end, ready, [&](int64_t p, const int32_t* list, int64_t size, int64_t) {
        std::copy_n(list, size, to + offset[p - begin]);
        size_[p] = size;
      });
      if (end - begin == of.P) {
        blocks_.push_back(std::move(buffer));
      } else {
        int64_t total = 0;
        for (int64_t p = begin; p < end; ++p) offset[p - begin] = total, total += size_[p];
        blocks_.emplace_back(new int32_t[total + 1]);
        int32_t* kept = blocks_.back().get();
        each_block(end - begin, [&](int64_t from, int64_t last, int64_t) {
          for (int64_t k = from; k < last; ++k) {
            const int64_t p = begin + k;
            std::copy_n(at_[p], size_[p], kept + offset[k]);
            at_[p] = kept + offset[k];
          }
        });
      }
      begin = end;
    }
  }
  const int32_t* at(int64_t p) const { return at_[p]; }
  int64_t size(int64_t p) const { return size_[p]; }

 private:
  std::vector<const int32_t*> at_;
  std::vector<int64_t> size_;
  std::vector<std::unique_ptr<int32_t[]>> blocks_;
};

void widen(const int32_t* from, int64_t size, int64_t* to) {
  for (int64_t k = 0; k < size; ++k) to[k] = int64_t(uint32_t(from[k]));
}

// ptr[1 + r] holds the size of row r; made into running sums, whose last is returned.
int64_t add_up(int64_t* ptr, int64_t rows) {
  ptr[0] = 0;
  for (int64_t r = 0; r < rows; ++r) ptr[r + 1] += ptr[r];
  return ptr[rows];
}

using Emitted = std::tuple<Tensor, Tensor, Tensor>;

// What else is made of the lists: nothing.
struct Unused {
  void stream() const {}
  void ready(int64_t, int64_t) const {}
  void close(int64_t, int64_t, const int64_t*) const {}
  void operator()(int64_t, const int32_t*, int64_t, int64_t) const {}
};

// Pairs in their order: every block of pairs has its lists one after the other, and so has the result.
template <class Use> Emitted emit_in_order(const Tensor& like, Intersections& of, Tensor& ptr, Use& use) {
  int64_t* start = data<int64_t>(ptr);
  const int64_t blocks = of.blocks();
  const bool twice = of.total_bound() > kListsAtOnce;  // counted first, and intersected again
  std::vector<int64_t> offset(blocks + 1), total(blocks + 1);
  if (!twice)
    for (int64_t k = 0; k < blocks; ++k) offset[k + 1] = offset[k] + of.block_bound(k) + kSpare;
  if (!twice) use.stream();
  std::unique_ptr<int32_t[]> lists(new int32_t[offset[blocks] + 1]);
  of.each_block([&](int64_t k, int64_t begin, int64_t end, int64_t slot) {
    int64_t found = 0;
    std::fill(start + begin + 1, start + end + 1, 0);
    if (!twice) use.ready(begin, end);
    of.each_that_may_meet(begin, end, slot, [&](int64_t p) {
      int32_t* list = lists.get() + offset[k] + found;
      found += start[p + 1] = twice ? of.size(p, end, slot) : of.list(p, end, slot, list);
      if (!twice) use(p, list, start[p + 1], slot);
    });
    total[k + 1] = found;
    if (!twice) use.close(begin, end, start + begin + 1);
  });
  Tensor node = large(like, add_up(total.data(), blocks), ScalarType::Long);
  int64_t* to = data<int64_t>(node);
  start[0] = 0;
  auto pointers = [&](int64_t k, int64_t begin, int64_t end) {
    int64_t at = total[k];
    for (int64_t p = begin; p < end; ++p) start[p + 1] = at += start[p + 1];
  };
  if (twice) {
    of.each_block([&](int64_t k, int64_t begin, int64_t end, int64_t) { pointers(k, begin, end); });
    const auto ready = [&](int64_t from, int64_t last) { use.ready(from, last); };
    of.each(0, of.P, ready, [&](int64_t p, const int32_t* list, int64_t size, int64_t slot) {
      use(p, list, size, slot);
      widen(list, size, to + start[p]);
    });
  } else {
    of.each_block([&](int64_t k, int64_t begin, int64_t end, int64_t) {
      pointers(k, begin, end);
      widen(lists.get() + offset[k], total[k + 1] - total[k], to + total[k]);
    });
  }
  return {ptr, node, torch::stable::new_empty(like, {0}, ScalarType::Float)};
}

// use(pair, list, size, slot) is called once for every pair with common neighbours, while its list is at hand; use.ready(from,
// to) before, for all pairs. Where use.stream() was called, use.close(from, to, sizes) follows.
template <class Use> Emitted emit_common(const Tensor& like, Intersections& of, Use use) {
  Tensor ptr = torch::stable::new_empty(like, {of.P + 1}, ScalarType::Long);
  if (of.in_order()) return emit_in_order(like, of, ptr, use);
  int64_t* start = data<int64_t>(ptr);
  const Lists lists(of);
  for (int64_t p = 0; p < of.P; ++p) start[p + 1] = lists.size(p);
  Tensor node = large(like, add_up(start, of.P), ScalarType::Long);
  int64_t* to = data<int64_t>(node);
  each_block(of.P, [&](int64_t begin, int64_t end, int64_t slot) {
    use.ready(begin, end);
    for (int64_t p = begin; p < end; ++p) {
      use(p, lists.at(p), lists.size(p), slot);
      widen(lists.at(p), lists.size(p), to + start[p]);
    }
  });
  return {ptr, node, torch::stable::new_empty(like, {0}, ScalarType::Float)};
}

}  // namespace
}  // namespace graphkit
