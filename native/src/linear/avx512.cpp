// Matrix products of the avx512 path.
#include "kernel.h"
#include "../vec/avx512.h"

namespace pl {
const LinearPath* linear_avx512() { return make_path<Avx512>(); }
}  // namespace pl
