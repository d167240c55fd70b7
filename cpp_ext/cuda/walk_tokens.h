// Launch functions of the tokens of random walks on a CUDA device: raw device pointers and sizes, nothing of torch. walk_tokens_plan.h puts
// them together.
#pragma once

#include "walks.h"

namespace graphkit::cuda {

// Token t belongs to start t / (longest repeats). Its walks, `walks` of them, have the length and repeat of its slot: from the longest
// walks
// to the shortest, from the last repeat to the first.
struct Tokens {
  WalkDraws draws;
  const int64_t* start;  // [starts]
  int64_t starts, longest, walks, repeats;
};

// Tables of the tokens first .. first + count - 1, `cells` for each: which nodes the token holds, and where it met them first.
struct TokenTables {
  int64_t first, count, cells;
  uint64_t* table;  // [count, cells]
};

// All of these return at once, with the work queued on the stream; the result is null, or what CUDA has to say against it.

const char* fill_tables(const Tokens&, const TokenTables&, cudaStream_t);  // the tables are zero before
// size [tokens, walks]: how many nodes of the token each walk is the first to meet; and the nodes, to the places in `at`.
const char* count_met(const Tokens&, const TokenTables&, int64_t* size, cudaStream_t);
const char* list_met(const Tokens&, const TokenTables&, const int64_t* at, int64_t* nodes, cudaStream_t);
const char* token_pointers(const Tokens&, int64_t tokens, const int64_t* at, int64_t* ptr, cudaStream_t);  // ptr [tokens + 1]
// out [tokens, walks, longest + 1], -1 past the end of a walk
const char* keep_walks(const Tokens&, int64_t tokens, int64_t* out, cudaStream_t);

}  // namespace graphkit::cuda
