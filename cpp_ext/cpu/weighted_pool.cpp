// Sums of features over ragged rows of nodes, with weights, and their gradient.
#include <torch/csrc/stable/library.h>

#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "pieces.h"
#include "pool_sums.h"

namespace graphkit {
namespace {

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
    Sums sums(g, grad_x);
    const bool cleared = cleared_by_system(grad_x.data_ptr(), N * row_bytes), streams = sums.stream(N);
    const int64_t step = std::max<int64_t>(1024, (N + lists.entries) / 256 + 1), tasks = (N + lists.entries + step - 1) / step;
    run_tasks(tasks, task_slots(tasks), [&](int64_t task, int64_t slot) {
      const int64_t first = row_of_item(start, N, task * step), last = task + 1 == tasks ? N : row_of_item(start, N, (task + 1) * step);
      if (!streams && !cleared) std::fill_n(static_cast<uint8_t*>(grad_x.data_ptr()) + first * row_bytes, (last - first) * row_bytes, uint8_t{0});
      for (int64_t u = first; u < last; ++u)
        if (start[u] < start[u + 1]) {
          pool_kernels().gather(g, by.rows(u, bytes), sums.begin_cleared(u, slot));
          sums.end(u, slot);
        } else if (streams && !cleared) {
          sums.clear(u);
        }
      wait_for_streams();
    });
  }
  return {grad_value, grad_x};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("weighted_pool", TORCH_BOX(&weighted_pool));
  library.impl("weighted_pool_backward", TORCH_BOX(&weighted_pool_backward));
}

}  // namespace graphkit
