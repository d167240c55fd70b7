// Tasks of unequal cost handed out one by one to torch's threads. Which thread runs a task changes nothing.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace graphkit {

// How many slots work at once; scratch memory is made per slot, before the work begins.
inline int64_t task_slots(int64_t tasks) {
  const int64_t threads = int64_t(torch::stable::get_num_threads());
  return tasks < threads ? (tasks > 0 ? tasks : 1) : threads;
}

// f(task, slot) for every task, taken in rising order. No two tasks run in one slot at a time.
template <class F> void run_tasks(int64_t tasks, int64_t slots, const F& f) {
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, slots, 1, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot)
      for (;;) {
        const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks) break;
        f(task, slot);
      }
  });
}

// Lets tasks pass one point in rising order: each learns what those before it have added up to. Tasks are taken in the
// same order, so the ones waited for are already running; the waiting thread sleeps.
class Turn {
 public:
  int64_t pass(int64_t task, int64_t amount) {
    std::unique_lock<std::mutex> lock(mutex_);
    passed_.wait(lock, [&] { return turn_ == task; });
    const int64_t before = total_;
    total_ += amount, ++turn_;
    passed_.notify_all();
    return before;
  }
  int64_t total() const { return total_; }

 private:
  std::mutex mutex_;
  std::condition_variable passed_;
  int64_t turn_ = 0, total_ = 0;
};

}  // namespace graphkit
