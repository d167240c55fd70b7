// Stores that go past the caches: a result larger than these would first be read into them, and push out what is read next.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace graphkit {

constexpr int64_t kStreamedBytes = int64_t(1) << 23;

// Whether rows at `to` are lines of 64 bytes, so many that their reader will not find them in a cache anyway.
inline bool streams_well(const void* to, int64_t row_bytes, int64_t rows) {
#if defined(__SSE2__)
  return row_bytes > 0 && row_bytes % 64 == 0 && reinterpret_cast<uintptr_t>(to) % 64 == 0 && rows >= kStreamedBytes / row_bytes;
#else
  (void)to, (void)row_bytes, (void)rows;
  return false;
#endif
}

// Whole lines; from null: zeros. Other threads see them after wait_for_streams() alone.
inline void stream_lines(void* to, const void* from, int64_t bytes) {
#if defined(__SSE2__)
  auto* line = static_cast<__m128i*>(to);
  const auto* source = static_cast<const __m128i*>(from);
  for (int64_t k = 0; k < bytes / 16; ++k) _mm_stream_si128(line + k, source ? _mm_loadu_si128(source + k) : _mm_setzero_si128());
#else
  if (from) std::memcpy(to, from, bytes);
  else std::memset(to, 0, bytes);
#endif
}

inline void wait_for_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace graphkit
