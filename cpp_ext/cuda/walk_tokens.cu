// Tokens of random walks on a CUDA device, one thread a walk. Walks are drawn again whenever they are needed, which costs less than to keep
// them: to put the nodes into the table of their token, to count those that no earlier walk of the token meets, and to list these.
//
// Compiled as plain C++ this file runs on a CPU, one thread after the other.
#include "walk_tokens.h"

#include "node_table.cuh"
#include "walk_steps.cuh"

namespace graphkit::cuda {
namespace {

// f(length, step, node) for each step of walk `walk` of token t.
template <class F> GK_INLINE void each_step_of(const Tokens& of, int64_t t, int64_t walk, const F& f) {
  const int64_t slots = of.longest * of.repeats, length = of.longest - t % slots / of.repeats, repeat = of.repeats - 1 - t % of.repeats;
  each_step(of.draws, of.start[t / slots], length, repeat, walk, [&](int64_t step, int64_t node) { f(length, step, node); });
}

// f(node, number) for each node that the walk meets; numbers rise in the order in which a token lists its nodes, and differ.
template <class F> GK_INLINE void each_visit(const Tokens& of, int64_t t, int64_t walk, const F& f) {
  each_step_of(of, t, walk, [&](int64_t length, int64_t step, int64_t node) {
    if (step > 0 || walk == 0) f(node, uint32_t(walk * length + step));
  });
}

GK_INLINE NodeTable table_of(const TokenTables& tables, int64_t token) { return {tables.table + token * tables.cells, tables.cells}; }

struct FillTables {
  Tokens of;
  TokenTables to;
  GK_INLINE void operator()(int64_t i) const {
    const NodeTable table = table_of(to, i / of.walks);
    each_visit(of, to.first + i / of.walks, i % of.walks, [&](int64_t node, uint32_t number) { table.put(node, number); });
  }
};

template <bool List> struct Met {
  Tokens of;
  TokenTables tables;
  int64_t* size;
  const int64_t* at;
  int64_t* nodes;
  GK_INLINE void operator()(int64_t i) const {
    const NodeTable table = table_of(tables, i / of.walks);
    const int64_t place = tables.first * of.walks + i;
    int64_t met = 0;
    each_visit(of, tables.first + i / of.walks, i % of.walks, [&](int64_t node, uint32_t number) {
      if (table.find(node) != number) return;
      if constexpr (List) nodes[at[place] + met] = node;
      ++met;
    });
    if constexpr (!List) size[place] = met;
  }
};

struct TokenPointers {
  int64_t walks;
  const int64_t* at;
  int64_t* ptr;
  GK_INLINE void operator()(int64_t t) const { ptr[t] = at[t * walks]; }
};

struct KeepWalks {
  Tokens of;
  int64_t* out;
  GK_INLINE void operator()(int64_t i) const {
    int64_t* to = out + i * (of.longest + 1);
    for (int64_t step = 0; step <= of.longest; ++step) to[step] = -1;
    each_step_of(of, i / of.walks, i % of.walks, [&](int64_t, int64_t step, int64_t node) { to[step] = node; });
  }
};

}  // namespace

const char* fill_tables(const Tokens& of, const TokenTables& to, cudaStream_t stream) {
  return launch(FillTables{of, to}, to.count * of.walks, stream);
}
const char* count_met(const Tokens& of, const TokenTables& tables, int64_t* size, cudaStream_t stream) {
  return launch(Met<false>{of, tables, size, nullptr, nullptr}, tables.count * of.walks, stream);
}
const char* list_met(const Tokens& of, const TokenTables& tables, const int64_t* at, int64_t* nodes, cudaStream_t stream) {
  return launch(Met<true>{of, tables, nullptr, at, nodes}, tables.count * of.walks, stream);
}
const char* token_pointers(const Tokens& of, int64_t tokens, const int64_t* at, int64_t* ptr, cudaStream_t stream) {
  return launch(TokenPointers{of.walks, at, ptr}, tokens + 1, stream);
}
const char* keep_walks(const Tokens& of, int64_t tokens, int64_t* out, cudaStream_t stream) {
  return launch(KeepWalks{of, out}, tokens * of.walks, stream);
}

}  // namespace graphkit::cuda
