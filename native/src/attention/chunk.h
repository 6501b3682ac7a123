// A unit's start, and its blocks of one chunk.
#pragma once
#include "few.h"
#include "many.h"
#ifdef PL_OWN_AVX512
#include "integers_avx512_products.h"
#else
#include "integers_portable.h"
#endif

namespace pl {
namespace attention {
namespace {

// Queries, and the start of what is fetched: the rows that the unit's chunks see.
void prepare(const Unit& u, float* work) {
  if (u.k_type == PL_CACHE_I16) return Integers(u, work).prepare();
  const Work w(u, nullptr, work);
  w.prepare();
  const int64_t begin = u.first_chunk * kChunk, end = u.end_chunk * kChunk;
  w.fetch.start(u, begin > w.all.low ? begin : w.all.low, end < w.all.high ? end : w.all.high);
}

template <class Way>
void blocks(const Way& w, int64_t index) {
  const int64_t begin = index * kChunk;
  const int64_t end = begin + kChunk < w.all.high ? begin + kChunk : w.all.high;
  w.clear();
  for (int64_t b = begin; b < end; b += kBlock) {
    if (b + kBlock <= w.all.low) continue;
    const int low = w.all.low > b ? static_cast<int>(w.all.low - b) : 0;
    const int high = end - b < kBlock ? static_cast<int>(end - b) : kBlock;
    w.block(b, low, high);
  }
}

void chunk(const Unit& u, int64_t index, float* state, float* work) {
  if (u.k_type == PL_CACHE_I16)
    integer_chunk(Integers(u, work), index, state);
  else if (u.tokens * u.group <= kFewRows && u.dim % 16 == 0 && u.v_dim % 16 == 0)
    blocks(FewRows(u, state, work), index);
  else
    blocks(ManyRows(u, state, work), index);
}

}  // namespace
}  // namespace attention
}  // namespace pl
