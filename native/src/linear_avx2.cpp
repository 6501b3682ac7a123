// Matrix products of the avx2 path.
#include "linear_kernel.h"
#include "simd_avx2.h"

namespace pl {
const LinearPath* linear_avx2() { return make_path<Avx2>(); }
}  // namespace pl
