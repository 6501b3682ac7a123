// Vector operations of the NEON path (aarch64 with the dot product extension).
#pragma once
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "quantize_block.h"

namespace pl {
namespace {

struct Neon {
  using I = int32x4_t;
  using V = float32x4_t;
  static constexpr int W = 4, chains = 4, tile_rows = 8, real_rows = 4, streamed_rows = 4;
  static constexpr bool signed_products = true, pairs_of_products = false, float_sums = false;
  static constexpr bool looks_up_bytes = false;

  static I zeros() { return vdupq_n_s32(0); }
  static I load(const void* p) {
    return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  static I bytes(int b) { return vreinterpretq_s32_u8(vdupq_n_u8(static_cast<uint8_t>(b))); }
  static I repeat32(const void* p) {
    int32_t x;
    memcpy(&x, p, 4);
    return vdupq_n_s32(x);
  }
  static I bit_and(I a, I b) { return vandq_s32(a, b); }
  static I bit_or(I a, I b) { return vorrq_s32(a, b); }
  static I bit_xor(I a, I b) { return veorq_s32(a, b); }
  static I add_whole(I a, I b) { return vaddq_s32(a, b); }
  template <int N>
  static I shl(I v) {
    return vreinterpretq_s32_u16(vshlq_n_u16(vreinterpretq_u16_s32(v), N));
  }
  template <int N>
  static I shr(I v) {
    return vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(v), N));
  }
  static I lookup(const void* table, I v) {
    return vreinterpretq_s32_u8(
        vqtbl1q_u8(vld1q_u8(static_cast<const uint8_t*>(table)), vreinterpretq_u8_s32(v)));
  }
  static I dot(I sum, I w, const int8_t* a) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(repeat32(a)));
  }
  static I dot_full(I sum, I w, const int8_t* a) { return dot(sum, w, a); }

  static V zero() { return vdupq_n_f32(0); }
  static V splat(float x) { return vdupq_n_f32(x); }
  static V repeat(const float* p) { return vld1q_dup_f32(p); }
  static V to_float(I v) { return vcvtq_f32_s32(v); }
  static I round(V v) { return vcvtnq_s32_f32(v); }
  static V pow2(I n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  static V add(V a, V b) { return vaddq_f32(a, b); }
  static V sub(V a, V b) { return vsubq_f32(a, b); }
  static V mul(V a, V b) { return vmulq_f32(a, b); }
  static V div(V a, V b) { return vdivq_f32(a, b); }
  static V min(V a, V b) { return vminq_f32(a, b); }
  static V max(V a, V b) { return vmaxq_f32(a, b); }
  static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  static V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }
  static void store(float* p, V v) { vst1q_f32(p, v); }
  static V load_f32(const void* p) { return vld1q_f32(static_cast<const float*>(p)); }
  static V load_f16(const void* p) {
    uint16x4_t h;
    memcpy(&h, p, 8);
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
  }
  static uint32x4_t u8(const void* p) {
    uint32_t x;
    memcpy(&x, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(x))));
  }
  static V load_u8(const void* p) { return vcvtq_f32_u32(u8(p)); }
  static V load_s8(const void* p) {
    uint32_t x;
    memcpy(&x, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(x)))));
  }
  static V load_low4(const void* p) { return vcvtq_f32_u32(vandq_u32(u8(p), vdupq_n_u32(15))); }
  static V load_high4(const void* p) { return vcvtq_f32_u32(vshrq_n_u32(u8(p), 4)); }
  static V load_middle3(const void* p) {
    return vcvtq_f32_u32(vandq_u32(vshrq_n_u32(u8(p), 4), vdupq_n_u32(7)));
  }
  static V load_ue4m3(const void* p) {
    return mul(vreinterpretq_f32_u32(vshlq_n_u32(u8(p), 20)), splat(0x1p119f));
  }
  static V load_e8m0(const void* p) {
    const uint32x4_t e = u8(p);
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal));
  }
  static void quantize32(const float* x, int8_t* q, float& scale, int16_t& first, int16_t& second) {
    pl::quantize32(x, q, scale, first, second);
  }

  // What lanes.h asks for. Rows and vectors of a tile of attention: of query rows, of elements of values, and of
  // those with so few rows that there may be more vectors.
  static constexpr int query_rows = 5, value_vectors = 1, wide_rows = 2, wide_vectors = 2;
  static V fused(V a, V b, V c) { return fma(a, b, c); }
  static V abs(V a) { return vabsq_f32(a); }
  static V splat_f16(const void* p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
  }
  static void store_f16(void* p, V v) {
    vst1_u8(static_cast<uint8_t*>(p), vreinterpret_u8_f16(vcvt_f16_f32(v)));
  }
  static void load_16_s8(const void* p, V (&x)[4]) {
    const int8x16_t b = vld1q_s8(static_cast<const int8_t*>(p));
    const int16x8_t l = vmovl_s8(vget_low_s8(b)), h = vmovl_s8(vget_high_s8(b));
    x[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(l)));
    x[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(l)));
    x[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(h)));
    x[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(h)));
  }
  static void store_16_s8(void* p, const V (&x)[4]) {
    int16x4_t h[4];
    for (int i = 0; i < 4; i++) h[i] = vqmovn_s32(vcvtnq_s32_f32(x[i]));
    vst1q_s8(static_cast<int8_t*>(p),
             vcombine_s8(vqmovn_s16(vcombine_s16(h[0], h[1])), vqmovn_s16(vcombine_s16(h[2], h[3]))));
  }
  static V add_exponent(V p, V shifted) {
    return vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23)));
  }
  static V between(V a, V b, int low, int high) {
    static const int32_t first[4] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(first);
    return vbslq_f32(vandq_u32(vcgeq_s32(lane, vdupq_n_s32(low)), vcltq_s32(lane, vdupq_n_s32(high))), a, b);
  }
  static float sum_16(const V (&x)[4]) {
    const V q = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
    const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
  }
  static float maximum_16(const V (&x)[4]) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x[0], x[2]), vmaxq_f32(x[1], x[3])));
  }
  static void fold_16(const V (&t)[4][4], float* out) {
    float64x2_t h[4];
    for (int i = 0; i < 4; i++)
      h[i] = vreinterpretq_f64_f32(vaddq_f32(vaddq_f32(t[0][i], t[2][i]), vaddq_f32(t[1][i], t[3][i])));
    const auto halves = [](float64x2_t a, float64x2_t b) {
      return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)));
    };
    vst1q_f32(out, vpaddq_f32(halves(h[0], h[1]), halves(h[2], h[3])));
  }
  static void prefetch(const void* p) { __builtin_prefetch(p); }
  template <int TYPE>
  static V load_real(const void* p) {
    if constexpr (TYPE == 0) return load_f32(p);
    if constexpr (TYPE == 1) return load_f16(p);
    uint16x4_t h;
    memcpy(&h, p, 8);
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
  }
};

}  // namespace
}  // namespace pl
