// Faults on purpose, compiled and loaded as the kernels are: a sanitizer that says nothing of these would say nothing of others.
#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <vector>

namespace {

// The tasks of a loop as the kernels have them; each is slow enough that two threads are at work at once.
template <class F> void tasks(int64_t count, const F& f) {
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) f(task);
  });
}

volatile int64_t sink;

}  // namespace

extern "C" {

// One result for all tasks.
void race() {
  int64_t sum = 0;
  tasks(64, [&](int64_t task) {
    for (int64_t k = 0; k < 2000; ++k) sum += task;
  });
  sink = sum;
}

// One result for each task, made before the loop, read after it: no fault.
void sound() {
  for (int round = 0; round < 20; ++round) {
    std::vector<int64_t> sums(64, round);
    tasks(64, [&](int64_t task) { sums[task] += task; });
    int64_t sum = 0;
    for (int64_t one : sums) sum += one;
    sink = sum;
  }
}

// One element behind the end.
void overflow() {
  std::vector<int64_t> values(5);
  const volatile int64_t end = 5;
  sink = values.data()[end];
}

// Memory that was given back.
void freed() {
  auto* values = new int64_t[5];
  int64_t* volatile kept = values;
  delete[] values;
  sink = kept[2];
}

// A number by more bits than it has.
void shift() {
  const volatile int32_t bits = 40;
  sink = int32_t(1) << bits;
}
}
