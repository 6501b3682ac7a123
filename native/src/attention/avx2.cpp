// Attention with AVX2 and FMA.
#include "kernel.h"

namespace pl {
namespace attention {

const Ops& avx2_ops() { return kOps; }

}  // namespace attention
}  // namespace pl
