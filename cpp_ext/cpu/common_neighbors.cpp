// Operators on the common neighbours of many pairs: checks, memory, threads.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "intersections.h"
#include "large_pages.h"
#include "neighbor_pool.h"
#include "pieces.h"
#include "sampling.h"
#include "tile_pools.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const NeighborPoolKernels& pool_kernels() { return GRAPHKIT_KERNELS(neighbor_pool_kernels); }

constexpr int64_t kListsAtOnce = int64_t(1) << 22;  // nodes in the lists that are held at one time

template <class T> T* data(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }

NeighborGraph describe(const Tensor& ptr, const Tensor& col, const std::optional<Tensor>& gone, const std::optional<Tensor>& degree) {
  const int64_t N = ptr.numel() - 1;
  STD_TORCH_CHECK(N >= 0 && ptr.scalar_type() == ScalarType::Long && ptr.is_contiguous(), "ptr must be int64 [N + 1]");
  STD_TORCH_CHECK(col.scalar_type() == ScalarType::Int && col.is_contiguous() && data<int64_t>(ptr)[N] == col.numel(), "col must be int32 [ptr[N]]");
  STD_TORCH_CHECK(gone.has_value() == degree.has_value(), "gone and degree go together");
  if (gone) {
    STD_TORCH_CHECK(gone->scalar_type() == ScalarType::Byte && gone->is_contiguous() && gone->numel() == col.numel(), "gone must be uint8 [2M]");
    STD_TORCH_CHECK(degree->scalar_type() == ScalarType::Long && degree->is_contiguous() && degree->numel() == N, "degree must be int64 [N]");
  }
  return {N, data<int64_t>(ptr), data<int32_t>(col), gone ? data<uint8_t>(*gone) : nullptr, degree ? data<int64_t>(*degree) : nullptr};
}

Intersections describe(const NeighborGraph& g, const Tensor& pairs, int64_t strategy) {
  STD_TORCH_CHECK(pairs.dim() == 2 && pairs.size(0) == 2 && pairs.scalar_type() == ScalarType::Long && pairs.is_contiguous(), "pairs must be int64 [2, P]");
  STD_TORCH_CHECK(strategy >= kAuto && strategy <= kWords, "unknown strategy");
  const int64_t P = pairs.size(1);
  STD_TORCH_CHECK(P < int64_t(1) << 31, "more than 2^31 - 1 pairs");
  return Intersections(g, P, data<int64_t>(pairs), int(strategy));
}

Tensor large(const Tensor& like, int64_t size, ScalarType dtype) {
  Tensor made = torch::stable::new_empty(like, {size}, dtype);
  ask_for_large_pages(made.data_ptr(), size * 8);
  return made;
}

template <class F> void each_block(int64_t count, const F& f) {
  const int64_t size = std::max<int64_t>(16, (count + 255) / 256), blocks = (count + size - 1) / size;
  run_tasks(blocks, task_slots(blocks), [&](int64_t b, int64_t slot) { f(b * size, std::min(count, (b + 1) * size), slot); });
}

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

enum Sets : int { kCommon = 1, kResidual = 2 };
using Emitted = std::tuple<Tensor, Tensor, Tensor>;

// What else is made of the lists: nothing.
struct Unused {
  void ready(int64_t, int64_t) const {}
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
// to) before, for all pairs.
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

// Rows of nodes that can be made again and again: common neighbours of pair p, or residual ones of one of its nodes.
struct Rows {
  const Intersections& of;
  const Lists& lists;
  Sets sets;
  int64_t cap;
  uint64_t seed;
  uint32_t counter;

  int64_t count() const { return sets == kCommon ? of.P : 2 * of.P; }
  int64_t own(int64_t r) const { return sets == kCommon ? std::min(of.one[r], of.two[r]) : r < of.P ? of.one[r] : of.two[r - of.P]; }
  int64_t other(int64_t r) const { return sets == kCommon ? std::max(of.one[r], of.two[r]) : r < of.P ? of.two[r] : of.one[r - of.P]; }
  int64_t pair(int64_t r) const { return r < of.P ? r : r - of.P; }

