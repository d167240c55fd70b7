// Registration of the PNA update with torch: checks, memory, threads.
#include "pna_update.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <tuple>
#include <vector>

#include "isa.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const PnaUpdateKernels& kernels() { return GRAPHKIT_KERNELS(pna_update_kernels); }

constexpr int64_t kTaskRows = 1024;

// Classes cut into tasks, and for each thread a run of tasks of about equal work. Which thread runs a task changes nothing.
struct Plan {
  std::vector<ClassTask> tasks;
  std::vector<int64_t> cost;  // running sum

  explicit Plan(const PnaUpdate& a) : cost{0} {
    for (int64_t c = 0; c < a.C; ++c) {
      const int64_t rows = (a.class_ptr[c + 1] - a.class_ptr[c]) * a.B;
      for (int64_t begin = 0; begin < rows; begin += kTaskRows) {
        const int64_t end = begin + kTaskRows < rows ? begin + kTaskRows : rows;
        tasks.push_back({c, begin, end});
        cost.push_back(cost.back() + (end - begin) + 8);  // 8: folding the weight costs about as much as 8 rows
      }
    }
  }

  template <class F> void run(int64_t scratch, int64_t size, const F& f) const {
    const int64_t slots = int64_t(torch::stable::get_num_threads());
    auto first = [&](int64_t slot) {
      int64_t low = 0, high = int64_t(tasks.size());
      const int64_t wanted = cost.back() * slot / slots;
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (cost[middle] < wanted) low = middle + 1; else high = middle;
      }
      return low;
    };
    torch::stable::parallel_for(0, slots, 1, [&](int64_t begin, int64_t end) {
      std::vector<char> room(scratch * size);
      for (int64_t slot = begin; slot < end; ++slot)
        for (int64_t task = first(slot); task < first(slot + 1); ++task) f(task, room.data());
    });
  }
};

void describe(PnaUpdate& a, const Tensor& x, const Tensor& features, const Tensor& order, const Tensor& class_ptr, const Tensor& scale,
              const Tensor& weight, const Tensor& bias, const std::optional<Tensor>& norm_weight, const std::optional<Tensor>& norm_bias,
              double eps, bool short_cut) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "pna_update: float32 or float64");
  STD_TORCH_CHECK(x.dim() == 3 && weight.dim() == 2, "pna_update: x must be [B, N, D] and weight [O, 13 D]");
  a.B = x.size(0), a.N = x.size(1), a.D = x.size(2), a.O = weight.size(0), a.C = class_ptr.numel() - 1;
  STD_TORCH_CHECK(features.numel() == 4 * x.numel() && weight.size(1) == 13 * a.D && bias.numel() == a.O && order.numel() == a.N &&
                  scale.numel() == 2 * a.C && (!norm_weight || (norm_weight->numel() == a.O && norm_bias && norm_bias->numel() == a.O)) &&
                  (!short_cut || a.D == a.O), "pna_update: sizes do not fit");
  for (const Tensor* t : {&x, &features, &weight, &bias, &scale})
    STD_TORCH_CHECK(t->is_contiguous() && t->scalar_type() == type, "pna_update: contiguous tensors of one dtype");
  a.wide = type == ScalarType::Double;
  a.x = x.data_ptr(), a.features = features.data_ptr(), a.scale = scale.data_ptr(), a.weight = weight.data_ptr(), a.bias = bias.data_ptr();
  a.order = static_cast<const int32_t*>(order.data_ptr()), a.class_ptr = static_cast<const int64_t*>(class_ptr.data_ptr());
  a.norm_weight = norm_weight ? norm_weight->data_ptr() : nullptr;
  a.norm_bias = norm_weight ? norm_bias->data_ptr() : nullptr;
  a.eps = eps, a.short_cut = short_cut;
}

std::tuple<Tensor, Tensor> forward(Tensor x, Tensor features, Tensor order, Tensor class_ptr, Tensor scale, Tensor weight, Tensor bias,
                                   std::optional<Tensor> norm_weight, std::optional<Tensor> norm_bias, double eps, bool short_cut) {
  PnaUpdate a{};
  describe(a, x, features, order, class_ptr, scale, weight, bias, norm_weight, norm_bias, eps, short_cut);
  Tensor z = torch::stable::new_empty(x, {a.B, a.N, a.O}), out = torch::stable::new_empty(x, {a.B, a.N, a.O});
  Tensor packed = torch::stable::new_empty(x, {13 * a.D, a.O});
  a.z = z.data_ptr(), a.out = out.data_ptr(), a.packed = packed.data_ptr();
  kernels().pack(a);
  const Plan plan(a);
  plan.run(5 * a.D * a.O, a.wide ? 8 : 4, [&](int64_t task, void* scratch) { kernels().forward(a, plan.tasks[task], scratch); });
  return {out, z};
}

