// Attention of one tile of query rows over chunks of positions, written once over the 16-lane
// vector V that the including file defines. Included inside an anonymous namespace.
//
// Order of operations, the same for every tile size and CPU path: a score is 16 chains of fused
// multiply-adds (dimension mod 16), folded as a fixed tree; a weighted value is one chain over
// positions; sums of probabilities have 16 lanes (position mod 16), folded at the end. A position
// that a row does not see has probability exactly 0 and so changes nothing.
//
// With a cache of integers sums of products are exact, and have no order (attention_integers.h).
//
// Memory is what decode waits for, and it is read fast only in the order in which it lies. So a unit
// of few query rows goes through all its KV heads position by position and multiplies right out of
// the cache. With more query rows a unit goes head by head, and rows are converted to f32 once for all
// of them. Either asks for rows that are ahead in the order in which they lie.

using attention::kBlock;
using attention::kChunk;
using attention::kEmpty;
using attention::Unit;

#include "attention_read.h"
#include "attention_exp.h"
#include "attention_softmax.h"
#include "attention_products.h"
#ifdef PL_PACKED_KEYS
#include "attention_vec_avx512_keys.h"
#endif
#include "attention_work.h"
#include "attention_few.h"
#include "attention_many.h"
#include "attention_integers.h"
#ifdef PL_BYTE_PRODUCTS
#include "attention_integers_avx512.h"
#include "attention_integers_store.h"
#include "attention_integers_work.h"
#include "attention_integers_products.h"
#else
#include "attention_integers_portable.h"
#endif
#include "attention_chunk.h"
#include "attention_rows.h"

const attention::Ops kOps = {prepare, chunk, merge, finish, store_row, store_keys, store_values, rotate};
