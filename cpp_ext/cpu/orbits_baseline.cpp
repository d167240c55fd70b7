// Rows of orbit adjacencies in baseline instructions.
#include "orbits.h"

#define GK_VECTOR_BYTES 16

namespace graphkit::baseline {
#include "vector.inc"
#include "orbits.inc"
}  // namespace graphkit::baseline