  int64_t length(int64_t r) const {
    if (sets == kCommon) return lists.size(r);
    return of.g.left(own(r)) - lists.size(pair(r)) - of.g.has(own(r), other(r));
  }
  const int32_t* nodes(int64_t r, int32_t* room) const {
    const int64_t p = pair(r);
    if (sets == kCommon) return lists.at(p);
    const Row row = of.g.row(own(r));
    of.kernels.without(row.col, row.gone, row.size, lists.at(p), lists.size(p), int32_t(other(r)), room);
    return room;
  }
  DrawKey key(int64_t r) const { return {seed, uint32_t(own(r)) | (sets == kCommon ? 0u : 1u << 31), uint32_t(other(r)), counter}; }
};

Emitted emit_rows(const Tensor& like, const Rows& rows) {
  const int64_t count = rows.count(), cap = rows.cap, slots = int64_t(torch::stable::get_num_threads());
  Tensor ptr = torch::stable::new_empty(like, {count + 1}, ScalarType::Long);
  int64_t* start = data<int64_t>(ptr);
  const int64_t places = cap ? std::min(cap, rows.of.longest()) : 0;
  std::vector<std::unique_ptr<int32_t[]>> drawn(slots), room(slots);
  for (int64_t s = 0; s < slots; ++s) drawn[s].reset(new int32_t[places + 4]), room[s].reset(new int32_t[rows.of.longest() + kSpare]);
  each_block(count, [&](int64_t begin, int64_t end, int64_t slot) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t length = rows.length(r);
      if (cap && length > cap) {
        draw_places(rows.key(r), length, cap, drawn[slot].get());
        length = count_places(drawn[slot].get(), cap);
      }
      start[r + 1] = length;
    }
  });
  const int64_t total = add_up(start, count);
  Tensor node = large(like, total, ScalarType::Long), value = torch::stable::new_empty(like, {cap ? total : 0}, ScalarType::Float);
  int64_t* to = data<int64_t>(node);
  float* values = data<float>(value);
  each_block(count, [&](int64_t begin, int64_t end, int64_t slot) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t length = rows.length(r), size = start[r + 1] - start[r];
      const int32_t* nodes = rows.nodes(r, room[slot].get());
      int64_t* out = to + start[r];
      if (!cap || length <= cap) {
        widen(nodes, size, out);
        if (cap) std::fill(values + start[r], values + start[r + 1], 1.0f);
        continue;
      }
      const int32_t* place = drawn[slot].get();
      draw_places(rows.key(r), length, cap, drawn[slot].get());
      float* weight = values + start[r];
      for (int64_t d = 0; d < cap;) {
        int64_t last = d + 1;
        while (last < cap && place[last] == place[d]) ++last;
        *out++ = nodes[place[d]], *weight++ = float(double((last - d) * length) / double(cap));
        d = last;
      }
    }
  });
  return {ptr, node, value};
}

Emitted neighbor_sets(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, int64_t sets, int64_t cap, int64_t seed,
                      int64_t counter, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  STD_TORCH_CHECK((sets == kCommon || sets == kResidual) && cap >= 0 && cap < int64_t(1) << 31 && counter >= 0 && counter < int64_t(1) << 32,
                  "unknown set, or a cap or counter out of range");
  if (sets == kCommon && !cap) return emit_common(pairs, of, Unused{});
  const Lists lists(of);
  return emit_rows(pairs, Rows{of, lists, Sets(sets), cap, uint64_t(seed), uint32_t(counter)});
}

Tensor count(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  Tensor out = torch::stable::new_empty(pairs, {of.P}, ScalarType::Long);
  int64_t* to = data<int64_t>(out);
  if (of.in_order())
    of.each_block([&](int64_t, int64_t begin, int64_t end, int64_t slot) {
      std::fill(to + begin, to + end, 0);
      of.each_that_may_meet(begin, end, slot, [&](int64_t p) { to[p] = of.size(p, end, slot); });
    });
  else
    of.each(0, of.P, [](int64_t, int64_t) {}, [&](int64_t p, const int32_t*, int64_t size, int64_t) { to[p] = size; });
  return out;
}

Features features(const Tensor& x) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && (type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16),
                  "features must be contiguous [rows, F] of float32, float64 or bfloat16");
  return {type == ScalarType::Double ? Real::kFloat64 : type == ScalarType::Float ? Real::kFloat32 : Real::kBfloat16, x.size(1), x.data_ptr()};
}
ScalarType accumulators(Real dtype) { return dtype == Real::kFloat64 ? ScalarType::Double : ScalarType::Float; }
int64_t bytes_of(Real dtype) { return dtype == Real::kFloat64 ? 8 : 4; }

const void* optional_values(const std::optional<Tensor>& t, int64_t size, Real dtype) {
  STD_TORCH_CHECK(!t || (t->scalar_type() == accumulators(dtype) && t->is_contiguous() && t->numel() == size), "weights must be accumulators, one each");
  return t ? t->data_ptr() : nullptr;
}

