// Random features of nodes, sums over neighbours, products along edges, softmax over the edges of a node.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "concentration.h"
#include "pieces.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// f(begin, end, slot) for runs of rows of about equal work; the cut depends on the rows alone.
template <class F> void for_rows(const int64_t* ptr, int64_t N, int64_t slots, const F& f) {
  const Pieces pieces = cut(N, ptr[N], 1);
  run_tasks(pieces.count, slots, [&](int64_t task, int64_t slot) {
    const int64_t items = ptr[N] + N, begin = std::min(task * pieces.size, items), end = std::min(begin + pieces.size, items);
    // a row belongs to the piece in which it begins; rows before ptr[row] + row == items exist up to N
    auto first = [&](int64_t item) {
      const int64_t row = item >= items ? N : row_of_item(ptr, N, item);
      return row < N && ptr[row] + row < item ? row + 1 : row;
    };
    f(first(begin), first(end), slot);
  });
}

int64_t row_slots(const int64_t* ptr, int64_t N) { return task_slots(cut(N, ptr[N], 1).count); }

// ---------------------------------------------------------------- sums and products

template <class T> void add_row(T* sum, const T* x, int64_t D) {
  for (int64_t d = 0; d < D; ++d) sum[d] += x[d];
}

template <class T> void neighbor_sum_as(const Rows& g, const T* x, T* to, int64_t D) {
  for_rows(g.ptr, g.N, row_slots(g.ptr, g.N), [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t v = begin; v < end; ++v) {
      T* sum = to + v * D;
      std::fill_n(sum, D, T(0));
      for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) add_row(sum, x + g.col[e] * D, D);
    }
  });
}

Rows checked(const Tensor& ptr, const Tensor& col, const Tensor& x) {
  const Rows g = rows_of(ptr, col);
  STD_TORCH_CHECK(x.dim() == 2 && x.size(0) == g.N && x.is_contiguous() &&
                  (x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::Double),
                  "x must be float32 or float64 [N, D], contiguous");
  return g;
}

Tensor neighbor_sum(Tensor ptr, Tensor col, Tensor x) {
  const Rows g = checked(ptr, col, x);
  Tensor out = torch::stable::new_empty(x, {g.N, x.size(1)});
  if (x.scalar_type() == ScalarType::Float) neighbor_sum_as(g, static_cast<const float*>(x.data_ptr()), static_cast<float*>(out.data_ptr()), x.size(1));
  else neighbor_sum_as(g, static_cast<const double*>(x.data_ptr()), static_cast<double*>(out.data_ptr()), x.size(1));
  return out;
}

// mean over the neighbours j of <x_i, x_j>: the neighbours' sum stays in one row of scratch, the products are not stored.
template <class T> void edge_dot_mean_as(const Rows& g, const T* x, T* to, int64_t D) {
  const int64_t slots = row_slots(g.ptr, g.N);
  std::vector<std::vector<T>> scratch(slots, std::vector<T>(D));
  for_rows(g.ptr, g.N, slots, [&](int64_t begin, int64_t end, int64_t slot) {
    T* sum = scratch[slot].data();
    for (int64_t v = begin; v < end; ++v) {
      const int64_t degree = g.degree(v);
      double dot = 0;
      if (degree) {
        std::fill_n(sum, D, T(0));
        for (int64_t e = g.ptr[v]; e < g.ptr[v + 1]; ++e) add_row(sum, x + g.col[e] * D, D);
        for (int64_t d = 0; d < D; ++d) dot += double(sum[d]) * double(x[v * D + d]);
        dot /= double(degree);
      }
      to[v] = T(dot);
    }
  });
}

Tensor edge_dot_mean(Tensor ptr, Tensor col, Tensor x) {
  const Rows g = checked(ptr, col, x);
  Tensor out = torch::stable::new_empty(x, {g.N});
  if (x.scalar_type() == ScalarType::Float) edge_dot_mean_as(g, static_cast<const float*>(x.data_ptr()), static_cast<float*>(out.data_ptr()), x.size(1));
  else edge_dot_mean_as(g, static_cast<const double*>(x.data_ptr()), static_cast<double*>(out.data_ptr()), x.size(1));
  return out;
}

// ---------------------------------------------------------------- softmax over rows

struct Segments {
  int64_t N, H;
  const int64_t* ptr;
};

Segments segments(const Tensor& ptr, const Tensor& value) {
  STD_TORCH_CHECK(ptr.scalar_type() == ScalarType::Long && ptr.is_contiguous() && ptr.numel() >= 1 && value.dim() == 2 && value.is_contiguous() &&
                  (value.scalar_type() == ScalarType::Float || value.scalar_type() == ScalarType::Double),
                  "ptr must be int64 [N + 1], values float32 or float64 [E, H], contiguous");
  const Segments s{ptr.numel() - 1, value.size(1), static_cast<const int64_t*>(ptr.data_ptr())};
  STD_TORCH_CHECK(s.ptr[s.N] == value.size(0), "ptr and values do not belong together");
  return s;
}

