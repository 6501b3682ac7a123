// A unit in work on a chunk of a cache of integers: where its parts lie, and its probabilities.
#pragma once
#include <math.h>

#include "integers_avx512.h"
#include "softmax.h"

namespace pl {
namespace attention {
namespace {

struct IntegerWork {
  static constexpr int kSoftenSteps = 8;  // lines asked for in every 16 positions of up to four rows

  const Unit& u;
  int rows, stride;
  Span all;
  mutable NextHead ahead;
  int8_t* queries;    // [head][row][2][dim], upper bytes first; room for whole tiles of rows
  RowFacts* q_facts;  // [head][row]
  // Of the rows of the head in work.
  RowFacts* p_facts;
  int8_t* chances;  // probabilities, [row][2][kChunk]; room for whole tiles of rows
  float* scores;    // [row][kChunk]

  IntegerWork(const Unit& unit, float* work)
      : u(unit),
        rows(u.tokens * u.group),
        stride(state_floats(u.v_pad)),
        all{visible(u, 0).low, visible(u, u.tokens - 1).high} {
    Area area(work);
    const size_t own = static_cast<size_t>(rows), every = own * u.heads;
    queries = area.take<int8_t>((every + 15) * 2 * u.dim);
    q_facts = area.take<RowFacts>(every);
    p_facts = area.take<RowFacts>(own);
    chances = area.take<int8_t>((own + 15) * 2 * kChunk);
    scores = area.take<float>(own * kChunk);
  }

  void prepare() const {
    const float factor = factor_of(u);
    int8_t* to = queries;
    for (int head = 0; head < u.heads; head++)
      for (int r = 0; r < rows; r++, to += 2 * u.dim) {
        const float* from = query_of(u, head, r);
        const float scale = scale_of(from, u.dim, kMost);
        const __m512 inverse = _mm512_set1_ps(inverse_of(scale));
        for (int d = 0; d < u.dim; d += 64) {
          __m512i x[4];
          PL_UNROLL for (int i = 0; i < 4; i++)
            x[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from + d + 16 * i), inverse));
          split(x, to + d, to + u.dim + d);
        }
        q_facts[head * rows + r] = {scale * factor, bias_of(sum_of(to, u.dim), sum_of(to + u.dim, u.dim))};
      }
  }

