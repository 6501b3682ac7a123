// Compressed attention with AVX-512.
#include "kernel.h"

namespace pl {
namespace compressed {

const Ops& avx512_ops() { return kOps; }

}  // namespace compressed
}  // namespace pl
