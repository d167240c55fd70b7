// Intersections of rows and sums over them in baseline instructions.
#include "common_neighbors.h"
#include "neighbor_pool.h"

#define GK_VECTOR_BYTES 16

namespace graphkit::baseline {
#include "vector.inc"
#include "neighbor_pool.inc"
#include "common_neighbors.inc"
}  // namespace graphkit::baseline
