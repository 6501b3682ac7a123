// Compressed attention with AVX2 and FMA.
#include "kernel.h"

namespace pl {
namespace compressed {

const Ops& avx2_ops() { return kOps; }

}  // namespace compressed
}  // namespace pl
