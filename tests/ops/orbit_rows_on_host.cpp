// The CUDA kernels of the rows of orbit adjacencies compiled as plain C++, one thread after the other, for test_orbits_cuda.py.
#include "orbit_rows.cu"

#include "host_memory.h"
#include "orbit_rows_plan.h"

using namespace graphkit::cuda;

namespace {

template <class V> void run(const graphkit::OrbitGraph& g, int64_t begin, int64_t end, int64_t keys, const RowLimits& limits) {
  HostMemory memory;
  const auto made = rows_of_orbits<V>(g, begin, end, keys, memory, limits);
  results.clear();
  give(made.ptr2), give(made.col2);
  for (const auto& value : made.values2) give(value);
  give(made.ptr3), give(made.col3), give(made.values3);
}

}  // namespace

extern "C" void rows(int64_t N, const int64_t* ptr, const int32_t* col, const int32_t* T, const int64_t* com_ptr, const int32_t* com,
                     const int64_t* opp_ptr,
                     const int32_t* opp, int64_t begin, int64_t end, int64_t keys, bool wide, int64_t words, int64_t table_bytes) {
  const graphkit::OrbitGraph g{N, ptr, col, T, com_ptr, com, opp_ptr, opp};
  if (wide) run<int64_t>(g, begin, end, keys, {words, table_bytes});
  else run<int32_t>(g, begin, end, keys, {words, table_bytes});
}
