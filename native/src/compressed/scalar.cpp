// Compressed attention for any CPU.
#define PL_SCALAR
#include "kernel.h"

namespace pl {
namespace compressed {

const Ops& scalar_ops() { return kOps; }

}  // namespace compressed
}  // namespace pl
