// Registration of the selective scan for CUDA with torch: checks, memory, stream.
// Not named selective_scan.cpp: setuptools would give it the object file of selective_scan.cu.
#include "selective_scan.h"

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <tuple>

namespace graphkit::cuda {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Optional = std::optional<Tensor>;

const void* input(const Tensor& t, const Tensor& u, ScalarType dtype, int64_t number, const char* name) {
  STD_TORCH_CHECK(t.is_cuda() && t.get_device_index() == u.get_device_index(), "selective_scan: ", name, " must be on the device of u");
  STD_TORCH_CHECK(t.scalar_type() == dtype && t.is_contiguous() && t.numel() == number, "selective_scan: ", name, " has a wrong dtype or size");
  return t.data_ptr();
}

// Where sequences lie is trusted: looking at it here would wait for the device. The public function has looked.
struct Scan : SelectiveScan {
  ScalarType rows, parameters;

  Scan(const Tensor& of_u, const Tensor& of_delta, const Tensor& of_A, const Tensor& of_B, const Tensor& of_C, const Optional& of_skip, const Optional& of_z,
       const Optional& of_bias, bool with_softplus, const Tensor& of_begin, const Tensor& of_length, bool from_end)
      : SelectiveScan{}, rows(of_u.scalar_type()) {
    STD_TORCH_CHECK(rows == ScalarType::Float || rows == ScalarType::Double || rows == ScalarType::BFloat16,
                    "selective_scan: rows must be float32, float64 or bfloat16");
    STD_TORCH_CHECK(of_u.dim() == 2 && of_A.dim() == 2 && of_A.size(0) == of_u.size(1) && of_A.size(1) > 0, "selective_scan: u must be [R, D] and A [D, N]");
    parameters = rows == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
    real = rows == ScalarType::Float ? ScanReal::kFloat : rows == ScalarType::Double ? ScanReal::kDouble : ScanReal::kBfloat16;
    R = of_u.size(0), D = of_u.size(1), N = of_A.size(1), S = of_begin.numel(), padded = (D + 15) / 16 * 16;
    softplus = with_softplus, reverse = from_end;
    begin = static_cast<const int64_t*>(input(of_begin, of_u, ScalarType::Long, S, "begin"));
    length = static_cast<const int64_t*>(input(of_length, of_u, ScalarType::Long, S, "length"));
    u = input(of_u, of_u, rows, R * D, "u"), delta = input(of_delta, of_u, rows, R * D, "delta");
    B = input(of_B, of_u, rows, R * N, "B"), C = input(of_C, of_u, rows, R * N, "C");
    z = of_z ? input(*of_z, of_u, rows, R * D, "z") : nullptr;
    A = input(of_A, of_u, parameters, D * N, "A");
    skip = of_skip ? input(*of_skip, of_u, parameters, D, "D") : nullptr, bias = of_bias ? input(*of_bias, of_u, parameters, D, "delta_bias") : nullptr;
    divide();
  }
};

cudaStream_t stream_of(const Tensor& u) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(u.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

std::tuple<Tensor, Tensor> forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Optional D, Optional z, Optional delta_bias, bool delta_softplus,
                                   Tensor begin, Tensor length, bool reverse, bool keep) {
  Scan a(u, delta, A, B, C, D, z, delta_bias, delta_softplus, begin, length, reverse);
  const torch::stable::accelerator::DeviceGuard guard(u.get_device_index());
  Tensor y = torch::stable::new_zeros(u, {a.R, a.D}), states = torch::stable::new_empty(A, {a.R / kScanChunk, a.N, a.padded});
  Tensor total = torch::stable::new_empty(A, {a.R / kScanChunk, a.padded});
  a.y = y.data_ptr(), a.states = states.data_ptr(), a.total = total.data_ptr();
  const char* error = scan_forward(a, stream_of(u));
  STD_TORCH_CHECK(error == nullptr, "graphkit could not run a selective scan: ", error);
  return {y, keep ? states : torch::stable::new_empty(A, {0, a.N, a.padded})};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(Tensor grad, Tensor states, Tensor u, Tensor delta, Tensor A, Tensor B,
    Tensor C, Optional D, Optional z, Optional delta_bias, bool delta_softplus, Tensor begin, Tensor length, bool reverse) {
  Scan a(u, delta, A, B, C, D, z, delta_bias, delta_softplus, begin, length, reverse);
  const torch::stable::accelerator::DeviceGuard guard(u.get_device_index());
  const int64_t later = a.R / kScanChunk;
  a.grad = input(grad, u, a.rows, a.R * a.D, "the gradient");
  a.states = const_cast<void*>(input(states, u, a.parameters, later * a.N * a.padded, "states"));
  auto zeros = [](const Tensor& like, int64_t height, int64_t width) { return torch::stable::new_zeros(like, {height, width}); };
  Tensor du = zeros(u, a.R, a.D), ddelta = zeros(u, a.R, a.D), dz = z ? zeros(u, a.R, a.D) : zeros(u, 0, 0);
  Tensor behind = torch::stable::new_empty(A, {later, a.N, a.padded}), total = torch::stable::new_empty(A, {later, a.padded});
  Tensor dB_parts = zeros(A, a.groups, a.R * a.N), dC_parts = zeros(A, a.groups, a.R * a.N), dA_parts = zeros(A, a.tiles, a.D * a.N);
  Tensor dskip_parts = zeros(A, a.tiles, a.D), dbias_parts = zeros(A, a.tiles, a.D);
  Tensor dB = zeros(A, a.R, a.N), dC = zeros(A, a.R, a.N), dA = zeros(A, a.D, a.N);
  Tensor dskip = torch::stable::new_zeros(A, {a.D}), dbias = torch::stable::new_zeros(A, {a.D});
  a.du = du.data_ptr(), a.ddelta = ddelta.data_ptr(), a.dz = dz.data_ptr(), a.behind = behind.data_ptr(), a.total = total.data_ptr();
  a.dB_parts = dB_parts.data_ptr(), a.dC_parts = dC_parts.data_ptr(), a.dA_parts = dA_parts.data_ptr();
  a.dskip_parts = dskip_parts.data_ptr(), a.dbias_parts = dbias_parts.data_ptr();
  a.dB = dB.data_ptr(), a.dC = dC.data_ptr(), a.dA = dA.data_ptr(), a.dskip = dskip.data_ptr(), a.dbias = dbias.data_ptr();
  const char* error = scan_backward(a, stream_of(u));
  STD_TORCH_CHECK(error == nullptr, "graphkit could not run the gradient of a selective scan: ", error);
  return {du, ddelta, dA, dB, dC, dskip, dz, dbias};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CUDA, library) {
  library.impl("selective_scan", TORCH_BOX(&forward));
  library.impl("selective_scan_backward", TORCH_BOX(&backward));
}

}  // namespace graphkit::cuda
