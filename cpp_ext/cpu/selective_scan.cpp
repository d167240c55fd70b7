// Registration of the selective scan and the causal convolution with torch: checks, memory, threads.
#include "selective_scan.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstring>
#include <optional>
#include <tuple>
#include <vector>

#include "isa.h"
#include "large_pages.h"
#include "streaming.h"
#include "tasks.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Optional = std::optional<Tensor>;

const ScanKernels& kernels() { return GRAPHKIT_KERNELS(scan_kernels); }

// So many sequences keep all cores busy each with one of its own; fewer are shared out by groups of channels.
constexpr int64_t kManySequences = 64, kFewChannels = 32, kTiles = 64;

ScanReal real_of(const Tensor& rows, const char* name) {
  const ScalarType type = rows.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16, name,
                  ": rows must be float32, float64 or bfloat16");
  return type == ScalarType::Float ? ScanReal::kFloat : type == ScalarType::Double ? ScanReal::kDouble : ScanReal::kBfloat16;
}
ScalarType parameter_type(ScanReal real) { return real == ScanReal::kDouble ? ScalarType::Double : ScalarType::Float; }

void check_rows(const Tensor& rows, const Tensor& like, int64_t width, const char* name) {
  STD_TORCH_CHECK(rows.dim() == 2 && rows.size(0) == like.size(0) && rows.size(1) == width && rows.is_contiguous() &&
                  rows.scalar_type() == like.scalar_type(), name, ": rows must be contiguous, of one dtype and one number");
}

Sequences sequences_of(const Tensor& begin, const Tensor& length, bool reverse, int64_t rows, const char* name) {
  STD_TORCH_CHECK(begin.dim() == 1 && length.dim() == 1 && begin.size(0) == length.size(0) && begin.is_contiguous() && length.is_contiguous() &&
                  begin.scalar_type() == ScalarType::Long && length.scalar_type() == ScalarType::Long, name, ": begin and length must be int64 [S]");
  const Sequences of{begin.size(0), static_cast<const int64_t*>(begin.data_ptr()), static_cast<const int64_t*>(length.data_ptr()), reverse};
  int64_t end = 0;  // sequences lie one behind the other, so no two tasks write one row
  for (int64_t s = 0; s < of.count; ++s) {
    STD_TORCH_CHECK(of.begin[s] >= end && of.length[s] >= 0 && of.length[s] <= rows - of.begin[s], name, ": sequences overlap or leave the rows");
    end = of.begin[s] + of.length[s];
  }
  return of;
}

// Tiles of about equally many rows, cut without regard to the number of threads.
struct Plan {
  std::vector<int64_t> first;
  int64_t group, groups;

  Plan(const Sequences& of, int64_t padded) {
    group = of.count >= kManySequences ? padded : kFewChannels < padded ? kFewChannels : padded;
    groups = group ? (padded + group - 1) / group : 1;
    int64_t rows = 0, done = 0;
    for (int64_t s = 0; s < of.count; ++s) rows += of.length[s] + 1;
    const int64_t tiles = of.count < kTiles ? of.count : kTiles;
    for (int64_t s = 0; s < of.count; ++s) {
      if (int64_t(first.size()) < tiles && done * tiles >= rows * int64_t(first.size())) first.push_back(s);
      done += of.length[s] + 1;
    }
    first.push_back(of.count);
  }
  int64_t tiles() const { return int64_t(first.size()) - 1; }

  template <class F> void run(int64_t scratch_bytes, const F& f) const {
    const int64_t tasks = tiles() * groups, slots = task_slots(tasks);
    std::vector<std::vector<char>> scratch(slots);
    run_tasks(tasks, slots, [&](int64_t task, int64_t slot) {
      if (scratch[slot].empty()) scratch[slot].resize(scratch_bytes + 64);
      const int64_t index = task / groups;
      char* aligned = scratch[slot].data() + (64 - reinterpret_cast<uintptr_t>(scratch[slot].data()) % 64) % 64;
      f(Tile{index, first[index], first[index + 1], task % groups}, aligned);
    });
  }
};

int64_t padded_to_lanes(int64_t D) { return (D + kLanes - 1) / kLanes * kLanes; }

