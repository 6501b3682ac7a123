// Attention with AVX-512.
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

// GCC 12 warns about the deliberately undefined operands inside its own intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "../../include/paceline.h"
#include "attention.h"

namespace pl {
namespace {
#include "vec_avx512.h"
#include "kernel.h"
}  // namespace
const attention::Ops& attention::avx512_ops() { return kOps; }
}  // namespace pl
