// Compressed attention with NEON.
#include "kernel.h"

namespace pl {
namespace compressed {

const Ops& neon_ops() { return kOps; }

}  // namespace compressed
}  // namespace pl