// Rows of sums: straight into the result where it holds accumulators, else by way of scratch.
class Sums {
 public:
  Sums(const Features& x, Tensor& out) : x_(x), out_(static_cast<uint8_t*>(out.data_ptr())), row_bytes_(x.F * bytes_of(x.dtype)) {
    if (x.dtype == Real::kBfloat16) scratch_.assign(int64_t(torch::stable::get_num_threads()), std::vector<uint8_t>(row_bytes_ + 64));
  }
  void* begin(int64_t r, int64_t slot) {
    void* row = scratch_.empty() ? out_ + r * row_bytes_ : scratch_[slot].data();
    std::fill_n(static_cast<uint8_t*>(row), row_bytes_, uint8_t{0});  // memset may not be given the null pointer of no channels at all
    return row;
  }
  // The same for a row of the result that is 0 already.
  void* begin_cleared(int64_t r, int64_t slot) { return scratch_.empty() ? out_ + r * row_bytes_ : begin(r, slot); }
  void end(int64_t r, int64_t slot) {
    if (!scratch_.empty()) pool_kernels().finish(x_, scratch_[slot].data(), nullptr, out_ + r * x_.F * 2);
  }

 private:
  const Features x_;
  uint8_t* out_;
  int64_t row_bytes_;
  std::vector<std::vector<uint8_t>> scratch_;
};

// Sums of features over the common neighbours of every pair. Lists come in any order of the pairs, from several slots.
class Pools {
 public:
  Tensor out;

  Pools(const NeighborGraph& g, int64_t pairs, const Tensor& x, const std::optional<Tensor>& weight)
      : out(torch::stable::new_empty(x, {pairs, x.size(1)}, x.scalar_type())), f_(features(x)), factor_(optional_values(weight, g.N, f_.dtype)),
        row_bytes_(f_.F * (f_.dtype == Real::kBfloat16 ? 2 : bytes_of(f_.dtype))), sums_(f_, out) {
    STD_TORCH_CHECK(x.size(0) == g.N, "features must have one row per node");
    ask_for_large_pages(out.data_ptr(), pairs * row_bytes_);
  }
  void all(Intersections& of) {
    if (of.combines_bits(kPoolsInTiles)) pool_tiles(of, pool_kernels(), f_, factor_, out.data_ptr());
    else of.each(0, of.P, [&](int64_t from, int64_t to) { ready(from, to); }, *this);
  }
  // Row by row: what fills many rows at once is an instruction that is slower where the rows are in no cache.
  void ready(int64_t from, int64_t to) const {
    uint8_t* rows = static_cast<uint8_t*>(out.data_ptr());
    for (int64_t p = from; p < to; ++p) std::fill_n(rows + p * row_bytes_, row_bytes_, uint8_t{0});
  }
  void operator()(int64_t p, const int32_t* list, int64_t size, int64_t slot) const {
    if (!size) return;
    void* sum = sums_.begin_cleared(p, slot);
    pool_kernels().gather(f_, {list, size, factor_ ? Factor::kByNode : Factor::kNone, factor_}, sum);
    sums_.end(p, slot);
  }

 private:
  const Features f_;
  const void* factor_;
  const int64_t row_bytes_;
  mutable Sums sums_;  // has memory of the slots
};

Tensor cn_pool(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, Tensor x, std::optional<Tensor> weight,
               int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  Pools pools(g, of.P, x, weight);
  pools.all(of);
  return pools.out;
}

// The same, and the sets for the gradient, where these are sure to have no more nodes than the result has numbers.
std::tuple<Tensor, Tensor, Tensor> cn_pool_with_sets(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, Tensor x,
                                                     std::optional<Tensor> weight, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  Pools pools(g, of.P, x, weight);
  if (of.total_bound() <= pools.out.numel()) {
    const Emitted sets = emit_common(pairs, of, pools);
    return {pools.out, std::get<0>(sets), std::get<1>(sets)};
  }
  pools.all(of);
  return {pools.out, torch::stable::new_empty(pairs, {0}, ScalarType::Long), torch::stable::new_empty(pairs, {0}, ScalarType::Long)};
}

