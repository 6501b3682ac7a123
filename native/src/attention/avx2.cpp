// Attention with AVX2 and FMA.
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <immintrin.h>

#include "../../include/paceline.h"
#include "attention.h"

namespace pl {
namespace {
#include "vec_avx2.h"
#include "kernel.h"
}  // namespace
const attention::Ops& attention::avx2_ops() { return kOps; }
}  // namespace pl
