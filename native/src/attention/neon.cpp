// Attention with NEON.
#include "kernel.h"

namespace pl {
namespace attention {

const Ops& neon_ops() { return kOps; }

}  // namespace attention
}  // namespace pl