Tensor zeros(const Tensor& like, int64_t rows, int64_t F, int64_t bytes) {
  Tensor made = torch::stable::new_empty(like, {rows, F}, like.scalar_type());
  ask_for_large_pages(made.data_ptr(), rows * F * bytes);
  uint8_t* to = static_cast<uint8_t*>(made.data_ptr());
  torch::stable::parallel_for(0, rows, 4096, [&](int64_t begin, int64_t end) { std::fill_n(to + begin * F * bytes, (end - begin) * F * bytes, uint8_t{0}); });
  return made;
}

// How a table [N, F] is cut among threads that add to it: by channels, and where these are too few by nodes; by nodes alone
// where lists are long. Each value has one owner, who adds in the order of the rows; so the cut changes nothing.
struct Owners {
  int64_t step, blocks, ranges;
  std::vector<int64_t> border;

  Owners(int64_t F, int64_t bytes, int64_t threads, int64_t N, const int64_t* ptr, int64_t list_size) {
    const int64_t line = 64 / bytes;
    const bool by_nodes = list_size >= 16 * threads;
    step = by_nodes ? std::max<int64_t>(F, 1) : std::max(line, ((F + threads - 1) / threads + line - 1) / line * line);
    blocks = (F + step - 1) / step;
    ranges = by_nodes ? threads : blocks ? (threads + blocks - 1) / blocks : 1;
    for (int64_t k = 0; k <= ranges; ++k) {
      const int64_t share = ptr ? (ptr[N] + N) / ranges * k : N / ranges * k;
      border.push_back(k == ranges ? N : ptr ? row_of_item(ptr, N, share) : share);
    }
  }
};

// Rows of the gradient that have a list lie apart, where the processor does not foresee them.
constexpr size_t kRowsAhead = 8;
void ask_for_row(const uint8_t* row, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
}

Tensor cn_spread(Tensor ptr, Tensor col, std::optional<Tensor> gone, std::optional<Tensor> degree, Tensor pairs, Tensor grad, int64_t strategy) {
  const NeighborGraph g = describe(ptr, col, gone, degree);
  Intersections of = describe(g, pairs, strategy);
  const Features f = features(grad);
  STD_TORCH_CHECK(grad.size(0) == of.P && f.dtype != Real::kBfloat16, "the gradient must be float32 or float64 with one row per pair");
  const int64_t bytes = bytes_of(f.dtype), row_bytes = f.F * bytes;
  Tensor out = zeros(grad, g.N, f.F, bytes);
  if (of.combines_bits(kSpreadsInTiles)) {
    spread_tiles(of, pool_kernels(), f, out.data_ptr());
    return out;
  }
  const uint8_t* rows = static_cast<const uint8_t*>(f.x);
  std::unique_ptr<int32_t[]> buffer;
  std::vector<int64_t> offset, sizes, some;  // some: pairs with common neighbours
  int64_t room = 0;
  for (int64_t begin = 0; begin < of.P;) {
    const int64_t end = of.follow(begin, kListsAtOnce);
    offset.assign(end - begin + 1, 0), sizes.assign(end - begin, 0);
    for (int64_t p = begin; p < end; ++p) offset[p - begin + 1] = offset[p - begin] + of.bound(p);
    if (offset.back() > room) buffer.reset(new int32_t[room = offset.back()]);
    int32_t* lists = buffer.get();
    of.each(begin, end, [](int64_t, int64_t) {}, [&](int64_t p, const int32_t* list, int64_t size, int64_t) {
      std::copy_n(list, size, lists + offset[p - begin]);
      sizes[p - begin] = size;
    });
    some.clear();
    int64_t entries = 0;
    for (int64_t p = begin; p < end; ++p)
      if (sizes[p - begin]) some.push_back(p), entries += sizes[p - begin];
    const Owners owners(f.F, bytes, of.slots(), g.N, g.ptr, some.empty() ? 0 : entries / int64_t(some.size()));
    const int64_t tasks = owners.blocks * owners.ranges;
    run_tasks(tasks, task_slots(tasks), [&](int64_t task, int64_t) {
      const int64_t first = task % owners.blocks * owners.step, last = std::min(f.F, first + owners.step), range = task / owners.blocks;
      for (size_t k = 0; k < some.size(); ++k) {
        const int64_t p = some[k];
        if (k + kRowsAhead < some.size()) ask_for_row(rows + some[k + kRowsAhead] * row_bytes + first * bytes, (last - first) * bytes);
        const int32_t *from = lists + offset[p - begin], *to = from + sizes[p - begin];
        if (owners.ranges > 1) {
          from = std::lower_bound(from, to, int32_t(owners.border[range]));
          if (range + 1 < owners.ranges) to = std::lower_bound(from, to, int32_t(owners.border[range + 1]));
        }
        if (from != to) pool_kernels().spread(f.dtype, f.F, {from, to - from, Factor::kNone, nullptr}, rows + p * row_bytes, first, last, out.data_ptr());
      }
    });
    begin = end;
  }
  return out;
}

