// A block with many query rows: head by head, and converted once for all rows of a head.
#pragma once
#include "work.h"
#ifdef PL_OWN_AVX512
#include "keys_avx512.h"
#endif

namespace pl {
namespace attention {
namespace {

struct ManyRows : Work {
  static constexpr int kNear = 8;  // rows of values ahead of the one in work
  using Work::Work;

  // Keys of positions [from, to) in [j0, j0 + 16), to the buffer.
  void read_keys(const uint8_t* k, int j0, int from, int to) const {
#ifdef PL_OWN_AVX512
    const size_t part = 4 * static_cast<size_t>(padded);
    // In place of a key that nobody sees goes one that is there.
    const uint8_t* keys[16];
    for (int i = 0; i < 16; i++) {
      const int j = j0 + i;
      keys[i] = k + (j < from ? from : j < to ? j : to - 1) * u.k_stride;
    }
    if (u.k_type == PL_CACHE_F16 && u.dim % 16 == 0) return pack_halves(keys, padded, buffer, part);
    for (int g = 0; g < 4; g++) {
      float* out = buffer + 16 * g;
      for (int d = 0; d < padded; d += 16, out += 64) {
        alignas(64) float t[4][16];
        for (int i = 0; i < 4; i++) read_row(u.k_type, keys[4 * i + g], d, d + 16, u.dim, t[i]);
        pack_vectors({load(t[0]), load(t[1]), load(t[2]), load(t[3])}, out, part);
      }
    }
#else
    for (int j = from; j < to; j++)
      read_row(u.k_type, k + j * u.k_stride, 0, padded, u.dim, buffer + (j - j0) * padded);
#endif
  }
  // Sixteen positions at a time.
  void scores_head(int head, int64_t b, int low, int high) const {
    const uint8_t* k = u.k + b * u.k_stride + head * u.k_head_bytes;
    for (int j0 = low & ~15; j0 < high; j0 += 16) {
      const int from = j0 < low ? low : j0, to = j0 + 16 < high ? j0 + 16 : high;
      read_keys(k, j0, from, to);
      by_rows(rows, [&](auto count, int r) {
        constexpr int R = decltype(count)::value;
        int first, last;
        seen_in(r, R, b, from, to, &first, &last);
        if (first >= last) return;
        const size_t row = static_cast<size_t>(head) * rows + r;
#ifdef PL_OWN_AVX512
        packed_tile<R>(q + row * padded, padded, buffer, scores + row * kBlock + j0, kBlock,
                       [&] { return fetch.take(padded / 16, buffer); });
#else
        for (int j = first & ~3; j < last; j += 4) {
          const uint8_t* keys[4];
          for (int i = 0; i < 4; i++)
            keys[i] = reinterpret_cast<const uint8_t*>(buffer + (j + i - j0) * padded);
          score_tile<R, PL_CACHE_F32>(q + row * padded, padded, keys, Ahead(), scores + row * kBlock + j);
        }
#endif
      });
    }
  }
  // A few dimensions of all positions at a time. The first tile converts f16 as it goes, if it sees
  // all that others see.
  void values_head(int head, int64_t b, int low, int high) const {
    const uint8_t* v = u.v + b * u.v_stride + head * u.v_head_bytes;
    const bool halves = u.v_type == PL_CACHE_F16 && u.v_dim % 16 == 0;
    for (int d = 0; d < u.v_pad; d += kValueWidth) {
      const int end = d + kValueWidth < u.v_pad ? d + kValueWidth : u.v_pad;
      bool converted = false;
      by_rows(rows, [&](auto count, int r) {
        constexpr int R = decltype(count)::value;
        int first, last;
        seen_in(r, R, b, low, high, &first, &last);
        if (first >= last) return;
        const float* scale = shrink + head * rows + r;
        if (!converted && halves && first == low && last == high) {
          const Stored<PL_CACHE_F16> side = {{v + 2 * d + (low + kNear) * u.v_stride, u.v_stride}, buffer};
          value_head<R, Own::value_vectors, PL_CACHE_F16>(head, r, d, d, end - d, scale, v, u.v_stride, low,
                                                    high, side);
          converted = true;
          return;
        }
        if (!converted) read_values(v, low, high, d, end);
        converted = true;
        const Converted side = {fetch, {reinterpret_cast<const uint8_t*>(scale), 0}};
        value_head<R, Own::value_vectors, PL_CACHE_F32>(head, r, d, 0, end - d, scale,
                                                  reinterpret_cast<const uint8_t*>(buffer),
                                                  4 * kValueWidth, first, last, side);
      });
    }
  }
  void read_values(const uint8_t* v, int low, int high, int d, int end) const {
    for (int j = low; j < high; j++)
      read_row(u.v_type, v + j * u.v_stride, d, end, u.v_dim, buffer + j * kValueWidth);
  }
  void block(int64_t b, int low, int high) const {
    const int tiles = (rows + Own::query_rows - 1) / Own::query_rows;
    const int parts = (u.v_pad + kValueWidth - 1) / kValueWidth;
    // The first tile of values asks for its own rows.
    int64_t calls = static_cast<int64_t>(tiles > 1 ? tiles - 1 : 1) * parts * ((high - low) / kValueStep);
#ifdef PL_OWN_AVX512
    calls += tiles * (high - low) / 4;
#endif
    fetch.aim(b, calls * u.heads);
    for (int head = 0; head < u.heads; head++) {
      scores_head(head, b, low, high);
      soften_head(head, b, low, high);
      values_head(head, b, low, high);
    }
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl
