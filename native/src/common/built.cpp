// The one file that knows with which paths the library is built: a PL_WITH_<PATH> for each.
#include "built.h"

namespace pl {

// The tables are filled by the first call for a path: no other thread may call meanwhile.
const LinearPath* built_linear(Path path) {
#define CASE(name)                                     \
  case Path::name: {                                   \
    static const LinearPath* const own = linear_##name(); \
    return own;                                        \
  }
  switch (path) {
#if defined(PL_WITH_AMX)
    CASE(amx)
#endif
#if defined(PL_WITH_AVX512VBMI)
    CASE(avx512vbmi)
#endif
#if defined(PL_WITH_AVX512)
    CASE(avx512)
#endif
#if defined(PL_WITH_AVXVNNI)
    CASE(avxvnni)
#endif
#if defined(PL_WITH_AVX2)
    CASE(avx2)
#endif
#if defined(PL_WITH_NEON)
    CASE(neon)
#endif
#if defined(PL_WITH_SCALAR)
    CASE(scalar)
#endif
    default:
      return nullptr;
  }
#undef CASE
}

const attention::Ops* built_attention(Path path) {
  switch (path) {
#if defined(PL_WITH_AMX)
    case Path::amx:
      return &attention::amx_ops();
#endif
#if defined(PL_WITH_AVX512VBMI)
    case Path::avx512vbmi:
      return &attention::avx512_ops();
#endif
#if defined(PL_WITH_AVX512)
    case Path::avx512:
      return &attention::avx512_ops();
#endif
#if defined(PL_WITH_AVXVNNI)
    case Path::avxvnni:
      return &attention::avx2_ops();
#endif
#if defined(PL_WITH_AVX2)
    case Path::avx2:
      return &attention::avx2_ops();
#endif
#if defined(PL_WITH_NEON)
    case Path::neon:
      return &attention::neon_ops();
#endif
#if defined(PL_WITH_SCALAR)
    case Path::scalar:
      return &attention::scalar_ops();
#endif
    default:
      return nullptr;
  }
}

const recurrent::Ops* built_recurrent(Path path) {
  switch (path) {
#if defined(PL_WITH_AMX)
    case Path::amx:
      return &recurrent::avx512_ops();
#endif
#if defined(PL_WITH_AVX512VBMI)
    case Path::avx512vbmi:
      return &recurrent::avx512_ops();
#endif
#if defined(PL_WITH_AVX512)
    case Path::avx512:
      return &recurrent::avx512_ops();
#endif
#if defined(PL_WITH_AVXVNNI)
    case Path::avxvnni:
      return &recurrent::avx2_ops();
#endif
#if defined(PL_WITH_AVX2)
    case Path::avx2:
      return &recurrent::avx2_ops();
#endif
#if defined(PL_WITH_NEON)
    case Path::neon:
      return &recurrent::neon_ops();
#endif
#if defined(PL_WITH_SCALAR)
    case Path::scalar:
      return &recurrent::scalar_ops();
#endif
    default:
      return nullptr;
  }
}

const compressed::Ops* built_compressed(Path path) {
  switch (path) {
#if defined(PL_WITH_AMX)
    case Path::amx:
      return &compressed::avx512_ops();
#endif
#if defined(PL_WITH_AVX512VBMI)
    case Path::avx512vbmi:
      return &compressed::avx512_ops();
#endif
#if defined(PL_WITH_AVX512)
    case Path::avx512:
      return &compressed::avx512_ops();
#endif
#if defined(PL_WITH_AVXVNNI)
    case Path::avxvnni:
      return &compressed::avx2_ops();
#endif
#if defined(PL_WITH_AVX2)
    case Path::avx2:
      return &compressed::avx2_ops();
#endif
#if defined(PL_WITH_NEON)
    case Path::neon:
      return &compressed::neon_ops();
#endif
#if defined(PL_WITH_SCALAR)
    case Path::scalar:
      return &compressed::scalar_ops();
#endif
    default:
      return nullptr;
  }
}

}  // namespace pl
