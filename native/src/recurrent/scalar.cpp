// Recurrent layers for any CPU.
#define PL_SCALAR
#include "kernel.h"

namespace pl {
namespace recurrent {

const Ops& scalar_ops() { return kOps; }

}  // namespace recurrent
}  // namespace pl
