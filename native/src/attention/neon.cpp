// Attention with NEON.
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <arm_neon.h>

#include "../../include/paceline.h"
#include "attention.h"

namespace pl {
namespace {
#include "vec_neon.h"
#include "kernel.h"
}  // namespace
const attention::Ops& attention::neon_ops() { return kOps; }
}  // namespace pl
