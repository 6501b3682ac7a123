// Attention with AVX-512.
#include "kernel.h"

namespace pl {
namespace attention {

const Ops& avx512_ops() { return kOps; }

}  // namespace attention
}  // namespace pl
