// Large results in fresh memory: in large pages, and without clearing it twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace graphkit {

// Fresh memory is handed out page by page at the first write; with pages of 4 KiB that takes as long as a sweep over a sparse
// matrix, and reads in no order miss the table of pages. A wish: where the system does not know it, nothing happens.
inline void ask_for_large_pages(void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = uintptr_t(1) << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1), end = (reinterpret_cast<uintptr_t>(data) + uintptr_t(bytes)) & ~(kPage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

// Whether large memory of the allocator reads as zeros now. Pages that nobody has written to are cleared by the system at the
// first touch, and a sweep that clears them again takes as long as that; so where few of them are there, these are given back.
// Where most are (an allocator that keeps memory), a sweep is faster than new pages, and nothing happens.
inline bool cleared_by_system(void* data, int64_t bytes) {
  if (bytes < int64_t(1) << 25) return false;
#ifdef __linux__
  constexpr uintptr_t kPage = uintptr_t(1) << 16;  // a multiple of all small pages
  auto* const first = static_cast<uint8_t*>(data);
  auto* const begin = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(first) + kPage - 1) & ~(kPage - 1));
  auto* const end = reinterpret_cast<uint8_t*>(reinterpret_cast<uintptr_t>(first + bytes) & ~(kPage - 1));
  std::vector<unsigned char> there((end - begin) / sysconf(_SC_PAGESIZE));
  if (mincore(begin, end - begin, there.data()) != 0) return false;
  if (std::count_if(there.begin(), there.end(), [](unsigned char page) { return page & 1; }) > int64_t(there.size() / 8)) return false;
  if (madvise(begin, end - begin, MADV_DONTNEED) != 0) return false;
  std::memset(first, 0, begin - first), std::memset(end, 0, first + bytes - end);
  return true;
#else
  return (void)data, false;
#endif
}

}  // namespace graphkit
