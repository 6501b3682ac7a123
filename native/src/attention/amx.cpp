// Attention of the amx path: that of the avx512 path, but for products with a cache of integers. They are exact,
// so the bytes are the same.
#include "integers_amx.h"
#include "kernel.h"

namespace pl {
namespace attention {
namespace {

constexpr int kFew = 4;  // query rows of a KV head that are better multiplied by vectors

void chunk_tiles(const Unit& u, int64_t index, float* state, float* work) {
  if (u.k_type != PL_CACHE_I16 || u.tokens * u.group <= kFew) return avx512_ops().chunk(u, index, state, work);
  integer_chunk(TileIntegers(u, work), index, state);
}
const Ops kTileOps = {prepare, chunk_tiles, merge, finish, store_row, store_keys, store_values, rotate};

}  // namespace

const Ops& amx_ops() { return kTileOps; }

}  // namespace attention
}  // namespace pl
