// Registration of the weighted sums over hops with torch: checks, memory, threads.
#include "hop_combine.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include "isa.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const HopCombineKernels& kernels() { return GRAPHKIT_KERNELS(hop_combine_kernels); }

HopCombine describe(const Tensor& features, int64_t patterns) {
  HopCombine a{};
  const ScalarType type = features.scalar_type();
  STD_TORCH_CHECK((type == ScalarType::Float || type == ScalarType::Double) && features.dim() == 3 && features.is_contiguous(),
                  "hop_combine: features must be contiguous float32 or float64 [N, S, F]");
  STD_TORCH_CHECK(patterns > 0 && (features.size(1) - 1) % patterns == 0, "hop_combine: features do not have the hops of these patterns");
  a.N = features.size(0), a.P = patterns, a.K = (features.size(1) - 1) / patterns, a.F = features.size(2);
  a.wide = type == ScalarType::Double, a.features = features.data_ptr();
  return a;
}

template <class F> void over_nodes(const HopCombine& a, const F& f) {
  const int64_t work = a.P * (a.K + 1) * a.F + 1, grain = (1 << 16) / work + 1;
  torch::stable::parallel_for(0, a.N, grain, f);
}

Tensor forward(Tensor features, Tensor weights) {
  STD_TORCH_CHECK(weights.dim() == 3, "hop_combine: weights must be [N, P, K + 1]");
  HopCombine a = describe(features, weights.size(1));
  STD_TORCH_CHECK(weights.is_contiguous() && weights.scalar_type() == features.scalar_type() && weights.size(0) == a.N &&
                  weights.size(2) == a.K + 1, "hop_combine: weights do not fit the features");
  Tensor out = torch::stable::new_empty(features, {a.P, a.N, a.F});
  a.weights = weights.data_ptr(), a.out = out.data_ptr();
  over_nodes(a, [&](int64_t begin, int64_t end) { kernels().forward(a, begin, end); });
  return out;
}

Tensor backward(Tensor features, Tensor grad) {
  STD_TORCH_CHECK(grad.dim() == 3, "hop_combine: the gradient must be [P, N, F]");
  HopCombine a = describe(features, grad.size(0));
  STD_TORCH_CHECK(grad.is_contiguous() && grad.scalar_type() == features.scalar_type() && grad.size(1) == a.N && grad.size(2) == a.F,
                  "hop_combine: the gradient does not fit the features");
  Tensor out = torch::stable::new_empty(features, {a.N, a.P, a.K + 1});
  a.grad = grad.data_ptr(), a.grad_weights = out.data_ptr();
  over_nodes(a, [&](int64_t begin, int64_t end) { kernels().backward(a, begin, end); });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("hop_combine", TORCH_BOX(&forward));
  library.impl("hop_combine_weights", TORCH_BOX(&backward));
}

}  // namespace graphkit
