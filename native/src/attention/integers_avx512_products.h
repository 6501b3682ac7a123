// The products with integers, by vectors: scores of keys, weighted sums of values.
#pragma once
#include "integers_avx512_work.h"
#include "products.h"

namespace pl {
namespace attention {
namespace {

inline __m512i four_bytes(const int8_t* p) {
  int32_t x;
  std::memcpy(&x, p, 4);
  return _mm512_set1_epi32(x);
}

// Sums of R rows and the columns of tiles, by significance; `other` is the second half of the middle.
template <int R>
struct TileSums {
  Sums of[R];
  __m512i other[R];

  TileSums() {
    const __m512i none = _mm512_setzero_si512();
    PL_UNROLL for (int r = 0; r < R; r++) of[r] = {none, none, none}, other[r] = none;
  }
  // Adds products with numbers [4 from, 4 to) of the depth. The rows' upper bytes lie at `row`, their lower ones
  // `low` bytes behind, those of the next row `step` bytes behind.
  template <class Ahead>
  void add(const uint8_t* tile, const int8_t* row, int64_t low, int64_t step, int from, int to, Ahead ahead) {
    for (int i = from; i < to; i++) {
      ahead();
      const __m512i x = bytes_at(tile + 64 * i), y = bytes_at(tile + kLower + 64 * i);
      PL_UNROLL for (int r = 0; r < R; r++) {
        const __m512i h = four_bytes(row + r * step + 4 * i), l = four_bytes(row + r * step + low + 4 * i);
        of[r].high = dot(of[r].high, x, h);
        of[r].middle = dot(of[r].middle, x, l);
        of[r].low = dot(of[r].low, y, l);
        other[r] = dot(other[r], y, h);
      }
    }
  }
  Sums all(int r) const { return {of[r].high, _mm512_add_epi32(of[r].middle, other[r]), of[r].low}; }
};

struct Integers : IntegerWork {
  using IntegerWork::IntegerWork;

  // Positions [j, j + 16) of the chunk at b, times R rows of a head.
  template <int R>
  void score(int head, int64_t b, int j, int row) const {
    const uint8_t* block = keys_at(u, head, b + (j & kBlock));
    const int8_t* q = queries + static_cast<size_t>(head * rows + row) * 2 * u.dim;
    TileSums<R> sums;
    for (int d = 0; d < u.dim; d += 64)
      sums.add(block + tile_of_keys(u.dim, j % kBlock, d), q + d, u.dim, 2 * u.dim, 0, 16, [&] {
        if (row == 0) ahead.step<2>();
      });
    const __m512 scales = _mm512_loadu_ps(block + scales_of_keys(u.dim) + 4 * (j % kBlock));
    PL_UNROLL for (int r = 0; r < R; r++) {
      const RowFacts& facts = q_facts[head * rows + row + r];
      _mm512_store_ps(scores + (row + r) * kChunk + j,
                      _mm512_mul_ps(total(sums.all(r), facts), _mm512_mul_ps(scales, _mm512_set1_ps(facts.scale))));
    }
  }
  // Elements [d, d + 16) of R rows' values.
  template <int R>
  void weigh(int head, int64_t b, int d, int row, const Range& seen, float* state) const {
    TileSums<R> sums;
    for (int c = 0; c < kChunk; c += kBlock) {
      const Range own = {seen.low > c ? seen.low - c : 0, seen.high < c + kBlock ? seen.high - c : kBlock};
      if (own.low >= own.high) continue;
      sums.add(values_at(u, head, b + c) + tile_of_values(d), chances + row * 2 * kChunk + c, kChunk, 2 * kChunk,
               own.low / 4, (own.high + 3) / 4, [&] {
                 if (row == 0) ahead.step<2>();
               });
    }
    PL_UNROLL for (int r = 0; r < R; r++, state += stride)
      _mm512_storeu_ps(state + d, _mm512_mul_ps(total(sums.all(r), p_facts[row + r]), _mm512_set1_ps(p_facts[row + r].scale)));
  }
  void scores_head(int head, int64_t b, const Range& seen) const {
    for (int j = seen.low & ~15; j < seen.high; j += 16)
      by_rows(rows, [&](auto count, int r) { score<decltype(count)::value>(head, b, j, r); });
  }
  void values_head(int head, int64_t b, const Range& seen, float* state) const {
    for (int d = 0; d < u.v_dim; d += 16)
      by_rows(rows, [&](auto count, int r) {
        weigh<decltype(count)::value>(head, b, d, r, seen, state + static_cast<size_t>(r) * stride);
      });
  }

  // Before a head: the next one's part of the chunk, or that of the next chunk's first one.
  void look_ahead(int head, int64_t b, const Range& seen) const {
    ahead.clear();
    const bool same = head + 1 < u.heads;
    if (!same && b + kChunk >= u.end_chunk * kChunk) return;
    const int other = same ? head + 1 : 0;
    if (!same) b += kChunk;
    const Range own = same ? seen : within(all, b, kChunk);
    const auto each = [&](auto add) {
      for (int c = 0; c < kChunk; c += kBlock) {
        const int low = own.low > c ? own.low - c : 0, high = own.high < c + kBlock ? own.high - c : kBlock;
        if (low < high) add(b + c, low, high);
      }
    };
    each([&](int64_t block, int low, int high) {
      const int64_t from = tile_of_keys(u.dim, low, 0), to = tile_of_keys(u.dim, high + 15, 0);
      ahead.add(keys_at(u, other, block) + from, 0, static_cast<int>((to - from) / 64), 1);
    });
    each([&](int64_t block, int, int) {
      ahead.add(keys_at(u, other, block) + scales_of_keys(u.dim), 0, kBlock * 8 / 64, 1);
    });
    each([&](int64_t block, int low, int high) {
      ahead.add(values_at(u, other, block) + low / 4 * 64, kLower, (high + 3) / 4 - low / 4, u.v_dim / 8);
    });
  }
};

// A chunk, head by head; `way` has the products.
template <class Way>
void integer_chunk(const Way& way, int64_t index, float* state) {
  const int64_t b = index * kChunk;
  const Range seen = within(way.all, b, kChunk);
  for (int head = 0; head < way.u.heads; head++, state += static_cast<size_t>(way.rows) * way.stride) {
    way.look_ahead(head, b, seen);
    way.scores_head(head, b, seen);
    way.soften_head(head, b, state);
    way.values_head(head, b, seen, state);
  }
}

}  // namespace
}  // namespace attention
}  // namespace pl