// A parameter [D] or [D, N] as [padded] or [N, padded], in its own type; zeros where there is nothing.
template <class A> void spread(A* to, const Tensor& from, int64_t D, int64_t N, int64_t padded, A factor) {
  const A* p = static_cast<const A*>(from.data_ptr());
  for (int64_t c = 0; c < D; ++c)
    for (int64_t k = 0; k < N; ++k) to[k * padded + c] = p[c * N + k] * factor;
}

struct Parameter {
  std::vector<char> room;
  Parameter(const Optional& from, ScanReal real, int64_t D, int64_t N, int64_t padded, double factor, const char* name)
      : room(N * padded * (real == ScanReal::kDouble ? 8 : 4), 0) {
    if (!from) return;
    STD_TORCH_CHECK(from->numel() == D * N && from->is_contiguous() && from->scalar_type() == parameter_type(real), name,
                    ": parameters must be contiguous float32 (float64 for rows of float64) of the sizes of the rows");
    if (real == ScanReal::kDouble) spread(reinterpret_cast<double*>(room.data()), *from, D, N, padded, factor);
    else spread(reinterpret_cast<float*>(room.data()), *from, D, N, padded, float(factor));
  }
};

// parts [count, size] added up in their order
template <class A> void add_up(const A* parts, int64_t count, int64_t size, A* to) {
  torch::stable::parallel_for(0, size, 4096, [&](int64_t begin, int64_t end) {
    std::memcpy(to + begin, parts + begin, (end - begin) * sizeof(A));
    for (int64_t part = 1; part < count; ++part)
      for (int64_t i = begin; i < end; ++i) to[i] += parts[part * size + i];
  });
}
Tensor summed(const Tensor& parts, ScanReal real) {
  if (parts.size(0) == 0) return torch::stable::new_zeros(parts, {parts.size(1)});
  Tensor to = torch::stable::new_empty(parts, {parts.size(1)});
  if (real == ScanReal::kDouble) add_up(static_cast<const double*>(parts.data_ptr()), parts.size(0), parts.size(1), static_cast<double*>(to.data_ptr()));
  else add_up(static_cast<const float*>(parts.data_ptr()), parts.size(0), parts.size(1), static_cast<float*>(to.data_ptr()));
  return to;
}

// [N, padded] as [D, N]
template <class A> void gather(const A* from, int64_t D, int64_t N, int64_t padded, A* to) {
  for (int64_t c = 0; c < D; ++c)
    for (int64_t k = 0; k < N; ++k) to[c * N + k] = from[k * padded + c];
}
Tensor narrowed(const Tensor& from, ScanReal real, int64_t D, int64_t N, int64_t padded, bool matrix) {
  Tensor to = matrix ? torch::stable::new_empty(from, {D, N}) : torch::stable::new_empty(from, {D});
  if (real == ScanReal::kDouble) gather(static_cast<const double*>(from.data_ptr()), D, N, padded, static_cast<double*>(to.data_ptr()));
  else gather(static_cast<const float*>(from.data_ptr()), D, N, padded, static_cast<float*>(to.data_ptr()));
  return to;
}

// [copies, rows width] for every row to be written; those outside every sequence are 0.
Tensor rows_of(const Tensor& like, const Sequences& of, int64_t rows, int64_t width, int64_t copies = 1) {
  int64_t covered = 0;
  for (int64_t s = 0; s < of.count; ++s) covered += of.length[s];
  Tensor made = covered == rows ? torch::stable::new_empty(like, {copies, rows * width}) : torch::stable::new_zeros(like, {copies, rows * width});
  const int64_t bytes = like.scalar_type() == ScalarType::Double ? 8 : like.scalar_type() == ScalarType::Float ? 4 : 2;
  ask_for_large_pages(made.data_ptr(), copies * rows * width * bytes);
  return made;
}
Tensor rows_like(const Tensor& like, const Sequences& of) {
  return torch::stable::reshape(rows_of(like, of, like.size(0), like.size(1)), {like.size(0), like.size(1)});
}

struct Scan : SelectiveScan {
  Parameter decay, skip_room, bias_room;
  Plan plan;
  std::vector<int64_t> chunks;