  // Scores of R rows of a head become probabilities times the scales of values, as integers; states get
  // their sums and maxima. Vectors are folded four at a time, whether there are as many rows or not.
  template <int R>
  void soften(int row, int64_t b, const float* const (&scales)[2], float* state) const {
    float* s = scores + row * kChunk;
    Range seen[R];
    int from = kChunk, to = 0;
    PL_UNROLL for (int r = 0; r < R; r++) {
      seen[r] = seen_of(u, row + r, b);
      if (seen[r].low < from) from = seen[r].low;
      if (seen[r].high > to) to = seen[r].high;
    }
    const int v0 = from / 16, v1 = (to + 15) / 16;
    __m512 top[4];
    PL_UNROLL for (int r = 0; r < 4; r++) top[r] = set1(kEmpty).x[0];
    for (int v = v0; v < v1; v++) {
      ahead.step<kSoftenSteps / 2>();
      PL_UNROLL for (int r = 0; r < R; r++) {
        float* own = s + r * kChunk + 16 * v;
        V a = load(own);
        if (u.softcap > 0) store(own, a = capped(a, u.softcap));
        if (!seen[r].has(v)) a = seen[r].cut(a, set1(kEmpty), v);
        top[r] = _mm512_max_ps(top[r], a.x[0]);
      }
    }
    alignas(16) float tops[4], mosts[4];
    _mm_store_ps(tops, fold_highest(top));
    // Bits of numbers that are not negative are in their order, and NaN is above all.
    const __m512i one = _mm512_castps_si512(set1(1.0f).x[0]);
    __m512i most[4], sum[4];
    PL_UNROLL for (int r = 0; r < 4; r++) {
      most[r] = _mm512_setzero_si512();
      sum[r] = _mm512_mullo_epi32(one, _mm512_set1_epi32(v0 < v1 ? v0 - v1 : 0));
    }
    for (int v = v0; v < v1; v++) {
      ahead.step<kSoftenSteps / 2>();
      const V scale = load(scales[v / 4] + v % 4 * 16);
      PL_UNROLL for (int r = 0; r < R; r++) {
        float* own = s + r * kChunk + 16 * v;
        V x = exp2(sub(load(own), set1(tops[r])));
        if (!seen[r].has(v)) x = seen[r].cut(x, zero(), v);
        // The bits of 1 + x are those of 1 plus x in units of 2^-23.
        sum[r] = _mm512_add_epi32(sum[r], _mm512_castps_si512(add(x, set1(1.0f)).x[0]));
        x = mul(x, scale);
        if (!seen[r].has(v)) x = seen[r].cut(x, zero(), v);  // scales of what nobody sees are anything
        most[r] = _mm512_max_epu32(most[r], _mm512_castps_si512(x.x[0]));
        store(own, x);
      }
    }
    _mm_store_ps(mosts, _mm_castsi128_ps(fold(most, [](__m512i a, __m512i b) { return _mm512_max_epu32(a, b); })));
    alignas(16) int32_t shares[4], high[4], low[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(shares), fold_sums(sum));
    __m512i h[4], l[4];
    PL_UNROLL for (int r = 0; r < 4; r++) h[r] = l[r] = _mm512_setzero_si512();
    PL_UNROLL for (int r = 0; r < R; r++) {
      const float scale = mosts[r] / kMost < kLeastChance ? 0.0f : mosts[r] / kMost;
      const __m512 inverse = _mm512_set1_ps(inverse_of(scale));
      p_facts[row + r].scale = scale;
      int8_t* out = chances + (row + r) * 2 * kChunk;
      for (int c = 0; c < kChunk / 64; c++) {
        __m512i x[4];
        PL_UNROLL for (int i = 0; i < 4; i++) {
          const int v = 4 * c + i;
          x[i] = _mm512_setzero_si512();
          if (v >= v0 && v < v1)
            x[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(s + r * kChunk + 16 * v), inverse));
        }
        split(x, out + 64 * c, out + kChunk + 64 * c);
        h[r] = dot(h[r], _mm512_set1_epi8(1), bytes_at(out + 64 * c));
        l[r] = dot(l[r], _mm512_set1_epi8(1), bytes_at(out + kChunk + 64 * c));
      }
    }
    _mm_store_si128(reinterpret_cast<__m128i*>(high), fold_sums(h));
    _mm_store_si128(reinterpret_cast<__m128i*>(low), fold_sums(l));
    PL_UNROLL for (int r = 0; r < R; r++, state += stride) {
      p_facts[row + r].bias = bias_of(high[r], low[r]);
      const float share = mosts[r] != mosts[r] ? NAN : static_cast<float>(shares[r]) * 0x1p-23f;
      store(state + u.v_pad, V{{_mm512_maskz_mov_ps(1, set1(share).x[0])}});
      state[u.v_pad + 16] = tops[r];
    }
  }
  void soften_head(int head, int64_t b, float* state) const {
    const int64_t at = scales_of_values(u.dim);
    const auto scales_at = [&](int64_t block) {
      return reinterpret_cast<const float*>(keys_at(u, head, block) + at);
    };
    const float* const scales[2] = {scales_at(b), scales_at(b + kBlock)};
    int r = 0;
    for (; r + 4 <= rows; r += 4, state += 4 * stride) soften<4>(r, b, scales, state);
    for (; r + 2 <= rows; r += 2, state += 2 * stride) soften<2>(r, b, scales, state);
    if (r < rows) soften<1>(r, b, scales, state);
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl
