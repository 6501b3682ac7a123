// Sixteen keys that many rows of queries share, packed so that products fold with few moves of lanes.
// Chains come in four sets (dimension mod 16 divided by 4). Of a set, every 16 dimensions have four
// vectors, and lane group l (of four) of vector g has key 4 l + g.
#pragma once
#include "../vec/avx512.h"
#include "../vec/lanes.h"
#include "read.h"

namespace pl {
namespace attention {
namespace {

// Keys g, g + 4, g + 8, g + 12, 16 dimensions of each; `part`: floats of a set.
inline void pack_vectors(const V (&keys)[4], float* out, size_t part) {
  const __m512 a = _mm512_shuffle_f32x4(keys[0].x[0], keys[1].x[0], 0x44);
  const __m512 b = _mm512_shuffle_f32x4(keys[2].x[0], keys[3].x[0], 0x44);
  const __m512 c = _mm512_shuffle_f32x4(keys[0].x[0], keys[1].x[0], 0xee);
  const __m512 d = _mm512_shuffle_f32x4(keys[2].x[0], keys[3].x[0], 0xee);
  _mm512_storeu_ps(out, _mm512_shuffle_f32x4(a, b, 0x88));
  _mm512_storeu_ps(out + part, _mm512_shuffle_f32x4(a, b, 0xdd));
  _mm512_storeu_ps(out + 2 * part, _mm512_shuffle_f32x4(c, d, 0x88));
  _mm512_storeu_ps(out + 3 * part, _mm512_shuffle_f32x4(c, d, 0xdd));
}
// Lanes of x in the mask become halves of the 32 bytes at p; nothing else of them is read. The
// intrinsic function would read all of them.
inline void convert_lanes(__m512& x, __mmask16 lanes, const uint8_t* p) {
  __asm__("vcvtph2ps %2, %0%{%1%}" : "+v"(x) : "Yk"(lanes), "m"(*reinterpret_cast<const __m256i*>(p)));
}
// All sixteen keys, right from rows of f16. Half of the moves are conversions into chosen lanes: moves
// have one port, conversions from memory two.
inline void pack_halves(const uint8_t* const (&keys)[16], int dim, float* out, size_t part) {
  for (int g = 0; g < 4; g++, out += 16) {
    const uint8_t *k0 = keys[g], *k1 = keys[g + 4], *k2 = keys[g + 8], *k3 = keys[g + 12];
    float* to = out;
#pragma GCC unroll 4
    for (int d = 0; d < dim; d += 16, to += 64, k0 += 32, k1 += 32, k2 += 32, k3 += 32) {
      // Of two keys, quarters 0 and 2 of both, and quarters 1 and 3.
      __m512 a = load_half(k0).x[0], b = load_half(k1).x[0], c = load_half(k2).x[0], e = load_half(k3).x[0];
      convert_lanes(a, 0xf0f0, k1 - 8);
      convert_lanes(b, 0x0f0f, k0 + 8);
      convert_lanes(c, 0xf0f0, k3 - 8);
      convert_lanes(e, 0x0f0f, k2 + 8);
      _mm512_storeu_ps(to, _mm512_shuffle_f32x4(a, c, 0x44));
      _mm512_storeu_ps(to + part, _mm512_shuffle_f32x4(b, e, 0x44));
      _mm512_storeu_ps(to + 2 * part, _mm512_shuffle_f32x4(a, c, 0xee));
      _mm512_storeu_ps(to + 3 * part, _mm512_shuffle_f32x4(b, e, 0xee));
    }
  }
}

// One set of chains of R rows and 16 keys.
template <int R>
__attribute__((always_inline)) inline void packed_set(const float* q, int dim, const float* keys,
                                                      Lines lines, __m512 (&acc)[R][4]) {
  // The first step multiplies: zeros would be copied from register to register.
  {
    const __m512 k0 = _mm512_loadu_ps(keys), k1 = _mm512_loadu_ps(keys + 16);
    const __m512 k2 = _mm512_loadu_ps(keys + 32), k3 = _mm512_loadu_ps(keys + 48);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const __m512 x = _mm512_broadcast_f32x4(_mm_loadu_ps(q + r * dim));
      acc[r][0] = _mm512_mul_ps(x, k0);
      acc[r][1] = _mm512_mul_ps(x, k1);
      acc[r][2] = _mm512_mul_ps(x, k2);
      acc[r][3] = _mm512_mul_ps(x, k3);
    }
  }
  keys += 64;
  lines.next();
  for (int d = 16; d < dim; d += 16, keys += 64) {
    lines.next();
    const __m512 k0 = _mm512_loadu_ps(keys), k1 = _mm512_loadu_ps(keys + 16);
    const __m512 k2 = _mm512_loadu_ps(keys + 32), k3 = _mm512_loadu_ps(keys + 48);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const __m512 x = _mm512_broadcast_f32x4(_mm_loadu_ps(q + r * dim + d));
      acc[r][0] = _mm512_fmadd_ps(x, k0, acc[r][0]);
      acc[r][1] = _mm512_fmadd_ps(x, k1, acc[r][1]);
      acc[r][2] = _mm512_fmadd_ps(x, k2, acc[r][2]);
      acc[r][3] = _mm512_fmadd_ps(x, k3, acc[r][3]);
    }
  }
}
template <int R>
__attribute__((always_inline)) inline void keep_set(const __m512 (&acc)[R][4], float (&to)[R][4][16]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) _mm512_store_ps(to[r][g], acc[r][g]);
}
// scores[r][0..15] with packed keys, in the order of score_tile. ask() gives the lines that a set asks for.
template <int R, class Ask>
inline void packed_tile(const float* q, int dim, const float* keys, float* scores, int stride,
                        Ask ask) {
  __m512 acc[R][4];
  alignas(64) float even[R][4][16], odd[R][4][16];
  const size_t part = 4 * static_cast<size_t>(dim);
  packed_set<R>(q, dim, keys, ask(), acc);
  keep_set<R>(acc, even);
  packed_set<R>(q + 8, dim, keys + 2 * part, ask(), acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++)
      _mm512_store_ps(even[r][g], _mm512_add_ps(acc[r][g], _mm512_load_ps(even[r][g])));
  packed_set<R>(q + 4, dim, keys + part, ask(), acc);
  keep_set<R>(acc, odd);
  packed_set<R>(q + 12, dim, keys + 3 * part, ask(), acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    __m512 t[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++)
      t[g] = _mm512_add_ps(_mm512_load_ps(even[r][g]),
                           _mm512_add_ps(acc[r][g], _mm512_load_ps(odd[r][g])));
    const auto halves = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    };
    const __m512 a = halves(t[0], t[1]), b = halves(t[2], t[3]);
    _mm512_storeu_ps(scores + r * stride,
                    _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)));
  }
}

}  // namespace
}  // namespace attention
}  // namespace pl