  Scan(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const Optional& skip, const Optional& z,
       const Optional& bias, bool softplus, const Tensor& begin, const Tensor& length, bool reverse)
      : SelectiveScan(base(u, A)),
        decay(A, real, D, N, padded, 1.4426950408889634, "selective_scan"),
        skip_room(skip, real, D, 1, padded, 1.0, "selective_scan"),
        bias_room(bias, real, D, 1, padded, 1.0, "selective_scan"),
        plan((of = sequences_of(begin, length, reverse, R, "selective_scan")), padded) {
    check_rows(delta, u, D, "selective_scan");
    check_rows(B, u, N, "selective_scan");
    check_rows(C, u, N, "selective_scan");
    if (z) check_rows(*z, u, D, "selective_scan");
    this->softplus = softplus, group = plan.group;
    this->u = u.data_ptr(), this->delta = delta.data_ptr(), this->B = B.data_ptr(), this->C = C.data_ptr();
    this->z = z ? z->data_ptr() : nullptr;
    this->A = decay.room.data(), this->skip = skip_room.room.data(), this->bias = bias_room.room.data();
    chunks.assign(1, 0);
    for (int64_t s = 0; s < of.count; ++s) chunks.push_back(chunks.back() + (of.length[s] > 0 ? (of.length[s] - 1) / kChunk : 0));
    chunk_ptr = chunks.data();
  }
  int64_t bytes(int64_t numbers) const { return numbers * (real == ScanReal::kDouble ? 8 : 4); }

 private:
  static SelectiveScan base(const Tensor& u, const Tensor& A) {
    SelectiveScan a{};
    STD_TORCH_CHECK(u.dim() == 2 && u.is_contiguous() && A.dim() == 2 && A.size(0) == u.size(1) && A.size(1) > 0,
                    "selective_scan: u must be [R, D] and A [D, N]");
    a.R = u.size(0), a.D = u.size(1), a.N = A.size(1), a.padded = padded_to_lanes(a.D), a.real = real_of(u, "selective_scan");
    return a;
  }
};

