// The same with products of many rows on the matrix unit.
#pragma once
#include "../vec/amx.h"
#include "integers_avx512_products.h"

namespace pl {
namespace attention {
namespace {

// Tiles 0 to 2 are sums by significance, 3 is in work, 4 to 7 stay. Its products take the place of those by vectors.
struct TileIntegers : Integers {
  static constexpr int kRows = 16;
  static constexpr int kAhead = 10;  // lines asked for with every tile that is loaded
  using Numbers = int32_t[3][16 * 16];
  int tiles;

  TileIntegers(const Unit& unit, float* work) : Integers(unit, work), tiles((rows + kRows - 1) / kRows) {
    Configuration shape;
    const int own = rows < kRows ? rows : kRows;
    for (int i = 0; i < 8; i++) shape.set(i, i == 3 ? kRows : own, 64);
    configure(shape);
  }
  ~TileIntegers() { release(); }

  static void clear_sums() {
    zero_tile<0>();
    zero_tile<1>();
    zero_tile<2>();
  }
  static void store_sums(Numbers& to) {
    store_tile<0>(to[0], 64);
    store_tile<2>(to[2], 64);
    store_tile<1>(to[1], 64);
  }
  // Tile B and the next one: upper and lower bytes of 64 numbers of 16 rows, or of a tile's 16 columns.
  template <int B>
  static void load_rows(const int8_t* row, int64_t low, int64_t step) {
    load_tile<B>(row, step);
    load_tile<B + 1>(row + low, step);
  }
  template <int B>
  static void load_columns(const uint8_t* tile) {
    load_tile<B>(tile, 64);
    load_tile<B + 1>(tile + kLower, 64);
  }
  // Rows in tiles B and B + 1, which stay, times columns.
  template <int B>
  void multiply_columns(const uint8_t* tile) const {
    load_tile<3>(tile, 64);
    ahead.step<kAhead>();
    multiply_signed_unsigned<0, B, 3>();
    multiply_signed_unsigned<1, B + 1, 3>();
    load_tile<3>(tile + kLower, 64);
    ahead.step<kAhead>();
    multiply_signed_unsigned<2, B + 1, 3>();
    multiply_signed_unsigned<1, B, 3>();
  }
  // Rows times columns in tiles B and B + 1, which stay.
  template <int B>
  void multiply_rows(const int8_t* row, int64_t low, int64_t step) const {
    load_tile<3>(row, step);
    ahead.step();
    multiply_signed_unsigned<0, 3, B>();
    multiply_signed_unsigned<1, 3, B + 1>();
    load_tile<3>(row + low, step);
    ahead.step();
    multiply_signed_unsigned<2, 3, B + 1>();
    multiply_signed_unsigned<1, 3, B>();
  }

  // Sums of the tile t of rows become scores of positions from j on.
  void finish_scores(const Numbers& s, int head, int64_t b, int j, int t) const {
    const uint8_t* block = keys_at(u, head, b + (j & kBlock));
    const __m512 scales = _mm512_loadu_ps(block + scales_of_keys(u.dim) + 4 * (j % kBlock));
    const int end = rows < (t + 1) * kRows ? rows : (t + 1) * kRows;
    const RowFacts* facts = q_facts + head * rows;
    for (int r = t * kRows, at = 0; r < end; r++, at += 16)
      _mm512_store_ps(scores + r * kChunk + j, _mm512_mul_ps(total(sums_at(s, at), facts[r]),
                                                             _mm512_mul_ps(scales, _mm512_set1_ps(facts[r].scale))));
  }
  static Sums sums_at(const Numbers& s, int at) {
    return {_mm512_load_si512(s[0] + at), _mm512_load_si512(s[1] + at), _mm512_load_si512(s[2] + at)};
  }
  void finish_values(const Numbers& s, int t, int d, float* state) const {
    const int end = rows < (t + 1) * kRows ? rows : (t + 1) * kRows;
    for (int r = t * kRows, at = 0; r < end; r++, at += 16)
      _mm512_storeu_ps(state + static_cast<size_t>(r) * stride + d,
                       _mm512_mul_ps(total(sums_at(s, at), p_facts[r]), _mm512_set1_ps(p_facts[r].scale)));
  }

  void scores_head(int head, int64_t b, const Range& seen) const {
    const int8_t* q = queries + static_cast<size_t>(head) * rows * 2 * u.dim;
    alignas(64) Numbers s[2];
    int step = 0, last_j = 0, last_t = 0;
    for (int j = seen.low & ~15; j < seen.high; j += 16) {
      const uint8_t* k = keys_at(u, head, b + (j & kBlock)) + tile_of_keys(u.dim, j % kBlock, 0);
      for (int t = 0; t < tiles; t++, step++) {
        clear_sums();
        tiles == 1 ? rows_stay(q, k, step == 0) : columns_stay(q + t * kRows * 2 * u.dim, k, t == 0);
        if (step > 0) finish_scores(s[(step - 1) & 1], head, b, last_j, last_t);
        store_sums(s[step & 1]);
        last_j = j, last_t = t;
      }
    }
    if (step > 0) finish_scores(s[(step - 1) & 1], head, b, last_j, last_t);
  }
  void rows_stay(const int8_t* q, const uint8_t* k, bool first) const {
    for (int d = 0; d < u.dim; d += 128) {
      if (first || u.dim > 128) {
        load_rows<4>(q + d, u.dim, 2 * u.dim);
        if (d + 64 < u.dim) load_rows<6>(q + d + 64, u.dim, 2 * u.dim);
      }
      multiply_columns<4>(k + d / 64 * kTile);
      if (d + 64 < u.dim) multiply_columns<6>(k + (d / 64 + 1) * kTile);
    }
  }
  void columns_stay(const int8_t* q, const uint8_t* k, bool first) const {
    for (int d = 0; d < u.dim; d += 128) {
      if (first || u.dim > 128) {
        load_columns<4>(k + d / 64 * kTile);
        if (d + 64 < u.dim) load_columns<6>(k + (d / 64 + 1) * kTile);
      }
      multiply_rows<4>(q + d, u.dim, 2 * u.dim);
      if (d + 64 < u.dim) multiply_rows<6>(q + d + 64, u.dim, 2 * u.dim);
    }
  }

  void values_head(int head, int64_t b, const Range& seen, float* state) const {
    const bool first = seen.low < kBlock, second = seen.high > kBlock;
    const uint8_t* const v[2] = {values_at(u, head, b), values_at(u, head, b + kBlock)};
    alignas(64) Numbers s[2];
    int step = 0, last_d = 0, last_t = 0;
    for (int t = 0; t < tiles; t++) {
      const int8_t* p = chances + t * kRows * 2 * kChunk;
      if (first) load_rows<4>(p, kChunk, 2 * kChunk);
      if (second) load_rows<6>(p + kBlock, kChunk, 2 * kChunk);
      for (int d = 0; d < u.v_dim; d += 16, step++) {
        clear_sums();
        if (first) multiply_columns<4>(v[0] + tile_of_values(d));
        if (second) multiply_columns<6>(v[1] + tile_of_values(d));
        if (step > 0) finish_values(s[(step - 1) & 1], last_t, last_d, state);
        store_sums(s[step & 1]);
        last_d = d, last_t = t;
      }
    }
    if (step > 0) finish_values(s[(step - 1) & 1], last_t, last_d, state);
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl
