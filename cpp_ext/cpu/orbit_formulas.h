// What one edge holds of every orbit adjacency of hop 1, from sums over its neighbourhood. The same for all devices.
#pragma once

#include <cstdint>

#include "orbits.h"

#ifdef __CUDACC__
#define GK_ANYWHERE __host__ __device__
#else
#define GK_ANYWHERE
#endif

namespace graphkit {

enum OrbitNeed : int64_t { kNeedCliques = 1, kNeedSupport = 2, kNeedCycles = 4, kNeedLists = 8 };
enum EdgeBase : int { bK, bS, bR, bD, bQ, kBases };  // R is S read from the other end

// Of an edge (u, v); of a pair of values the second belongs to v.
struct EdgeSums {
  int64_t T, K, S, St, D, Q;  // triangles, 4-cliques, triangles beside it, degrees beside it, 4-cycles
  int64_t degree[2], t[2], R[2];  // of its ends: neighbours, triangles, open ends around them
};

GK_ANYWHERE inline void edge_orbits(const EdgeSums& s, int64_t* to) {
  const int64_t T = s.T, K = s.K, X = s.degree[1] - 1 - T, Xt = s.degree[0] - 1 - T;
  const int64_t E = s.S - T - 2 * K, Et = s.St - T - 2 * K, B = s.Q - E - Et - 2 * K, F = s.t[1] - T - K - E, Ft = s.t[0] - T - K - Et;
  to[k0_0] = 1, to[k1_2] = X, to[k2_1] = Xt, to[k3_3] = T;
  to[k4_5] = s.R[1] - Xt - (s.D - T - s.S) - B, to[k5_4] = s.R[0] - X - (s.D - T - s.St) - B, to[k5_5] = X * Xt - B;
  to[k6_7] = X * (X - 1) / 2 - F, to[k7_6] = Xt * (Xt - 1) / 2 - Ft, to[k8_8] = B, to[k9_11] = F, to[k11_9] = Ft;
  to[k10_10] = s.D - s.S - s.St + 2 * K, to[k10_11] = T * X - E, to[k11_10] = T * Xt - Et, to[k12_13] = E, to[k13_12] = Et;
  to[k13_13] = T * (T - 1) / 2 - K, to[k14_14] = K;
}

// The twelve orbits of an undirected edge, from the values of both directions.
GK_ANYWHERE inline void undirected_orbits(const int64_t* v, int64_t* to) {
  to[0] = v[k1_2] + v[k2_1], to[1] = v[k3_3], to[2] = v[k4_5] + v[k5_4], to[3] = v[k5_5], to[4] = v[k6_7] + v[k7_6], to[5] = v[k8_8];
  to[6] = v[k9_11] + v[k11_9], to[7] = v[k10_10], to[8] = v[k10_11] + v[k11_10], to[9] = v[k12_13] + v[k13_12], to[10] = v[k13_13];
  to[11] = v[k14_14];
}

}  // namespace graphkit
