// Attention over a cache of integers, row by row, on paths without instructions for it.
#pragma once
#include "integers.h"
#include "softmax.h"

namespace pl {
namespace attention {
namespace {

// A whole number of 16 bits as signed bytes, 256 high + low.
inline void split(int32_t x, int8_t* high, int8_t* low) {
  *low = static_cast<int8_t>(x & 255);
  *high = static_cast<int8_t>((x - *low) >> 8);
}

// Stores of one position; out(d) is where the upper byte of element d goes.
template <class Out>
inline float store_integers(const float* x, int dim, Out out) {
  const float scale = scale_of(x, dim, 32767.0f);
  const V inverse = set1(inverse_of(scale));
  for (int d = 0; d < dim; d += 16) {
    alignas(64) int32_t n[16];
    whole_numbers(mul(load(x + d), inverse), n);
    for (int i = 0; i < 16; i++) {
      uint8_t* to = out(d + i);
      to[0] = static_cast<uint8_t>((n[i] + 32768) >> 8);
      to[kLower] = static_cast<uint8_t>(n[i]);
    }
  }
  return scale;
}
void store_keys(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales) {
  for (int j = at; j < at + count; j++, x += step)
    scales[j] = store_integers(
        x, dim, [&](int d) { return block + tile_of_keys(dim, j, d) + tile_byte(j % 16, d % 64); });
}
void store_values(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales) {
  for (int j = at; j < at + count; j++, x += step)
    scales[j] = store_integers(
        x, dim, [&](int d) { return block + tile_of_values(d) + tile_byte(d % 16, j); });
}

// Sums of a row and the columns of tiles, by significance.
struct TileSums {
  int32_t high[16] = {}, middle[16] = {}, low[16] = {};

  // Adds products with numbers [4 from, 4 to) of the depth. 
  void add(const uint8_t* tile, const int8_t* upper, const int8_t* lower, int from, int to) {
    for (int i = from; i < to; i++)
      for (int c = 0; c < 16; c++)
        for (int e = 0; e < 4; e++) {
          const uint8_t* own = tile + 64 * i + 4 * c + e;
          high[c] += own[0] * upper[4 * i + e];
          middle[c] += own[0] * lower[4 * i + e] + own[kLower] * upper[4 * i + e];
          low[c] += own[kLower] * lower[4 * i + e];
        }
  }
  V total(int bias) const {
    alignas(64) float a[16], b[16];
    for (int c = 0; c < 16; c++) {
      const uint32_t whole = 256u * static_cast<uint32_t>(high[c]) + static_cast<uint32_t>(middle[c] - bias);
      a[c] = static_cast<float>(static_cast<int32_t>(whole));
      b[c] = static_cast<float>(low[c]);
    }
    return fma(load(a), set1(256.0f), load(b));
  }
};
// Of a row of n elements, upper bytes first.
inline int bias_of(const int8_t* row, int n) {
  int high = 0, low = 0;
  for (int i = 0; i < n; i++) high += row[i], low += row[n + i];
  return bias_of(high, low);
}

struct Integers {
  const Unit& u;
  int rows, stride;
  int8_t* queries;  // [head][row][2][dim]
  RowFacts* facts;  // [head][row]
  int8_t* chances;  // [2][kChunk]

  Integers(const Unit& unit, float* work)
      : u(unit), rows(u.tokens * u.group), stride(state_floats(u.v_pad)) {
    Area area(work);
    const size_t every = static_cast<size_t>(u.heads) * rows;
    queries = area.take<int8_t>(every * 2 * u.dim);
    facts = area.take<RowFacts>(every);
    chances = area.take<int8_t>(2 * kChunk);
  }

  void prepare() const {
    int8_t* to = queries;
    for (int row = 0; row < u.heads * rows; row++, to += 2 * u.dim) {
      const float* from = query_of(u, row / rows, row % rows);
      const float scale = scale_of(from, u.dim, kMost);
      const V inverse = set1(inverse_of(scale));
      for (int d = 0; d < u.dim; d += 16) {
        alignas(64) int32_t n[16];
        whole_numbers(mul(load(from + d), inverse), n);
        for (int i = 0; i < 16; i++) split(n[i], to + d + i, to + u.dim + d + i);
      }
      facts[row] = {scale * factor_of(u), bias_of(to, u.dim)};
    }
  }

