// Rows of features added up over lists of nodes, and the same the other way round; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

enum class Real : int { kFloat32, kFloat64, kBfloat16 };  // bfloat16 is accumulated in float32
enum class Factor : int { kNone, kByPlace, kByNode };     // what a row of features is multiplied with

// Some nodes, in int32_t or int64_t, and their factors in accumulators.
template <class I> struct NodeList {
  const I* node;
  int64_t size;
  Factor kind;
  const void* factor;  // [size] or [N]
  int64_t more = 0;    // nodes behind the list whose rows will be read next
};

struct Features {
  Real dtype;
  int64_t F;
  const void* x;  // [N, F]
};

// Rows of an undirected graph times features: out[v] = out_scale[v] * (sum over entries (v, u) of w * in_scale[u] * x[u] + loop * in_scale[v] * x[v]).
struct MaskedSpmm {
  Features x;
  const int64_t* ptr;
  const int32_t* col;
  const uint8_t* gone;      // [2M] or null
  const void* in_scale;     // [N] accumulators or null
  const void* out_scale;    // [N] accumulators or null
  const void* edge_weight;  // [2M] accumulators or null
  double loop;
  void* out;                // [N, F]
};

// Inner products of the ends of the entries.
struct MaskedSddmm {
  Features left, right;
  const int64_t* ptr;
  const int32_t* col;
  const uint8_t* gone;
  const void *left_scale, *right_scale;
  void* out;  // [2M] accumulators
};

struct MaskedMax {
  Real dtype;
  int64_t F;
  const int64_t* ptr;
  const int32_t* col;
  const uint8_t* gone;
  bool loop;
  const void* x;  // [N, F]; backward: the gradient
  int32_t* arg;   // [N, F]
  void* out;
};

constexpr int64_t kRun = 256;  // kept neighbours that are collected before their features are added

struct NeighborPoolKernels {
  // sum[c] += factor * x[node][c], terms in the order of the list; sum is [F] accumulators.
  void (*gather)(const Features&, const NodeList<int32_t>&, void* sum);
  void (*gather_wide)(const Features&, const NodeList<int64_t>&, void* sum);
  // sums[r][c] += factor[k] * x[k][c] for the places k in list r; lists lie one after the other, factor null: 1.
  void (*gather_tiles)(const Features&, int64_t rows, const uint8_t* place, const int32_t* sizes, const void* factor, void* sums);
  // to[c] = sum[c] * scale, rounded to the dtype of x; scale null: 1.
  void (*finish)(const Features&, const void* sum, const void* scale, void* to);
  // table[node][c] += factor * row[c] for channels [begin, end) and nodes [low, high); all accumulators (dtype float32 or float64).
  void (*spread)(Real dtype, int64_t F, const NodeList<int32_t>&, const void* row, int64_t begin, int64_t end, void* table);
  void (*spread_wide)(Real dtype, int64_t F, const NodeList<int64_t>&, const void* row, int64_t begin, int64_t end, int64_t low, int64_t high, void* table);
  // to[k] = <x[node_k], row>
  void (*dots)(const Features&, const NodeList<int64_t>&, const void* row, void* to);
  void (*spmm)(const MaskedSpmm&, int64_t row_begin, int64_t row_end, void* sum);  // sum: [F] accumulators of scratch
  void (*sddmm)(const MaskedSddmm&, int64_t row_begin, int64_t row_end);
  void (*maximum)(const MaskedMax&, int64_t row_begin, int64_t row_end);
  void (*maximum_gradient)(const MaskedMax&, int64_t row_begin, int64_t row_end);
};

namespace baseline { extern const NeighborPoolKernels neighbor_pool_kernels; }
namespace avx2 { extern const NeighborPoolKernels neighbor_pool_kernels; }
namespace avx512 { extern const NeighborPoolKernels neighbor_pool_kernels; }

}  // namespace graphkit
