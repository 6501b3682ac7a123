// Matrix products of the avx2 path.
#include "kernel.h"
#include "../vec/avx2.h"

namespace pl {
const LinearPath* linear_avx2() { return make_path<Avx2>(); }
}  // namespace pl
