// Sixteen lanes of f32 in as many registers as the path needs: what attention is written over. Its sums are folded
// by lane, so that all paths have the same order.
#pragma once
#include <stdint.h>

#include "../common/inline.h"
#include "own.h"

namespace pl {
namespace {

constexpr int kRegisters = 16 / Own::W;
struct V {
  Own::V x[kRegisters];
};

#define PL_EACH PL_UNROLL for (int i = 0; i < kRegisters; i++)
PL_INLINE V set1(float a) {
  V r;
  PL_EACH r.x[i] = Own::splat(a);
  return r;
}
PL_INLINE V zero() {
  V r;
  PL_EACH r.x[i] = Own::zero();
  return r;
}
PL_INLINE V load(const float* p) {
  V r;
  PL_EACH r.x[i] = Own::load_f32(p + Own::W * i);
  return r;
}
PL_INLINE void store(float* p, V a) { PL_EACH Own::store(p + Own::W * i, a.x[i]); }
// The first `n` lanes; where they are read, the others are 0.
inline V load_some(const float* p, int64_t n) {
  if (n >= 16) return load(p);
  alignas(64) float t[16] = {};
  for (int64_t i = 0; i < n; i++) t[i] = p[i];
  return load(t);
}
inline void store_some(float* p, V a, int64_t n) {
  if (n >= 16) return store(p, a);
  alignas(64) float t[16];
  store(t, a);
  for (int64_t i = 0; i < n; i++) p[i] = t[i];
}
PL_INLINE V load_half(const void* p) {
  V r;
  PL_EACH r.x[i] = Own::load_f16(static_cast<const uint8_t*>(p) + 2 * Own::W * i);
  return r;
}
PL_INLINE void store_half(void* p, V a) { PL_EACH Own::store_f16(static_cast<uint8_t*>(p) + 2 * Own::W * i, a.x[i]); }
PL_INLINE V set1_half(const void* p) {
  const Own::V x = Own::splat_f16(p);
  V r;
  PL_EACH r.x[i] = x;
  return r;
}
PL_INLINE V load_int8(const void* p) {
  V r;
  Own::load_16_s8(p, r.x);
  return r;
}
// To the nearest whole numbers, |a| < 128.
PL_INLINE void store_int8(void* p, V a) { Own::store_16_s8(p, a.x); }
PL_INLINE V add(V a, V b) {
  PL_EACH a.x[i] = Own::add(a.x[i], b.x[i]);
  return a;
}
PL_INLINE V sub(V a, V b) {
  PL_EACH a.x[i] = Own::sub(a.x[i], b.x[i]);
  return a;
}
PL_INLINE V mul(V a, V b) {
  PL_EACH a.x[i] = Own::mul(a.x[i], b.x[i]);
  return a;
}
PL_INLINE V div(V a, V b) {
  PL_EACH a.x[i] = Own::div(a.x[i], b.x[i]);
  return a;
}
PL_INLINE V fma(V a, V b, V c) {
  PL_EACH c.x[i] = Own::fused(a.x[i], b.x[i], c.x[i]);
  return c;
}
// The second operand when one is NaN; on NEON NaN.
PL_INLINE V max(V a, V b) {
  PL_EACH b.x[i] = Own::max(a.x[i], b.x[i]);
  return b;
}
PL_INLINE V min(V a, V b) {
  PL_EACH b.x[i] = Own::min(a.x[i], b.x[i]);
  return b;
}
PL_INLINE V abs(V a) {
  PL_EACH a.x[i] = Own::abs(a.x[i]);
  return a;
}
// p * 2^n for the whole number n in the lowest bits of `shifted`, as addition to the exponent. For p = 1
// and n = -127 that is 0.
PL_INLINE V add_exponent(V p, V shifted) {
  PL_EACH p.x[i] = Own::add_exponent(p.x[i], shifted.x[i]);
  return p;
}
// Lanes in [low, high) of a, other lanes of b. Both limits may lie outside 0..16.
PL_INLINE V in_range(V a, V b, int low, int high) {
  PL_EACH b.x[i] = Own::between(a.x[i], b.x[i], low - Own::W * i, high - Own::W * i);
  return b;
}
// Sum of the lanes as a fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1).
PL_INLINE float sum(V a) { return Own::sum_16(a.x); }
PL_INLINE float maximum(V a) { return Own::maximum_16(a.x); }
// sum() of four vectors, t[register][vector].
PL_INLINE void fold4(const Own::V (&t)[kRegisters][4], float* out) { Own::fold_16(t, out); }
#undef PL_EACH

PL_INLINE void prefetch(const void* p) { Own::prefetch(p); }

}  // namespace
}  // namespace pl
