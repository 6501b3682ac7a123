// Attention of one tile of query rows over chunks of positions, written once over the 16 lanes
// of vec/lanes.h. A file of one path includes this, and gets `kOps`.
//
// Order of operations, the same for every tile size and CPU path: a score is 16 chains of fused
// multiply-adds (dimension mod 16), folded as a fixed tree; a weighted value is one chain over
// positions; sums of probabilities have 16 lanes (position mod 16), folded at the end. A position
// that a row does not see has probability exactly 0 and so changes nothing.
//
// With a cache of integers sums of products are exact, and have no order (integers.h).
//
// Memory is what decode waits for, and it is read fast only in the order in which it lies. So a unit
// of few query rows goes through all its KV heads position by position and multiplies right out of
// the cache. With more query rows a unit goes head by head, and rows are converted to f32 once for all
// of them. Either asks for rows that are ahead in the order in which they lie.
#pragma once
#include "chunk.h"
#include "rows.h"
#ifdef PL_OWN_AVX512
#include "integers_avx512_store.h"
#endif

namespace pl {
namespace attention {
namespace {

const Ops kOps = {prepare, chunk, merge, finish, store_row, store_keys, store_values, rotate};

}  // namespace
}  // namespace attention
}  // namespace pl