// Tables of the folded weight, task after task, unfolded into the published columns.
template <class A> void unfold(const PnaUpdate& a, const Plan& plan, A* grad_weight, A* grad_bias, A* grad_norm_weight, A* grad_norm_bias) {
  const int64_t D = a.D, O = a.O, stride = (5 * D + 3) * O, tasks = int64_t(plan.tasks.size());
  const A *tables = static_cast<const A*>(a.tables), *scale = static_cast<const A*>(a.scale);
  torch::stable::parallel_for(0, 5 * D + 3, 8, [&](int64_t begin, int64_t end) {
    std::vector<A> sum(3 * O);
    for (int64_t k = begin; k < end; ++k) {
      for (A& s : sum) s = A(0);
      for (int64_t t = 0; t < tasks; ++t) {
        const A* row = tables + t * stride + k * O;
        const A amplify = scale[2 * plan.tasks[t].index], attenuate = scale[2 * plan.tasks[t].index + 1];
        for (int64_t o = 0; o < O; ++o) sum[o] += row[o], sum[O + o] += amplify * row[o], sum[2 * O + o] += attenuate * row[o];
      }
      if (k >= 5 * D) {
        A* to = k == 5 * D ? grad_bias : k == 5 * D + 1 ? grad_norm_weight : grad_norm_bias;
        for (int64_t o = 0; to && o < O; ++o) to[o] = sum[o];
      } else if (k < D) {
        for (int64_t o = 0; o < O; ++o) grad_weight[o * 13 * D + k] = sum[o];
      } else {
        const int64_t aggregate = (k - D) / D, channel = (k - D) % D;
        for (int64_t o = 0; o < O; ++o)
          for (int64_t s = 0; s < 3; ++s) grad_weight[o * 13 * D + D + (channel * 4 + aggregate) * 3 + s] = sum[s * O + o];
      }
    }
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    Tensor x, Tensor features, Tensor order, Tensor class_ptr, Tensor scale, Tensor weight, Tensor bias, std::optional<Tensor> norm_weight,
    std::optional<Tensor> norm_bias, Tensor z, Tensor grad, double eps, bool short_cut) {
  PnaUpdate a{};
  describe(a, x, features, order, class_ptr, scale, weight, bias, norm_weight, norm_bias, eps, short_cut);
  STD_TORCH_CHECK(grad.is_contiguous() && grad.numel() == a.B * a.N * a.O && grad.scalar_type() == x.scalar_type(), "pna_update: the gradient does not fit");
  Tensor grad_x = torch::stable::empty_like(x), grad_features = torch::stable::empty_like(features), grad_weight = torch::stable::empty_like(weight);
  Tensor grad_bias = torch::stable::empty_like(bias), grad_norm_weight = torch::stable::new_empty(x, {norm_weight ? a.O : 0});
  Tensor grad_norm_bias = torch::stable::new_empty(x, {norm_weight ? a.O : 0}), packed = torch::stable::new_empty(x, {13 * a.D, a.O});
  a.z = z.data_ptr(), a.grad = grad.data_ptr(), a.grad_x = grad_x.data_ptr(), a.grad_features = grad_features.data_ptr(), a.packed = packed.data_ptr();
  kernels().pack(a);
  const Plan plan(a);
  Tensor tables = torch::stable::new_empty(x, {int64_t(plan.tasks.size()), 5 * a.D + 3, a.O});
  a.tables = tables.data_ptr();
  plan.run(5 * a.D * a.O + 64 * a.O, a.wide ? 8 : 4, [&](int64_t task, void* scratch) { kernels().backward(a, plan.tasks[task], task, scratch); });
  auto finish = [&]<class A>(A) {
    auto at = [](Tensor& t) { return static_cast<A*>(t.data_ptr()); };
    unfold<A>(a, plan, at(grad_weight), at(grad_bias), norm_weight ? at(grad_norm_weight) : nullptr, norm_weight ? at(grad_norm_bias) : nullptr);
  };
  if (a.wide) finish(double()); else finish(float());
  return {grad_x, grad_features, grad_weight, grad_bias, grad_norm_weight, grad_norm_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("pna_update", TORCH_BOX(&forward));
  library.impl("pna_update_backward", TORCH_BOX(&backward));
}

}  // namespace graphkit
