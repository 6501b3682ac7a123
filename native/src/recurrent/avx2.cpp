// Recurrent layers with AVX2 and FMA.
#include "kernel.h"

namespace pl {
namespace recurrent {

const Ops& avx2_ops() { return kOps; }

}  // namespace recurrent
}  // namespace pl