  void score(int head, int row, int64_t b, const Range& seen, float* scores) const {
    const int8_t* q = queries + static_cast<size_t>(head * rows + row) * 2 * u.dim;
    const RowFacts& own = facts[head * rows + row];
    for (int j = seen.low & ~15; j < seen.high; j += 16) {
      const uint8_t* block = keys_at(u, head, b + (j & kBlock));
      TileSums sums;
      for (int d = 0; d < u.dim; d += 64)
        sums.add(block + tile_of_keys(u.dim, j % kBlock, d), q + d, q + u.dim + d, 0, 16);
      const auto* scales = reinterpret_cast<const float*>(block + scales_of_keys(u.dim)) + j % kBlock;
      store(scores + j, mul(sums.total(own.bias), mul(load(scales), set1(own.scale))));
    }
  }
  // Scores become probabilities times the scales of values, as integers; returns their scale.
  float soften(int head, int64_t b, const Range& seen, float* scores, float* state) const {
    const int v0 = seen.low / 16, v1 = (seen.high + 15) / 16;
    const float top = highest(scores, seen, v0, v1, u.softcap);
    uint32_t shares = 0;
    float poison = 0.0f;
    for (int v = v0; v < v1; v++) {
      V x = exp2(sub(load(scores + 16 * v), set1(top)));
      if (!seen.has(v)) x = seen.cut(x, zero(), v);
      // The bits of 1 + x are those of 1 plus x in units of 2^-23.
      alignas(64) float more[16];
      uint32_t bits[16];
      store(more, add(x, set1(1.0f)));
      std::memcpy(bits, more, sizeof bits);
      const uint8_t* block = keys_at(u, head, b + (16 * v & kBlock));
      x = mul(x, load(reinterpret_cast<const float*>(block + scales_of_values(u.dim)) + 16 * v % kBlock));
      if (!seen.has(v)) x = seen.cut(x, zero(), v);
      store(scores + 16 * v, x);
      for (int i = 0; i < 16; i++) {
        shares += bits[i] - 0x3f800000u;
        poison += scores[16 * v + i] * 0.0f;
      }
    }
    float scale = 0.0f;
    for (int j = 0; j < kChunk; j++) scale = scores[j] > scale ? scores[j] : scale;
    scale /= kMost;
    scale = (scale < kLeastChance ? 0.0f : scale) + poison;
    const V inverse = set1(inverse_of(scale));
    for (int j = 0; j < kChunk; j += 16) {
      alignas(64) int32_t n[16];
      whole_numbers(mul(load(scores + j), inverse), n);
      for (int i = 0; i < 16; i++) split(n[i], chances + j + i, chances + kChunk + j + i);
    }
    store(state, zero());
    state[0] = static_cast<float>(static_cast<int32_t>(shares)) * 0x1p-23f + poison;
    state[16] = top;
    return scale;
  }
  void weigh(int head, int64_t b, const Range& seen, float scale, float* values) const {
    const int bias = bias_of(chances, kChunk);
    for (int d = 0; d < u.v_dim; d += 16) {
      TileSums sums;
      for (int c = 0; c < kChunk; c += kBlock) {
        const int low = seen.low > c ? seen.low - c : 0, high = seen.high < c + kBlock ? seen.high - c : kBlock;
        if (low < high)
          sums.add(values_at(u, head, b + c) + tile_of_values(d), chances + c, chances + kChunk + c, low / 4,
                   (high + 3) / 4);
      }
      store(values + d, mul(sums.total(bias), set1(scale)));
    }
  }
};

inline void integer_chunk(const Integers& way, int64_t index, float* state) {
  const Unit& u = way.u;
  const int rows = way.rows;
  const int64_t b = index * kChunk;
  for (int row = 0; row < u.heads * rows; row++, state += way.stride) {
    const int head = row / rows;
    const Range seen = seen_of(u, row % rows, b);
    if (seen.low >= seen.high) {
      for (int d = 0; d < u.v_pad + 16; d += 16) store(state + d, zero());
      state[u.v_pad + 16] = kEmpty;
      continue;
    }
    alignas(64) float scores[kChunk] = {};
    way.score(head, row % rows, b, seen, scores);
    way.weigh(head, b, seen, way.soften(head, b, seen, scores, state + u.v_pad), state);
  }
}

}  // namespace
}  // namespace attention
}  // namespace pl
