// Arguments of the relational aggregation kernels: raw pointers and sizes, nothing of torch.
#pragma once

#include <cstdint>

#include "pieces.h"

namespace graphkit {

enum Message : int { kMul = 0, kAdd = 1, kRotate = 2, kMin = 3 };
enum Reduce : int { kSum = 0, kMean = 1, kMaximum = 2, kMinimum = 3, kPna = 4, kPnaValues = 5 };  // the last: inside the forward, PNA without positions
enum Dtype : int { kFloat32 = 0, kFloat64 = 1, kBfloat16 = 2 };
enum Boundary : int { kNone = 0, kDense = 1, kSparse = 2 };

constexpr double kVarianceFloor = 1e-6;

// Letters as everywhere: B queries, N nodes, E edges, R relations, D channels. "Accumulator" is float64 for float64, else float32.
// Edges lie sorted by target (and within a target by source); an edge is named by its position in that order.
struct Relational {
  int64_t B, N, E, R, D;
  int dtype, message, reduce;
  const int64_t* ptr;     // [N + 1] first edge of each target
  const int32_t* source;  // [E]
  const int32_t* type;    // [E]
  const void* weight;     // [E] accumulator type, or null
  const uint8_t* keep;    // [E] 0 = the edge does not exist in this call, or null
  const void* x;          // [B, N, D]
  const void* relation;   // [B, R, D], or [R, D] when relation_stride is 0
  int64_t relation_stride;
  int boundary_kind;
  const void* boundary;            // [B, N, D] or [B, D]
  const int64_t* boundary_source;  // [B] for a sparse boundary
};

struct Forward : Relational {
  double empty;
  void* out;        // [B, N, D]; PNA: [B, N, 4, D]
  int32_t* arg;     // max, min: [B, N, D]; PNA: [B, N, 2, D]; null when no gradient will be asked for
  Pieces pieces;    // of the rows by target
  void* carry;      // [B, pieces, 2, carry_fields, D] accumulators of rows that cross a border
  int32_t* carry_arg;    // [B, pieces, 2, 2, D]
  int64_t* carry_count;  // [B, pieces, 2]
};

struct Backward : Relational {
  const void* out;       // PNA: the forward's result
  const int32_t* arg;
  const void* grad_out;
  const void* scale;     // mean: [N] accumulator, 1 / number of messages; PNA: the same
  // the edges again, sorted by source
  const int64_t* t_ptr;
  const int32_t* t_target;
  const int32_t* t_position;
  const int32_t* t_type;
  const void* t_weight;
  const uint8_t* t_keep;
  Pieces t_pieces, pieces;
  int64_t groups;        // tables of relation gradients; tasks are dealt to them in contiguous runs
  void* tables;          // [groups, R, D] accumulators, zeroed; null when not needed
  void* grad_x;          // [B, N, D], null when not needed
  void* carry;           // [B, t_pieces, 2, D]
  void* grad_weight;     // [E] accumulators, zeroed; null when not needed
  void* grad_boundary;   // as boundary; null when not needed
  void* coefficients;    // PNA: [batch_count, N, 6, D] accumulators, for the queries of one call
  int64_t batch_begin, batch_count;
};

constexpr int64_t carry_fields(int reduce) { return reduce == kPna ? 5 : 1; }

// One table of entry points per instruction set; chosen once when the library is loaded.
struct RelationalKernels {
  void (*forward)(const Forward&, int64_t batch, int64_t piece);
  void (*forward_join)(const Forward&, int64_t batch);
  void (*coefficients)(const Backward&, int64_t batch, int64_t row_begin, int64_t row_end);
  void (*boundary_gradient)(const Backward&, int64_t batch, int64_t row_begin, int64_t row_end);
  void (*backward)(const Backward&, int64_t batch, int64_t piece, int64_t group);
  void (*backward_join)(const Backward&, int64_t batch);
  void (*weight_gradient)(const Backward&, int64_t piece);
};

namespace baseline { extern const RelationalKernels relational_kernels; }
namespace avx2 { extern const RelationalKernels relational_kernels; }
namespace avx512 { extern const RelationalKernels relational_kernels; }

}  // namespace graphkit
