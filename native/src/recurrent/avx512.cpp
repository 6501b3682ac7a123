// Recurrent layers with AVX-512.
#include "kernel.h"

namespace pl {
namespace recurrent {

const Ops& avx512_ops() { return kOps; }

}  // namespace recurrent
}  // namespace pl
