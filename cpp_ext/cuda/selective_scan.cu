// The selective scan on a CUDA device. A thread owns one channel of one chunk of up to 32 steps and goes through its states one
// after the other; 32 channels side by side read the same B and C. Sequences of one chunk need nothing else. Longer ones take
// three passes: every chunk from a state of 0, what each leaves is carried along its sequence, every chunk again from the right
// state. Sums are taken in a fixed order: no atomics, and runs repeat bit for bit.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "selective_scan.h"

#include <cmath>

#include "launch.cuh"

namespace graphkit::cuda {
namespace {

GK_INLINE float exp_of(float x) { return expf(x); }
GK_INLINE double exp_of(double x) { return exp(x); }
GK_INLINE float log1p_of(float x) { return log1pf(x); }
GK_INLINE double log1p_of(double x) { return log1p(x); }

template <class A> struct WithSlope { A value, slope; };
template <class A> GK_INLINE WithSlope<A> softplus_of(A x) {
  const A e = exp_of(x < A(0) ? x : -x);  // neither overflows, and small results keep their digits
  return {(x > A(0) ? x : A(0)) + log1p_of(e), (x < A(0) ? e : A(1)) / (e + A(1))};
}
template <class A> GK_INLINE WithSlope<A> silu_of(A z) {
  const A e = exp_of(z < A(0) ? z : -z), sigmoid = (z < A(0) ? e : A(1)) / (e + A(1));
  return {z * sigmoid, sigmoid * (A(1) + z * (A(1) - sigmoid))};
}

// Chunk m of sequence s; no rows where there is none.
struct Chunk {
  int64_t s, m, last, rows;
};
GK_INLINE int64_t chunks_of(const SelectiveScan& a, int64_t s) { return (a.length[s] + kScanChunk - 1) / kScanChunk; }
GK_INLINE Chunk chunk_of(const SelectiveScan& a, int64_t s, int64_t m) {
  const int64_t count = chunks_of(a, s), left = a.length[s] - m * kScanChunk;
  return {s, m, count - 1, m < 0 || m >= count ? 0 : left < kScanChunk ? left : kScanChunk};
}
// The last sequence whose first place is not behind `place`; `each`: how far places of sequences lie apart at least.
GK_INLINE int64_t sequence_at(const SelectiveScan& a, int64_t place, int64_t each) {
  int64_t low = 0, high = a.S - 1;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (a.begin[middle] / kScanChunk + each * middle <= place) low = middle; else high = middle - 1;
  }
  return low;
}
GK_INLINE Chunk any_chunk(const SelectiveScan& a, int64_t place) {
  const int64_t s = sequence_at(a, place, 1);
  return chunk_of(a, s, place - a.begin[s] / kScanChunk - s);
}
GK_INLINE Chunk later_chunk(const SelectiveScan& a, int64_t place) {
  const int64_t s = sequence_at(a, place, 0);
  return chunk_of(a, s, place - a.begin[s] / kScanChunk + 1);
}
GK_INLINE int64_t place_of(const SelectiveScan& a, int64_t s, int64_t m) { return a.begin[s] / kScanChunk + m - 1; }  // m > 0

// One channel in the rows of a chunk.
template <class T> struct Rows {
  using A = Accumulator<T>;
  const SelectiveScan& a;
  int64_t s, first, step, count, c;

  GK_INLINE Rows(const SelectiveScan& a, const Chunk& chunk, int64_t c) : a(a), s(chunk.s), step(a.reverse ? -1 : 1), count(chunk.rows), c(c) {
    const int64_t t = chunk.m * kScanChunk;
    first = a.begin[chunk.s] + (a.reverse ? a.length[chunk.s] - 1 - t : t);
  }
  GK_INLINE int64_t row(int64_t i) const { return first + i * step; }
  GK_INLINE A at(const void* rows, int64_t i) const { return widen(static_cast<const T*>(rows)[row(i) * a.D + c]); }
  GK_INLINE void put(void* rows, int64_t i, A value) const { static_cast<T*>(rows)[row(i) * a.D + c] = narrow<T>(value); }
  GK_INLINE A shared(const void* rows, int64_t i, int64_t k) const { return widen(static_cast<const T*>(rows)[row(i) * a.N + k]); }
  GK_INLINE A parameter(const void* p) const { return p ? static_cast<const A*>(p)[c] : A(0); }
  GK_INLINE A rate(int64_t k) const { return static_cast<const A*>(a.A)[c * a.N + k]; }
  GK_INLINE A kept(const void* values, int64_t m, int64_t k) const {
    return static_cast<const A*>(values)[(place_of(a, s, m) * a.N + k) * a.padded + c];
  }
  GK_INLINE WithSlope<A> step_size(int64_t i) const {
    const A raw = at(a.delta, i) + parameter(a.bias);
    return a.softplus ? softplus_of(raw) : WithSlope<A>{raw, A(1)};
  }
};

// What chunk m leaves to m + 1, from a state of 0, and its steps together.
template <class T> struct Leave {
  using A = Accumulator<T>;
  SelectiveScan a;

  GK_INLINE void operator()(int64_t i) const {
    const int64_t place = i / a.D, c = i % a.D;
    Chunk chunk = later_chunk(a, place);
    if (chunk.rows == 0) return;
    chunk = chunk_of(a, chunk.s, chunk.m - 1);
    const Rows<T> rows(a, chunk, c);
    A dt[kScanChunk], u[kScanChunk], sum = A(0);
    for (int64_t t = 0; t < rows.count; ++t) dt[t] = rows.step_size(t).value, u[t] = rows.at(a.u, t), sum += dt[t];
    for (int64_t k = 0; k < a.N; ++k) {
      const A rate = rows.rate(k);
      A h = A(0);
      for (int64_t t = 0; t < rows.count; ++t) h = exp_of(dt[t] * rate) * h + dt[t] * u[t] * rows.shared(a.B, t, k);
      static_cast<A*>(a.states)[(place * a.N + k) * a.padded + c] = h;
    }
    static_cast<A*>(a.total)[place * a.padded + c] = sum;
  }
};

// Along a sequence: the decay over a whole chunk is one exponential.
template <class A> struct Carry {
  SelectiveScan a;
  bool backwards;

  GK_INLINE void operator()(int64_t i) const {
    const int64_t s = i / (a.D * a.N), k = i / a.D % a.N, c = i % a.D, count = chunks_of(a, s);
    const A rate = static_cast<const A*>(a.A)[c * a.N + k];
    A* values = static_cast<A*>(backwards ? a.behind : a.states);
    A x = A(0);
    for (int64_t n = 1; n < count; ++n) {
      const int64_t place = place_of(a, s, backwards ? count - n : n);
      A& value = values[(place * a.N + k) * a.padded + c];
      value = x = exp_of(static_cast<const A*>(a.total)[place * a.padded + c] * rate) * x + value;
    }
  }
};

template <class T> struct Forward {
  using A = Accumulator<T>;
  SelectiveScan a;

  GK_INLINE void operator()(int64_t i) const {
    const Chunk chunk = any_chunk(a, i / a.D);
    if (chunk.rows == 0) return;
    const Rows<T> rows(a, chunk, i % a.D);
    const A skip = rows.parameter(a.skip);
    A dt[kScanChunk], u[kScanChunk], y[kScanChunk];
    for (int64_t t = 0; t < rows.count; ++t) dt[t] = rows.step_size(t).value, u[t] = rows.at(a.u, t), y[t] = skip * u[t];
    for (int64_t k = 0; k < a.N; ++k) {
      const A rate = rows.rate(k);
      A h = chunk.m ? rows.kept(a.states, chunk.m, k) : A(0);
      for (int64_t t = 0; t < rows.count; ++t) {
        h = exp_of(dt[t] * rate) * h + dt[t] * u[t] * rows.shared(a.B, t, k);
        y[t] += h * rows.shared(a.C, t, k);
      }
    }
    for (int64_t t = 0; t < rows.count; ++t) rows.put(a.y, t, a.z ? y[t] * silu_of(rows.at(a.z, t)).value : y[t]);
  }
};

// What chunk m leaves of the gradient of the state at its start, with nothing behind it.
template <class T> struct LeaveBehind {
  using A = Accumulator<T>;
  SelectiveScan a;

  GK_INLINE void operator()(int64_t i) const {
    const int64_t place = i / a.D, c = i % a.D;
    const Chunk chunk = later_chunk(a, place);
    if (chunk.rows == 0) return;
    const Rows<T> rows(a, chunk, c);
    A dt[kScanChunk], g[kScanChunk], sum = A(0);
    for (int64_t t = 0; t < rows.count; ++t) {
      dt[t] = rows.step_size(t).value, sum += dt[t], g[t] = rows.at(a.grad, t);
      if (a.z) g[t] *= silu_of(rows.at(a.z, t)).value;
    }
    for (int64_t k = 0; k < a.N; ++k) {
      const A rate = rows.rate(k);
      A behind = A(0);
      for (int64_t t = rows.count - 1; t >= 0; --t) behind = exp_of(dt[t] * rate) * (g[t] * rows.shared(a.C, t, k) + behind);
      static_cast<A*>(a.behind)[(place * a.N + k) * a.padded + c] = behind;
    }
    static_cast<A*>(a.total)[place * a.padded + c] = sum;
  }
};

// Task: (tile of chunks, 32 channels), a lane a channel. A lane without a channel adds zeros.
template <class T> struct Backward {
  using A = Accumulator<T>;
  SelectiveScan a;

  GK_INLINE void operator()(int64_t i, int lane) const {
    const int64_t tile = i / a.groups, group = i % a.groups, c = group * kScanLanes + lane;
    const int64_t end = (tile + 1) * a.tile < a.chunks ? (tile + 1) * a.tile : a.chunks;
    for (int64_t place = tile * a.tile; place < end; ++place) {
      const Chunk chunk = any_chunk(a, place);
      if (chunk.rows) one(chunk, tile, group, c, lane);
    }
  }

  GK_INLINE void one(const Chunk& chunk, int64_t tile, int64_t group, int64_t c, int lane) const {
    const bool real = c < a.D;
    const Rows<T> rows(a, chunk, real ? c : 0);
    A dt[kScanChunk], u[kScanChunk], y[kScanChunk], g[kScanChunk], through_step[kScanChunk], through_decay[kScanChunk];
    A h[kScanChunk + 1], factor[kScanChunk];
    const A skip = rows.parameter(a.skip);
    for (int64_t t = 0; t < rows.count; ++t) {
      dt[t] = rows.step_size(t).value, u[t] = rows.at(a.u, t), y[t] = skip * u[t], g[t] = rows.at(a.grad, t);
      if (a.z) g[t] *= silu_of(rows.at(a.z, t)).value;
      through_step[t] = through_decay[t] = A(0);
    }
    for (int64_t k = 0; k < a.N; ++k) {
      const A rate = rows.rate(k);
      h[0] = chunk.m ? rows.kept(a.states, chunk.m, k) : A(0);
      for (int64_t t = 0; t < rows.count; ++t) {
        factor[t] = exp_of(dt[t] * rate);
        h[t + 1] = factor[t] * h[t] + dt[t] * u[t] * rows.shared(a.B, t, k);
        y[t] += h[t + 1] * rows.shared(a.C, t, k);
      }
      A behind = chunk.m < chunk.last ? rows.kept(a.behind, chunk.m + 1, k) : A(0);
      A of_A = A(0);
      for (int64_t t = rows.count - 1; t >= 0; --t) {
        const A B = rows.shared(a.B, t, k), G = g[t] * rows.shared(a.C, t, k) + behind, weighed = G * factor[t] * h[t];
        through_step[t] += G * B, through_decay[t] += weighed * rate, of_A += weighed * dt[t];
        behind = factor[t] * G;
        const int64_t to = (group * a.R + rows.row(t)) * a.N + k;
        lanes_together(real ? G * dt[t] * u[t] : A(0), lane, static_cast<A*>(a.dB_parts) + to);
        lanes_together(real ? g[t] * h[t + 1] : A(0), lane, static_cast<A*>(a.dC_parts) + to);
      }
      if (real) static_cast<A*>(a.dA_parts)[(tile * a.D + c) * a.N + k] += of_A;
    }
    if (!real) return;
    A of_skip = A(0), of_bias = A(0);
    for (int64_t t = 0; t < rows.count; ++t) {
      const A raw = (u[t] * through_step[t] + through_decay[t]) * rows.step_size(t).slope;
      rows.put(a.du, t, dt[t] * through_step[t] + skip * g[t]);
      rows.put(a.ddelta, t, raw);
      if (a.z) rows.put(a.dz, t, rows.at(a.grad, t) * y[t] * silu_of(rows.at(a.z, t)).slope);
      of_skip += g[t] * u[t], of_bias += raw;
    }
    static_cast<A*>(a.dskip_parts)[tile * a.D + c] += of_skip;
    static_cast<A*>(a.dbias_parts)[tile * a.D + c] += of_bias;
  }
};

// parts [count, size] added up in their order
template <class A> struct AddUp {
  const void* parts;
  void* to;
  int64_t count, size;

  GK_INLINE void operator()(int64_t i) const {
    A sum = A(0);
    for (int64_t part = 0; part < count; ++part) sum += static_cast<const A*>(parts)[part * size + i];
    static_cast<A*>(to)[i] = sum;
  }
};

template <class T> const char* forward_as(const SelectiveScan& a, cudaStream_t stream) {
  const int64_t later = a.R / kScanChunk * a.D;
  const char* error = launch(Leave<T>{a}, later, stream);
  if (!error && later) error = launch(Carry<Accumulator<T>>{a, false}, a.S * a.N * a.D, stream);
  return error ? error : launch(Forward<T>{a}, a.chunks * a.D, stream);
}

template <class T> const char* backward_as(const SelectiveScan& a, cudaStream_t stream) {
  using A = Accumulator<T>;
  const int64_t later = a.R / kScanChunk * a.D;
  const char* error = launch(LeaveBehind<T>{a}, later, stream);
  if (!error && later) error = launch(Carry<A>{a, true}, a.S * a.N * a.D, stream);
  if (!error) error = launch_lanes(Backward<T>{a}, a.tiles * a.groups, stream);
  const AddUp<A> sums[] = {{a.dB_parts, a.dB, a.groups, a.R * a.N}, {a.dC_parts, a.dC, a.groups, a.R * a.N}, {a.dA_parts, a.dA, a.tiles, a.D * a.N},
                           {a.dskip_parts, a.dskip, a.tiles, a.D}, {a.dbias_parts, a.dbias, a.tiles, a.D}};
  for (const AddUp<A>& sum : sums)
    if (!error) error = launch(sum, sum.size, stream);
  return error;
}

}  // namespace

const char* scan_forward(const SelectiveScan& a, cudaStream_t stream) {
  if (a.S == 0) return nullptr;
  return a.real == ScanReal::kFloat ? forward_as<float>(a, stream)
         : a.real == ScanReal::kDouble ? forward_as<double>(a, stream) : forward_as<Bfloat16>(a, stream);
}

const char* scan_backward(const SelectiveScan& a, cudaStream_t stream) {
  if (a.S == 0) return nullptr;
  return a.real == ScanReal::kFloat ? backward_as<float>(a, stream)
         : a.real == ScanReal::kDouble ? backward_as<double>(a, stream) : backward_as<Bfloat16>(a, stream);
}

}  // namespace graphkit::cuda
