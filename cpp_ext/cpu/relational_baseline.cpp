// The relational kernels in baseline instructions.
#include "relational.h"

#define GK_VECTOR_BYTES 16
#define GK_ISA_NAME "baseline"

namespace graphkit::baseline {
#include "relational.inc"
}  // namespace graphkit::baseline
