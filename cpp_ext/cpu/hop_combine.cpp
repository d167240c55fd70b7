// Registration of the scores of hops and the weighted sums over them with torch: checks, memory, threads.
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

HopProducts describe_products(const Tensor& features, const Tensor& other, int64_t patterns, int64_t hops, int64_t per_hop) {
  STD_TORCH_CHECK(other.is_contiguous() && other.scalar_type() == features.scalar_type(), "hop_products: contiguous tensors of one dtype");
  const HopCombine base = describe(features, patterns);
  STD_TORCH_CHECK(base.K + 1 == hops, "hop_products: features do not have these hops");
  HopProducts a{};
  a.N = base.N, a.P = base.P, a.K = base.K, a.F = base.F, a.Q = per_hop, a.wide = base.wide, a.features = base.features;
  return a;
}

Tensor products(Tensor features, Tensor vectors) {
  STD_TORCH_CHECK(vectors.dim() == 4, "hop_products: vectors must be [P, K + 1, Q, F]");
  HopProducts a = describe_products(features, vectors, vectors.size(0), vectors.size(1), vectors.size(2));
  STD_TORCH_CHECK(vectors.size(3) == a.F, "hop_products: vectors must have as many channels as the features");
  Tensor out = torch::stable::new_empty(features, {a.N, a.P, a.K + 1, a.Q});
  a.vectors = vectors.data_ptr(), a.out = out.data_ptr();
  const int64_t work = a.P * (a.K + 1) * a.Q * a.F + 1;
  torch::stable::parallel_for(0, a.N, (1 << 16) / work + 1, [&](int64_t begin, int64_t end) { kernels().products(a, begin, end); });
  return out;
}

Tensor products_backward(Tensor features, Tensor grad) {
  STD_TORCH_CHECK(grad.dim() == 4, "hop_products: the gradient must be [N, P, K + 1, Q]");
  HopProducts a = describe_products(features, grad, grad.size(1), grad.size(2), grad.size(3));
  STD_TORCH_CHECK(grad.size(0) == a.N, "hop_products: the gradient must have as many nodes as the features");
  Tensor out = torch::stable::new_empty(features, {a.P, a.K + 1, a.Q, a.F});
  a.grad = grad.data_ptr(), a.grad_vectors = out.data_ptr();
  torch::stable::parallel_for(0, a.P * (a.K + 1) * channel_tasks(a), 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) kernels().products_backward(a, task);
  });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("hop_combine", TORCH_BOX(&forward));
  library.impl("hop_combine_weights", TORCH_BOX(&backward));
  library.impl("hop_products", TORCH_BOX(&products));
  library.impl("hop_products_vectors", TORCH_BOX(&products_backward));
}

}  // namespace graphkit
