// Matrix products of the scalar path.
#include "linear_kernel.h"
#include "simd_scalar.h"

namespace pl {
const LinearPath* linear_scalar() { return make_path<Scalar>(); }
}  // namespace pl
