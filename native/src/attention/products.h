// The two products over tiles of query rows: scores of keys, weighted sums of values.
#pragma once
#include <type_traits>

#include "../vec/lanes.h"
#include "read.h"

namespace pl {
namespace attention {
namespace {

// Every kRegisters-th part of the chains of R rows and four keys.
template <int R, int Type>
inline void score_part(const float* q, int dim, const uint8_t* const* keys, int part,
                       const Ahead& ahead, Own::V (&acc)[R][4]) {
  const uint8_t *k0 = keys[0], *k1 = keys[1], *k2 = keys[2], *k3 = keys[3];
  constexpr int line = Type == PL_CACHE_F32 ? 16 : 32;  // elements
  PL_UNROLL for (int r = 0; r < R; r++)
    PL_UNROLL for (int i = 0; i < 4; i++) acc[r][i] = Own::zero();
  for (int d = 0; d < dim; d += 16) {
    if (ahead.base && d % line == 0)
      PL_UNROLL for (int i = 0; i < 4; i++)
        prefetch(ahead.base + i * ahead.step + offset_of<Type>(d));
    const Own::V k[4] = {read16<Type>(k0, d).x[part], read16<Type>(k1, d).x[part],
                       read16<Type>(k2, d).x[part], read16<Type>(k3, d).x[part]};
    PL_UNROLL for (int r = 0; r < R; r++) {
      const Own::V a = Own::load_f32(q + r * dim + d + part * (16 / kRegisters));
      PL_UNROLL for (int i = 0; i < 4; i++) acc[r][i] = Own::fused(a, k[i], acc[r][i]);
    }
  }
}
// scores[r][0..3] = q[r] . key i, for R rows; rows of q lie `dim` (a multiple of 16) apart.
template <int R, int Type>
inline void score_tile(const float* q, int dim, const uint8_t* const* keys, const Ahead& ahead,
                       float* scores) {
  Own::V acc[R][kRegisters][4];
  PL_UNROLL for (int p = 0; p < kRegisters; p++) {
    Own::V own[R][4];
    score_part<R, Type>(q, dim, keys, p, ahead, own);
    PL_UNROLL for (int r = 0; r < R; r++)
      PL_UNROLL for (int i = 0; i < 4; i++) acc[r][p][i] = own[r][i];
  }
  PL_UNROLL for (int r = 0; r < R; r++) fold4(acc[r], scores + r * kBlock);
}

constexpr int kValueWidth = 16 * Own::value_vectors;  // elements of values in the buffer
constexpr int kValueStep = 8;  // converted positions between two requests for rows

// Values as they lie in a cache: rows that are ahead are asked for row by row, `copy` unless null gets
// the values as f32.
template <int Type>
struct Stored {
  Ahead ahead;
  float* copy;
  template <int N>
  void step(int j, const V (&v)[N]) {
    constexpr int bytes = N * (Type == PL_CACHE_F32 ? 64 : Type == PL_CACHE_F16 ? 32 : 17);
    for (int b = 0; b < bytes; b += 64) prefetch(ahead.base + b);
    ahead.base += ahead.step;
    if (copy) PL_UNROLL for (int n = 0; n < N; n++) store(copy + j * kValueWidth + 16 * n, v[n]);
  }
  Stored from(int d) const {
    return {{ahead.base + offset_of<Type>(d), ahead.step}, copy ? copy + d : nullptr};
  }
};
// Values that were converted: the unit's rows are asked for.
struct Converted {
  Fetch& fetch;
  Lines lines;
  template <int N>
  void step(int j, const V (&)[N]) {
    if (j % kValueStep == 0) lines = fetch.take(kValueStep, this);
    lines.next();
  }
  Converted from(int) const { return *this; }
};

// state[r] = state[r] * scale[r] + sum over positions [low, high) of p[r][j] * values[j], from element d
// of the rows of values, which lie `stride` bytes apart. side.step() gets every position's values.
template <int R, int N, int Type, class Side>
inline void value_tile(float* state, int state_stride, const float* scale, const float* p,
                       const uint8_t* values, int64_t stride, int d, int low, int high, Side side) {
  V acc[R][N];
  PL_UNROLL for (int r = 0; r < R; r++) {
    const V s = set1(scale[r]);
    PL_UNROLL for (int n = 0; n < N; n++)
      acc[r][n] = mul(load(state + r * state_stride + 16 * n), s);
  }
  for (int j = low; j < high; j++) {
    const uint8_t* own = values + j * stride;
    V v[N];
    PL_UNROLL for (int n = 0; n < N; n++) v[n] = read16<Type>(own, d + 16 * n);
    side.step(j, v);
    PL_UNROLL for (int r = 0; r < R; r++) {
      const V a = set1(p[r * kBlock + j]);
      PL_UNROLL for (int n = 0; n < N; n++) acc[r][n] = fma(a, v[n], acc[r][n]);
    }
  }
  PL_UNROLL for (int r = 0; r < R; r++)
    PL_UNROLL for (int n = 0; n < N; n++) store(state + r * state_stride + 16 * n, acc[r][n]);
}
// The same for `count` elements from d, a multiple of 16, N vectors at a time.
template <int R, int N, int Type, class Side>
void value_rows(float* state, int state_stride, const float* scale, const float* p,
                const uint8_t* values, int64_t stride, int d, int count, int low, int high,
                const Side& side) {
  int i = 0;
  for (; i + 16 * N <= count; i += 16 * N)
    value_tile<R, N, Type>(state + i, state_stride, scale, p, values, stride, d + i, low, high,
                           side.from(i));
  if constexpr (N > 1)
    if (i < count)
      value_rows<R, N / 2, Type>(state + i, state_stride, scale, p, values, stride, d + i, count - i,
                                 low, high, side.from(i));
}

// Calls f with a compile-time number of rows: tiles of at most Own::query_rows, as equal as they can be.
template <int Most = Own::query_rows, class F>
inline void with_rows(int count, int r, F& f) {
  if constexpr (Most > 1)
    if (count < Most) return with_rows<Most - 1>(count, r, f);
  f(std::integral_constant<int, Most>(), r);
}
template <class F>
inline void by_rows(int rows, F f) {
  for (int r = 0, tiles = (rows + Own::query_rows - 1) / Own::query_rows; tiles > 0; tiles--) {
    const int count = (rows - r + tiles - 1) / tiles;
    with_rows(count, r, f);
    r += count;
  }
}

}  // namespace
}  // namespace attention
}  // namespace pl
