// The same with products of many rows on the matrix unit. Included by attention_amx.cpp.
#include "attention_transpose.h"

// Tiles 0 to 2 are sums by significance, 3 is in work, 4 to 7 stay. Its products take the place of those by vectors.
struct TileIntegers : Integers {
  static constexpr int kRows = 16;
  int tiles;

  TileIntegers(const Unit& unit, float* work, int few_rows)
      : Integers(unit, work, few_rows), tiles((rows + kRows - 1) / kRows) {}

  void prepare() const {
    Integers::prepare();
    if (!few) tile_queries();
  }
  // Rows of queries to tiles [head][tile][dim / 64][2] of 16 numbers of four bytes in 16 columns. From the last
  // one on, as tiles take more room than rows.
  void tile_queries() const {
    const size_t bytes = 2 * static_cast<size_t>(u.dim);
    for (int head = u.heads - 1; head >= 0; head--)
      for (int t = tiles - 1; t >= 0; t--) {
        const int count = rows - t * kRows < kRows ? rows - t * kRows : kRows;
        std::memcpy(buffer, queries + (head * rows + t * kRows) * bytes, count * bytes);
        LaneFacts& lanes = q_lanes[head * tiles + t];
        lanes = {};
        for (int r = 0; r < count; r++) {
          const RowFacts& own = q_facts[head * rows + t * kRows + r];
          lanes.scale[r] = own.scale;
          lanes.high_bias[r] = own.high_bias;
          lanes.low_bias[r] = own.low_bias;
        }
        int8_t* to = queries + static_cast<size_t>(head * tiles + t) * kRows * bytes;
        for (int d = 0; d < u.dim; d += 64)
          for (int part = 0; part < 2; part++, to += 1024) {
            __m512i x[16];
            for (int r = 0; r < 16; r++)
              x[r] = r < count ? bytes_at(buffer + r * bytes + part * u.dim + d) : _mm512_setzero_si512();
            transpose(x);
            for (int r = 0; r < 16; r++) _mm512_store_si512(to + 64 * r, x[r]);
          }
      }
  }

  static void clear_sums() {
    zero_tile<0>();
    zero_tile<1>();
    zero_tile<2>();
  }
  // 64 dimensions of keys times those in tiles B and B + 1.
  template <int B>
  void multiply_keys(const uint8_t* k, int64_t step) const {
    load_tile<3>(k, step);
    ahead.step();
    multiply_unsigned_signed<0, 3, B>();
    ahead.step();
    multiply_unsigned_signed<1, 3, B + 1>();
    ahead.step();
    load_tile<3>(k + 64, step);
    ahead.step();
    multiply_unsigned_signed<2, 3, B + 1>();
    ahead.step();
    multiply_unsigned_signed<1, 3, B>();
  }
  void scores_many(int head, int64_t b, int low, int high) const {
    for (int j = low & ~15; j < high; j += 16) tile_scores(head, b, j, low, high);
  }
  // Sixteen positions of a head, from the chunk's j on, times all rows.
  void tile_scores(int head, int64_t b, int j, int low, int high) const {
    const uint8_t* k = u.k + (b + j) * u.k_stride + head * u.k_head_bytes;
    int64_t step = u.k_stride;
    if (j < low || j + 16 > high) {
      for (int i = 0; i < 16; i++)
        std::memcpy(buffer + i * u.k_head_bytes, k + (nearest(j + i, low, high) - j) * u.k_stride, u.k_head_bytes);
      k = buffer;
      step = static_cast<int64_t>(u.k_head_bytes);
    }
    const float* scale[16];
    for (int i = 0; i < 16; i++) scale[i] = scales_at(u, b + nearest(j + i, low, high)) + head;
    for (int t = 0; t < tiles; t++) {
      const int8_t* q = queries + static_cast<size_t>(head * tiles + t) * kRows * 2 * u.dim;
      if (u.dim > 128 || tiles > 1 || j == (low & ~15)) load_queries(q, u.dim);
      clear_sums();
      multiply_keys<4>(k, step);
      if (u.dim > 64) multiply_keys<6>(k + 128, step);
      for (int d = 128; d < u.dim; d += 128) {
        load_queries(q + d * 32, u.dim - d);
        multiply_keys<4>(k + 2 * d, step);
        if (u.dim > d + 64) multiply_keys<6>(k + 2 * d + 128, step);
      }
      alignas(64) int32_t s[3][256];
      store_tile<0>(s[0], 64);
      store_tile<2>(s[2], 64);
      store_tile<1>(s[1], 64);
      const LaneFacts& facts = q_lanes[head * tiles + t];
      const __m512i hb = _mm512_load_si512(facts.high_bias), lb = _mm512_load_si512(facts.low_bias);
      const __m512 qs = _mm512_load_ps(facts.scale);
      __m512i x[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        ahead.step();
        const Sums own = {_mm512_load_si512(s[0] + 16 * i), _mm512_load_si512(s[1] + 16 * i),
                          _mm512_load_si512(s[2] + 16 * i)};
        x[i] = _mm512_castps_si512(_mm512_mul_ps(total(own, hb, lb), _mm512_mul_ps(_mm512_set1_ps(*scale[i]), qs)));
      }
      transpose(x);
      const int count = rows - t * kRows < kRows ? rows - t * kRows : kRows;
      float* out = scores + t * kRows * kChunk + j;
      for (int r = 0; r < count; r++) _mm512_store_si512(out + r * kChunk, x[r]);
    }
  }
  static void load_queries(const int8_t* q, int left) {
    load_tile<4>(q, 64);
    load_tile<5>(q + 1024, 64);
    if (left <= 64) return;
    load_tile<6>(q + 2048, 64);
    load_tile<7>(q + 3072, 64);
  }

  // 64 positions of 16 elements times the probabilities in tiles A and A + 1.
  template <int A>
  void multiply_values(const uint8_t* v) const {
    load_tile<3>(v, 64);
    ahead.step();
    multiply_signed_unsigned<0, A, 3>();
    ahead.step();
    multiply_signed_unsigned<1, A + 1, 3>();
    ahead.step();
    load_tile<3>(v + 4096, 64);
    ahead.step();
    multiply_signed_unsigned<2, A + 1, 3>();
    ahead.step();
    multiply_signed_unsigned<1, A, 3>();
  }
  void values_many(int d, int from, int to, float* state) const {
    const bool first = from == 0, second = to > 64;
    for (int t = 0; t < tiles; t++) {
      const int8_t* p = chances + t * kRows * 2 * kChunk;
      if (first) load_tile<4>(p, 2 * kChunk), load_tile<5>(p + kChunk, 2 * kChunk);
      if (second) load_tile<6>(p + 64, 2 * kChunk), load_tile<7>(p + kChunk + 64, 2 * kChunk);
      for (int m = 0; m < 4; m++) {
        clear_sums();
        if (first) multiply_values<4>(buffer + m * 1024);
        if (second) multiply_values<6>(buffer + 8192 + m * 1024);
        store_tile<0>(sums + m * 16, 768);
        store_tile<2>(sums + 128 + m * 16, 768);
        store_tile<1>(sums + 64 + m * 16, 768);
      }
      const int end = rows < (t + 1) * kRows ? rows : (t + 1) * kRows;
      for (int r = t * kRows; r < end; r++, ahead.step(), ahead.step())
        finish_values(sums + (r - t * kRows) * 192, p_facts[r], state + static_cast<size_t>(r) * stride + d);
    }
  }
};
