// Registration of dropout with random words that are already there: checks, memory, threads.
#include "dropout.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include "isa.h"
#include "large_pages.h"

namespace graphkit {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

const DropoutKernels& kernels() { return GRAPHKIT_KERNELS(dropout_kernels); }

Tensor word_dropout(Tensor x, Tensor words, int64_t least, double scale) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK((type == ScalarType::Float || type == ScalarType::Double) && x.is_contiguous(), "word_dropout: x must be contiguous float32 or float64");
  STD_TORCH_CHECK(words.scalar_type() == ScalarType::Long && words.is_contiguous() && 4 * words.numel() >= x.numel(), "word_dropout: a word of 16 bits for each entry");
  STD_TORCH_CHECK(least >= INT16_MIN && least <= INT16_MAX, "word_dropout: least must be a word");
  Tensor out = torch::stable::empty_like(x);
  ask_for_large_pages(out.data_ptr(), x.numel() * (type == ScalarType::Double ? 8 : 4));
  const Dropout a{type == ScalarType::Double, x.data_ptr(), static_cast<const int16_t*>(words.data_ptr()), int16_t(least), scale, out.data_ptr()};
  torch::stable::parallel_for(0, x.numel(), 1 << 15, [&](int64_t begin, int64_t end) { kernels().drop(a, begin, end); });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(graphkit, CPU, library) { library.impl("word_dropout", TORCH_BOX(&word_dropout)); }

}  // namespace graphkit
