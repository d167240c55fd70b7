// All kernels in baseline instructions.
#include "directed.h"
#include "dropout.h"
#include "hop_combine.h"
#include "pna_update.h"
#include "relational.h"

#define GK_VECTOR_BYTES 16

namespace graphkit::baseline {
#include "vector.inc"
#include "relational.inc"
#include "pna_update.inc"
#include "directed.inc"
#include "dropout.inc"
#include "hop_combine.inc"
}  // namespace graphkit::baseline
