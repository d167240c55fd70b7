// Rows of sums that operators on neighbours fill.
#pragma once

#include <vector>

#include "neighbor_tensors.h"
#include "streaming.h"

namespace graphkit {

// Rows of sums: straight into the result where it holds accumulators, else by way of scratch.
class Sums {
 public:
  Sums(const Features& x, Tensor& out) : x_(x), out_(static_cast<uint8_t*>(out.data_ptr())), row_bytes_(x.F * bytes_of(x.dtype)) {
    if (x.dtype == Real::kBfloat16) use_scratch();
  }
  // From now on rows go past the caches, where they are whole lines and too many for these; whether they are.
  bool stream(int64_t rows) {
    streams_ = x_.dtype != Real::kBfloat16 && streams_well(out_, row_bytes_, rows);
    if (streams_) use_scratch();
    return streams_;
  }
  void* begin(int64_t r, int64_t slot) {
    void* row = scratch_.empty() ? out_ + r * row_bytes_ : scratch_[slot].data();
    std::fill_n(static_cast<uint8_t*>(row), row_bytes_, uint8_t{0});  // memset may not be given the null pointer of no channels at all
    return row;
  }
  // A row of zeros; where rows are streamed.
  void clear(int64_t r) { stream_lines(out_ + r * row_bytes_, nullptr, row_bytes_); }
  // The same for a row of the result that is 0 already.
  void* begin_cleared(int64_t r, int64_t slot) { return scratch_.empty() ? out_ + r * row_bytes_ : begin(r, slot); }
  void end(int64_t r, int64_t slot) {
    if (streams_) stream_lines(out_ + r * row_bytes_, scratch_[slot].data(), row_bytes_);
    else if (!scratch_.empty()) pool_kernels().finish(x_, scratch_[slot].data(), nullptr, out_ + r * x_.F * 2);
  }

 private:
  void use_scratch() { scratch_.assign(int64_t(torch::stable::get_num_threads()), std::vector<uint8_t>(row_bytes_ + 64)); }

  const Features x_;
  uint8_t* out_;
  int64_t row_bytes_;
  bool streams_ = false;
  std::vector<std::vector<uint8_t>> scratch_;
};

}  // namespace graphkit
