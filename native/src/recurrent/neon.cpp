// Recurrent layers with NEON.
#include "kernel.h"

namespace pl {
namespace recurrent {

const Ops& neon_ops() { return kOps; }

}  // namespace recurrent
}  // namespace pl
