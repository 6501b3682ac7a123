// Matrix products of the neon path.
#include "kernel.h"
#include "../vec/neon.h"

namespace pl {
const LinearPath* linear_neon() { return make_path<Neon>(); }
}  // namespace pl