// Ragged rows of nodes; row r adds to row r % rows of the result.
struct Ragged {
  int64_t count, entries, rows;
  const int64_t *ptr, *node;

  Ragged(const Tensor& ptr_of, const Tensor& node_of, int64_t rows_of)
      : count(ptr_of.numel() - 1), entries(node_of.numel()), rows(rows_of), ptr(data<int64_t>(ptr_of)), node(data<int64_t>(node_of)) {
    STD_TORCH_CHECK(count >= 0 && ptr_of.scalar_type() == ScalarType::Long && node_of.scalar_type() == ScalarType::Long && ptr_of.is_contiguous() && node_of.is_contiguous(),
                    "ptr and node must be int64");
    STD_TORCH_CHECK(ptr[0] == 0 && ptr[count] == entries && rows >= 0 && (rows > 0 || count == 0), "ptr must rise from 0 to the number of nodes");
  }
  // f(rows, how many, first) for rows with entries, some at a time, that add to rows r - first of the result. Many have none, in
  // no order that a processor foresees: first which they are, by arithmetic, then the work.
  template <class F> void each_filled(int64_t begin, int64_t end, const F& f) const {
    constexpr int64_t kAtOnce = 2048;
    int64_t filled[kAtOnce];
    for (int64_t r = begin; r < end;) {
      const int64_t first = r / rows * rows, last = std::min({end, r + kAtOnce, first + rows});
      int64_t size = 0;
      for (; r < last; ++r) filled[size] = r, size += ptr[r] < ptr[r + 1];
      f(static_cast<const int64_t*>(filled), size, first);
    }
  }
  NodeList<int64_t> list(int64_t r, const void* value, int64_t bytes) const {
    return {node + ptr[r], ptr[r + 1] - ptr[r], value ? Factor::kByPlace : Factor::kNone, value ? static_cast<const uint8_t*>(value) + ptr[r] * bytes : nullptr};
  }
};

Tensor weighted_pool(Tensor ptr, Tensor node, std::optional<Tensor> value, Tensor x, int64_t rows) {
  const Ragged lists(ptr, node, rows);
  const Features f = features(x);
  const void* factor = optional_values(value, lists.entries, f.dtype);
  const int64_t bytes = bytes_of(f.dtype);
  Tensor out = torch::stable::new_empty(x, {rows, f.F}, x.scalar_type());
  ask_for_large_pages(out.data_ptr(), rows * f.F * (f.dtype == Real::kBfloat16 ? 2 : bytes));
  Sums sums(f, out);
  each_block(rows, [&](int64_t begin, int64_t end, int64_t slot) {
    for (int64_t p = begin; p < end; ++p) {
      void* sum = sums.begin(p, slot);
      for (int64_t r = p; r < lists.count; r += rows)
        if (lists.ptr[r] < lists.ptr[r + 1]) pool_kernels().gather_wide(f, lists.list(r, factor, bytes), sum);
      sums.end(p, slot);
    }
  });
  return out;
}

// The entries of ragged rows by their node, those of a node in the order of the rows: by counting. Threads count and place the
// entries of a part of the rows each.
class ByNode {
 public:
  std::vector<int64_t> start;  // [N + 1]

