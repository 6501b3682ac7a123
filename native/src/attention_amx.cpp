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

#include "../include/paceline.h"
#include "amx_tiles.h"
#include "attention.h"

namespace pl {
namespace {
#include "attention_vec_avx512.h"
#include "attention_kernel.h"
#include "attention_integers_amx.h"

constexpr int kFew = 2;  // query rows of a KV head that are better multiplied one by one

void prepare_tiles(const Unit& u, float* work) {
  if (u.k_type != PL_CACHE_I16) return attention::avx512_ops().prepare(u, work);
  TileIntegers(u, work, kFew).prepare();
}
void chunk_tiles(const Unit& u, int64_t index, float* state, float* work) {
  if (u.k_type != PL_CACHE_I16) return attention::avx512_ops().chunk(u, index, state, work);
  const TileIntegers way(u, work, kFew);
  if (way.few) return integer_chunk(way, index, state);
  Configuration whole;
  for (int i = 0; i < 8; i++) whole.set(i, 16, 64);
  configure(whole);
  integer_chunk(way, index, state);
  release();
}
const attention::Ops kTileOps = {prepare_tiles, chunk_tiles, merge, finish, store_row, rotate};
}  // namespace
const attention::Ops& attention::amx_ops() { return kTileOps; }
}  // namespace pl