std::tuple<Tensor, Tensor> scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Optional D, Optional z, Optional delta_bias,
                                        bool delta_softplus, Tensor begin, Tensor length, bool reverse, bool keep) {
  Scan a(u, delta, A, B, C, D, z, delta_bias, delta_softplus, begin, length, reverse);
  Tensor y = rows_like(u, a.of), states = torch::stable::new_empty(A, {keep ? a.R / kChunk : 0, a.N, a.padded});
  a.y = y.data_ptr(), a.states = keep ? states.data_ptr() : nullptr;
  ask_for_large_pages(states.data_ptr(), a.bytes(states.numel()));
  a.plan.run(a.bytes(scan_forward_scratch(a)), [&](const Tile& tile, void* scratch) { kernels().forward(a, tile, scratch); });
  return {y, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> scan_backward(
    Tensor grad, Tensor states, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Optional D, Optional z, Optional delta_bias,
    bool delta_softplus, Tensor begin, Tensor length, bool reverse) {
  Scan a(u, delta, A, B, C, D, z, delta_bias, delta_softplus, begin, length, reverse);
  check_rows(grad, u, a.D, "selective_scan");
  STD_TORCH_CHECK(states.dim() == 3 && states.size(0) >= a.chunks.back() && states.size(1) == a.N && states.size(2) == a.padded && states.is_contiguous() &&
                  states.scalar_type() == parameter_type(a.real), "selective_scan: the states of the chunks were not kept");
  const int64_t tiles = a.plan.tiles(), groups = a.plan.groups;
  Tensor du = rows_like(u, a.of), ddelta = rows_like(u, a.of), dz = z ? rows_like(u, a.of) : torch::stable::new_empty(u, {0, 0});
  Tensor dB = rows_of(A, a.of, a.R, a.N, groups), dC = rows_of(A, a.of, a.R, a.N, groups);
  Tensor dA = torch::stable::new_zeros(A, {tiles, a.N * a.padded}), dskip = torch::stable::new_zeros(A, {tiles, a.padded});
  Tensor dbias = torch::stable::new_zeros(A, {tiles, a.padded});
  a.grad = grad.data_ptr(), a.states = states.data_ptr();
  a.du = du.data_ptr(), a.ddelta = ddelta.data_ptr(), a.dz = dz.data_ptr(), a.dB = dB.data_ptr(), a.dC = dC.data_ptr();
  a.dA = dA.data_ptr(), a.dskip = dskip.data_ptr(), a.dbias = dbias.data_ptr();
  auto streams = [&](const void* to) { return a.real == ScanReal::kFloat && streams_well(to, a.D * 4, 3 * a.R); };  // the three together
  a.streams = streams(a.du) && streams(a.ddelta) && (!z || streams(a.dz));
  a.plan.run(a.bytes(scan_backward_scratch(a)), [&](const Tile& tile, void* scratch) {
    kernels().backward(a, tile, scratch);
    if (a.streams) wait_for_streams();
  });
  auto rows = [&](const Tensor& parts) { return torch::stable::reshape(groups == 1 ? parts : summed(parts, a.real), {a.R, a.N}); };
  auto parameter = [&](const Tensor& parts, int64_t N, bool matrix) { return narrowed(summed(parts, a.real), a.real, a.D, N, a.padded, matrix); };
  return {du, ddelta, parameter(dA, a.N, true), rows(dB), rows(dC), parameter(dskip, 1, false), dz, parameter(dbias, 1, false)};
}

struct Conv : CausalConv {
  Parameter weight_room, bias_room;
  Plan plan;

  Conv(const Tensor& x, const Tensor& weight, const Optional& bias, bool silu, const Tensor& begin, const Tensor& length, bool reverse)
      : CausalConv(base(x, weight)),
        weight_room(weight, real, D, K, padded, 1.0, "causal_conv1d"),
        bias_room(bias, real, D, 1, padded, 1.0, "causal_conv1d"),
        plan((of = sequences_of(begin, length, reverse, R, "causal_conv1d")), padded) {
    this->silu = silu, group = plan.group;
    this->x = x.data_ptr(), this->weight = weight_room.room.data(), this->bias = bias_room.room.data();
  }

 private:
  static CausalConv base(const Tensor& x, const Tensor& weight) {
    CausalConv a{};
    STD_TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && weight.dim() == 2 && weight.size(0) == x.size(1) && weight.size(1) > 0 && weight.size(1) <= 8,
                    "causal_conv1d: x must be [R, D] and weight [D, K] with K from 1 to 8");
    a.R = x.size(0), a.D = x.size(1), a.K = weight.size(1), a.padded = padded_to_lanes(a.D), a.real = real_of(x, "causal_conv1d");
    return a;
  }
};

Tensor conv_forward(Tensor x, Tensor weight, Optional bias, bool silu, Tensor begin, Tensor length, bool reverse) {
  Conv a(x, weight, bias, silu, begin, length, reverse);
  Tensor y = rows_like(x, a.of);
  a.y = y.data_ptr();
  a.plan.run(0, [&](const Tile& tile, void*) { kernels().conv_forward(a, tile); });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> conv_backward(Tensor grad, Tensor x, Tensor weight, Optional bias, bool silu, Tensor begin, Tensor length,
                                                 bool reverse) {
  Conv a(x, weight, bias, silu, begin, length, reverse);
  check_rows(grad, x, a.D, "causal_conv1d");
  const int64_t tiles = a.plan.tiles();
  Tensor dx = rows_like(x, a.of), dweight = torch::stable::new_zeros(weight, {tiles, a.K * a.padded});
  Tensor dbias = torch::stable::new_zeros(weight, {tiles, a.padded});
  a.grad = grad.data_ptr(), a.dx = dx.data_ptr(), a.dweight = dweight.data_ptr(), a.dbias = dbias.data_ptr();
  a.plan.run(0, [&](const Tile& tile, void*) { kernels().conv_backward(a, tile); });
  return {dx, narrowed(summed(dweight, a.real), a.real, a.D, a.K, a.padded, true), narrowed(summed(dbias, a.real), a.real, a.D, 1, a.padded, false)};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) {
  library.impl("selective_scan", TORCH_BOX(&scan_forward));
  library.impl("selective_scan_backward", TORCH_BOX(&scan_backward));
  library.impl("causal_conv1d", TORCH_BOX(&conv_forward));
  library.impl("causal_conv1d_backward", TORCH_BOX(&conv_backward));
}

}  // namespace graphkit