  ByNode(const Ragged& of, int64_t N, const void* value, int64_t bytes)
      : start(N + 1), row_(new int32_t[of.entries + 1]), value_(value ? new uint8_t[of.entries * bytes + 8] : nullptr) {
    STD_TORCH_CHECK(of.entries < int64_t(1) << 31 && of.rows < int64_t(1) << 31, "more than 2^31 - 1 entries");
    const int64_t parts = std::min<int64_t>(int64_t(torch::stable::get_num_threads()), 1 + of.entries / (4 * N + 16384));
    std::vector<int64_t> border(parts + 1);  // of the rows
    for (int64_t k = 0; k <= parts; ++k) border[k] = k == parts ? of.count : row_of_item(of.ptr, of.count, (of.entries + of.count) / parts * k);
    std::vector<int32_t> next(parts * N);  // where a part places its next entry of a node; at first, how many it has
    torch::stable::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
      for (int64_t k = from; k < to; ++k)
        for (int64_t e = of.ptr[border[k]]; e < of.ptr[border[k + 1]]; ++e) ++next[k * N + of.node[e]];
    });
    int32_t total = 0;
    for (int64_t u = 0; u < N; ++u) {
      start[u] = total;
      for (int64_t k = 0; k < parts; ++k) total += std::exchange(next[k * N + u], total);
    }
    start[N] = total;
    torch::stable::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
      for (int64_t k = from; k < to; ++k)
        of.each_filled(border[k], border[k + 1], [&](const int64_t* rows, int64_t count, int64_t first) {
          for (int64_t i = 0; i < count; ++i)
            for (int64_t e = of.ptr[rows[i]]; e < of.ptr[rows[i] + 1]; ++e) {
              const int64_t place = next[k * N + of.node[e]]++;
              row_[place] = int32_t(rows[i] - first);
              if (value) std::memcpy(value_.get() + place * bytes, static_cast<const uint8_t*>(value) + e * bytes, bytes);
            }
        });
    });
  }
  NodeList<int32_t> rows(int64_t u, int64_t bytes) const {
    return {row_.get() + start[u], start[u + 1] - start[u], value_ ? Factor::kByPlace : Factor::kNone, value_ ? value_.get() + start[u] * bytes : nullptr,
            start.back() - start[u + 1]};
  }

 private:
  std::unique_ptr<int32_t[]> row_;
  std::unique_ptr<uint8_t[]> value_;
};

std::tuple<Tensor, Tensor> weighted_pool_backward(Tensor ptr, Tensor node, std::optional<Tensor> value, Tensor x, Tensor grad, bool need_value, bool need_x) {
  const Ragged lists(ptr, node, grad.size(0));
  const Features f = features(x), g = features(grad);
  STD_TORCH_CHECK(g.F == f.F && grad.scalar_type() == accumulators(f.dtype), "the gradient must be accumulators [rows, F]");
  const void* factor = optional_values(value, lists.entries, f.dtype);
  const int64_t bytes = bytes_of(f.dtype), row_bytes = f.F * bytes, N = x.size(0);
  const uint8_t* rows = static_cast<const uint8_t*>(g.x);
  Tensor grad_value = torch::stable::new_empty(grad, {need_value ? lists.entries : 0}, grad.scalar_type());
  if (need_value) {
    uint8_t* to = static_cast<uint8_t*>(grad_value.data_ptr());
    each_block(lists.count, [&](int64_t begin, int64_t end, int64_t) {
      for (int64_t r = begin; r < end; ++r) pool_kernels().dots(f, lists.list(r, nullptr, bytes), rows + r % lists.rows * row_bytes, to + lists.ptr[r] * bytes);
    });
  }
  Tensor grad_x = need_x ? torch::stable::new_empty(grad, {N, f.F}, grad.scalar_type()) : torch::stable::new_empty(grad, {0}, grad.scalar_type());
  if (need_x) ask_for_large_pages(grad_x.data_ptr(), N * row_bytes);
  if (need_x) {
    const ByNode by(lists, N, factor, bytes);
    const int64_t* start = by.start.data();
    uint8_t* to = static_cast<uint8_t*>(grad_x.data_ptr());
    const int64_t step = std::max<int64_t>(1024, (N + lists.entries) / 256 + 1), tasks = (N + lists.entries + step - 1) / step;
    run_tasks(tasks, task_slots(tasks), [&](int64_t task, int64_t) {
      const int64_t first = row_of_item(start, N, task * step), last = task + 1 == tasks ? N : row_of_item(start, N, (task + 1) * step);
      std::fill_n(to + first * row_bytes, (last - first) * row_bytes, uint8_t{0});
      for (int64_t u = first; u < last; ++u)
        if (start[u] < start[u + 1]) pool_kernels().gather(g, by.rows(u, bytes), to + u * row_bytes);
    });
  }
  return {grad_value, grad_x};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("neighbor_sets", TORCH_BOX(&neighbor_sets));
  library.impl("common_neighbor_count", TORCH_BOX(&count));
  library.impl("cn_pool", TORCH_BOX(&cn_pool));
  library.impl("cn_pool_with_sets", TORCH_BOX(&cn_pool_with_sets));
  library.impl("cn_spread", TORCH_BOX(&cn_spread));
  library.impl("weighted_pool", TORCH_BOX(&weighted_pool));
  library.impl("weighted_pool_backward", TORCH_BOX(&weighted_pool_backward));
}

}  // namespace graphkit
