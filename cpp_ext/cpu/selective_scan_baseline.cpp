// The selective scan in baseline instructions.
#include "selective_scan.h"

#define GK_VECTOR_BYTES 16

namespace graphkit::baseline {
#include "vector.inc"
#include "selective_scan.inc"
#include "causal_conv.inc"
}  // namespace graphkit::baseline
