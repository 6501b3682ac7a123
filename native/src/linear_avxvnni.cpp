// Matrix products of the avxvnni path.
#include "linear_kernel.h"
#include "simd_avx2.h"

namespace pl {
const LinearPath* linear_avxvnni() { return make_path<Avx2>(); }
}  // namespace pl
