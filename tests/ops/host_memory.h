// Memory for the plans of cpp_ext/cuda when their kernels run on a CPU, and the way of their results to Python.
#pragma once

#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

class HostMemory {
 public:
  template <class T> struct Array {
    std::shared_ptr<T[]> memory;
    int64_t size = 0;
    T* data() const { return memory.get(); }
  };

  template <class T> Array<T> empty(int64_t size) {
    Array<T> made{std::shared_ptr<T[]>(new T[size]), size};
    std::memset(made.data(), 0x5a, size * sizeof(T));  // what is read before it is written shows in the result
    return made;
  }
  template <class T> Array<T> zeros(int64_t size) { return {std::shared_ptr<T[]>(new T[size]()), size}; }
  Array<int64_t> sums(const int64_t* size, int64_t count) {
    Array<int64_t> made = empty<int64_t>(count + 1);
    made.data()[0] = 0;
    std::partial_sum(size, size + count, made.data() + 1);
    return made;
  }
  int64_t read(const int64_t* from) { return *from; }
  void check(const char* error) {
    if (error) throw std::runtime_error(error);
  }

  const cudaStream_t stream = nullptr;
};

// Arrays wait here until Python, which cannot know their sizes before, has room for them.
static std::vector<std::vector<char>> results;

template <class T> void give(const HostMemory::Array<T>& array) {
  const char* bytes = reinterpret_cast<const char*>(array.data());
  results.emplace_back(bytes, bytes + array.size * sizeof(T));
}

extern "C" int64_t result_bytes(int64_t i) { return int64_t(results[i].size()); }
extern "C" void take_result(int64_t i, void* to) { std::memcpy(to, results[i].data(), results[i].size()); }
