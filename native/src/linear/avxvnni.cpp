// Matrix products of the avxvnni path.
#include "kernel.h"
#include "../vec/avx2.h"

namespace pl {
const LinearPath* linear_avxvnni() { return make_path<Avx2>(); }
}  // namespace pl
