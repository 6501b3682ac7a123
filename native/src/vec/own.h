// The vectors of the path that a file is compiled for, by the instructions that its flags allow: `Own`. A file of
// the scalar path defines PL_SCALAR, since compilers for some machines allow more than the least of them have.
#pragma once

#if defined(PL_SCALAR)
#include "scalar.h"
#elif defined(__AVX512VNNI__)
#define PL_OWN_AVX512
#include "avx512.h"
#elif defined(__AVX2__)
#include "avx2.h"
#elif defined(__ARM_FEATURE_DOTPROD)
#include "neon.h"
#else
#include "scalar.h"
#endif

namespace pl {
namespace {

#if defined(PL_SCALAR)
using Own = Scalar;
#elif defined(PL_OWN_AVX512)
using Own = Avx512;
#elif defined(__AVX2__)
using Own = Avx2;
#elif defined(__ARM_FEATURE_DOTPROD)
using Own = Neon;
#else
using Own = Scalar;
#endif

}  // namespace
}  // namespace pl
