// Arguments of the kernels behind orbit adjacencies; raw pointers, nothing of torch.
#pragma once

#include <cstdint>

namespace graphkit {

// Keys of one edge, in the order of the public table; each is (i, j) at hop 1.
enum EdgeKey : int {
  k0_0, k1_2, k2_1, k3_3, k4_5, k5_4, k5_5, k6_7, k7_6, k8_8, k9_11, k11_9, k10_10, k10_11, k11_10, k12_13, k13_12, k13_13, k14_14,
  kEdgeKeys
};
// Keys of a pair at distance 2.
enum PairKey : int { p1_1, p4_5, p5_4, p6_6, p8_8, p9_10, p10_9, p12_12, kPairKeys };

// Rows are worked on in blocks of 32, one lane each; a block of (4,4) multiplies all its rows with one pass over the edges.
constexpr int64_t kLanes = 32;

// A simple graph with its triangles. com lists, for every undirected edge, the common neighbours of its ends; opp lists,
// for every node, the edges among its neighbours: each is the transpose of the other.
struct OrbitGraph {
  int64_t N;
  const int64_t* ptr;      // [N + 1]
  const int32_t* col;      // [2M], sorted in each row
  const int32_t* T;        // [2M] triangles on the edge
  const int64_t* com_ptr;  // [M + 1]
  const int32_t* com;
  const int64_t* opp_ptr;  // [N + 1]
  const int32_t* opp;
};

// What a row needs to know of a node, in one cache line: its place among the nodes within two steps, and its degree.
struct OrbitNode { int32_t place, degree; };

// Values are written in int32_t or int64_t, V below.
struct OrbitRow {
  int64_t u;
  const int32_t* cols;     // sorted nodes at distance 2
  int64_t count;
  void* out[kPairKeys];    // each [count], null if not asked for
  void* tails;             // [count] values of (9,10), null if not asked for
  bool only_common;        // (1,1) is all that is wanted
  void* cells;             // [count + degree + 1, 4] zeros, or [N] zeros for only_common; zeros again afterwards
  void* diamonds;          // [count + degree + 1] zeros; zeros again afterwards
  OrbitNode* nodes;        // [N] with their degrees; not used for only_common
  uint16_t* lane;          // column of a [N, kLanes] table that receives the common neighbours, or null
  void* common;            // [count] common neighbours, or null
  int64_t largest;         // out: most common neighbours of one pair
};

template <class V> struct OrbitKernels {
  // The sorted nodes at distance 2 of u; marks are [N] and [N / 64 + 1] zeros, zeros again afterwards.
  int64_t (*support)(const OrbitGraph&, int64_t u, uint8_t* marks, uint8_t* groups, int32_t* to);
  void (*values)(const OrbitGraph&, OrbitRow&);
  // dense[lane][v] = sum over b in N(v) of table[b][lane], for kLanes rows at once; chunk: how many terms fit into 16 bits.
  void (*product)(const OrbitGraph&, const uint16_t* table, int64_t chunk, int32_t* dense);
  // The same for one row, from its sparse form.
  void (*scatter)(const OrbitGraph&, const int32_t* cols, const void* common, int64_t count, V* dense);
  int64_t (*count)(const V* dense, int64_t n);
  void (*compress)(const V* dense, int64_t n, int32_t* col, V* value);
  int64_t (*shared)(const uint64_t* a, const uint64_t* b, int64_t words);
};

namespace baseline { extern const OrbitKernels<int32_t> orbit_kernels_int32; extern const OrbitKernels<int64_t> orbit_kernels_int64; }
namespace avx2 { extern const OrbitKernels<int32_t> orbit_kernels_int32; extern const OrbitKernels<int64_t> orbit_kernels_int64; }
namespace avx512 { extern const OrbitKernels<int32_t> orbit_kernels_int32; extern const OrbitKernels<int64_t> orbit_kernels_int64; }

}  // namespace graphkit