template <class T> void softmax_as(const Segments& s, const T* value, T* to) {
  for_rows(s.ptr, s.N, row_slots(s.ptr, s.N), [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t v = begin; v < end; ++v)
      for (int64_t h = 0; h < s.H; ++h) {
        const int64_t first = s.ptr[v], last = s.ptr[v + 1];
        if (first == last) continue;
        T top = value[first * s.H + h];
        for (int64_t e = first; e < last; ++e) top = std::max(top, value[e * s.H + h]);
        double sum = 0;
        for (int64_t e = first; e < last; ++e) sum += double(to[e * s.H + h] = std::exp(value[e * s.H + h] - top));
        for (int64_t e = first; e < last; ++e) to[e * s.H + h] = T(double(to[e * s.H + h]) / sum);
      }
  });
}

template <class T> void softmax_backward_as(const Segments& s, const T* p, const T* gradient, T* to) {
  for_rows(s.ptr, s.N, row_slots(s.ptr, s.N), [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t v = begin; v < end; ++v)
      for (int64_t h = 0; h < s.H; ++h) {
        double sum = 0;
        for (int64_t e = s.ptr[v]; e < s.ptr[v + 1]; ++e) sum += double(p[e * s.H + h]) * double(gradient[e * s.H + h]);
        for (int64_t e = s.ptr[v]; e < s.ptr[v + 1]; ++e) to[e * s.H + h] = T(double(p[e * s.H + h]) * (double(gradient[e * s.H + h]) - sum));
      }
  });
}

Tensor edge_softmax(Tensor ptr, Tensor value) {
  const Segments s = segments(ptr, value);
  Tensor out = torch::stable::new_empty(value, {value.size(0), value.size(1)});
  if (value.scalar_type() == ScalarType::Float) softmax_as(s, static_cast<const float*>(value.data_ptr()), static_cast<float*>(out.data_ptr()));
  else softmax_as(s, static_cast<const double*>(value.data_ptr()), static_cast<double*>(out.data_ptr()));
  return out;
}

Tensor edge_softmax_backward(Tensor ptr, Tensor softmax, Tensor gradient) {
  const Segments s = segments(ptr, softmax);
  STD_TORCH_CHECK(gradient.scalar_type() == softmax.scalar_type() && gradient.numel() == softmax.numel() && gradient.is_contiguous(),
                  "the gradient must look like the softmax");
  Tensor out = torch::stable::new_empty(softmax, {softmax.size(0), softmax.size(1)});
  if (softmax.scalar_type() == ScalarType::Float)
    softmax_backward_as(s, static_cast<const float*>(softmax.data_ptr()), static_cast<const float*>(gradient.data_ptr()), static_cast<float*>(out.data_ptr()));
  else
    softmax_backward_as(s, static_cast<const double*>(softmax.data_ptr()), static_cast<const double*>(gradient.data_ptr()), static_cast<double*>(out.data_ptr()));
  return out;
}

// ---------------------------------------------------------------- random features

// Philox with 4 x 32 bits and 10 rounds (Salmon et al., SC 2011).
void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53) * c[0], b = uint64_t(0xCD9E8D57) * c[2];
    const uint32_t n[4] = {uint32_t(b >> 32) ^ c[1] ^ k0, uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ k1, uint32_t(a)};
    for (int i = 0; i < 4; ++i) c[i] = n[i];
    k0 += 0x9E3779B9, k1 += 0xBB67AE85;
  }
}

// In (0, 1), 23 bits: every value and what it is made of are exact in float32, so all devices begin with the same number.
float unit(uint32_t word) { return (float(word >> 9) + 0.5f) * 0x1p-23f; }

// Standard normal numbers [rows, columns], a function of (seed, stream, row, column): four columns a counter.
Tensor counter_normal(Tensor like, int64_t seed, int64_t stream, int64_t rows, int64_t first, int64_t columns) {
  STD_TORCH_CHECK(first % 4 == 0 && columns % 4 == 0 && first >= 0 && columns >= 0 && rows >= 0, "columns come in fours");
  Tensor out = torch::stable::new_empty(like, {rows, columns}, ScalarType::Float);
  float* to = static_cast<float*>(out.data_ptr());
  torch::stable::parallel_for(0, rows, 512, [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v)
      for (int64_t k = 0; k < columns; k += 4) {
        uint32_t c[4] = {uint32_t(v), uint32_t(uint64_t(v) >> 32), uint32_t((first + k) / 4), uint32_t(stream)};
        philox(c, uint32_t(seed), uint32_t(uint64_t(seed) >> 32));
        float* z = to + v * columns + k;
        for (int half = 0; half < 2; ++half) {
          const float radius = std::sqrt(-2.0f * std::log(unit(c[2 * half]))), angle = 6.283185307179586f * unit(c[2 * half + 1]);
          z[2 * half] = radius * std::cos(angle), z[2 * half + 1] = radius * std::sin(angle);
        }
      }
  });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("neighbor_sum", TORCH_BOX(&neighbor_sum));
  library.impl("edge_dot_mean", TORCH_BOX(&edge_dot_mean));
  library.impl("edge_softmax", TORCH_BOX(&edge_softmax));
  library.impl("edge_softmax_backward", TORCH_BOX(&edge_softmax_backward));
  library.impl("counter_normal", TORCH_BOX(&counter_normal));
}

}  // namespace graphkit
