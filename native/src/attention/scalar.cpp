// Attention for any CPU.
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../../include/paceline.h"
#include "attention.h"

namespace pl {
namespace {
#include "vec_scalar.h"
#include "kernel.h"
}  // namespace
const attention::Ops& attention::scalar_ops() { return kOps; }
}  // namespace pl
