// Matrix products of the neon path.
#include "linear_kernel.h"
#include "simd_neon.h"

namespace pl {
const LinearPath* linear_neon() { return make_path<Neon>(); }
}  // namespace pl
