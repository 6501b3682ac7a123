// Matrix products of the scalar path.
#include "kernel.h"
#include "../vec/scalar.h"

namespace pl {
const LinearPath* linear_scalar() { return make_path<Scalar>(); }
}  // namespace pl
