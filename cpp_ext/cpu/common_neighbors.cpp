// Features summed over the common neighbours of many pairs, and the gradient of that.
#include <torch/csrc/stable/library.h>

#include <memory>
#include <tuple>
#include <vector>

#include "neighbor_lists.h"
#include "pieces.h"
#include "pool_sums.h"
#include "tile_pools.h"

namespace graphkit {
namespace {

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
  void stream() { streams_ = sums_.stream(out.size(0)); }
  // Row by row: what fills many rows at once is an instruction that is slower where the rows are in no cache.
  void ready(int64_t from, int64_t to) const {
    if (streams_) return;  // a row is written once, its sum or zeros
    uint8_t* rows = static_cast<uint8_t*>(out.data_ptr());
    for (int64_t p = from; p < to; ++p) std::fill_n(rows + p * row_bytes_, row_bytes_, uint8_t{0});
  }
  void operator()(int64_t p, const int32_t* list, int64_t size, int64_t slot) const {
    if (!size) return;
    void* sum = sums_.begin_cleared(p, slot);
    pool_kernels().gather(f_, {list, size, factor_ ? Factor::kByNode : Factor::kNone, factor_}, sum);
    sums_.end(p, slot);
  }
  void close(int64_t from, int64_t to, const int64_t* sizes) const {
    if (!streams_) return;
    for (int64_t p = from; p < to; ++p)
      if (!sizes[p - from]) sums_.clear(p);
    wait_for_streams();
  }

 private:
  const Features f_;
  const void* factor_;
  const int64_t row_bytes_;
  bool streams_ = false;
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
  if (!cleared_by_system(to, rows * F * bytes))
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

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("cn_pool", TORCH_BOX(&cn_pool));
  library.impl("cn_pool_with_sets", TORCH_BOX(&cn_pool_with_sets));
  library.impl("cn_spread", TORCH_BOX(&cn_spread));
}

}  // namespace graphkit
