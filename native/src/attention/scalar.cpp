// Attention for any CPU.
#define PL_SCALAR
#include "kernel.h"

namespace pl {
namespace attention {

const Ops& scalar_ops() { return kOps; }

}  // namespace attention
}  // namespace pl
