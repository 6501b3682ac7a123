// Attention of the amx path: that of the avx512 path, but for products with a cache of integers. They are exact,
// so the bytes are the same.
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
#include "../vec/amx.h"
#include "attention.h"

namespace pl {
namespace {
#include "vec_avx512.h"
#include "kernel.h"
#include "integers_amx.h"

constexpr int kFew = 4;  // query rows of a KV head that are better multiplied by vectors

void chunk_tiles(const Unit& u, int64_t index, float* state, float* work) {
  if (u.k_type != PL_CACHE_I16 || u.tokens * u.group <= kFew) return attention::avx512_ops().chunk(u, index, state, work);
  integer_chunk(TileIntegers(u, work), index, state);
}
const attention::Ops kTileOps = {prepare, chunk_tiles, merge, finish, store_row, store_keys, store_values, rotate};
}  // namespace
const attention::Ops& attention::amx_ops() { return kTileOps; }
}  // namespace pl
