// 16 lanes of f32 as four NEON registers. Included inside an anonymous namespace.
struct V {
  float32x4_t x[4];
};
constexpr int kTileRows = 5;
constexpr int kTileVectors = 1;
constexpr int kWideRows = 2;
constexpr int kWideVectors = 2;

#define PL_EACH for (int i = 0; i < 4; i++)
inline V set1(float a) {
  const float32x4_t v = vdupq_n_f32(a);
  return {{v, v, v, v}};
}
inline V zero() { return set1(0.0f); }
inline V load(const float* p) {
  return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
inline void store(float* p, V a) { PL_EACH vst1q_f32(p + 4 * i, a.x[i]); }
inline V load_half(const void* p) {
  const uint8_t* b = static_cast<const uint8_t*>(p);
  V r;
  PL_EACH r.x[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(b + 8 * i)));
  return r;
}
inline V set1_half(const void* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
  return {{x, x, x, x}};
}
inline V load_int8(const void* p) {
  const int8x16_t b = vld1q_s8(static_cast<const int8_t*>(p));
  const int16x8_t l = vmovl_s8(vget_low_s8(b)), h = vmovl_s8(vget_high_s8(b));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(l))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(l))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(h))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(h)))}};
}
inline void store_half(void* p, V a) {
  uint8_t* b = static_cast<uint8_t*>(p);
  PL_EACH vst1_u8(b + 8 * i, vreinterpret_u8_f16(vcvt_f16_f32(a.x[i])));
}
inline void store_int8(void* p, V a) {
  int16x4_t h[4];
  PL_EACH h[i] = vqmovn_s32(vcvtnq_s32_f32(a.x[i]));
  vst1q_s8(static_cast<int8_t*>(p), vcombine_s8(vqmovn_s16(vcombine_s16(h[0], h[1])),
                                                vqmovn_s16(vcombine_s16(h[2], h[3]))));
}
inline V add(V a, V b) {
  PL_EACH a.x[i] = vaddq_f32(a.x[i], b.x[i]);
  return a;
}
inline V sub(V a, V b) {
  PL_EACH a.x[i] = vsubq_f32(a.x[i], b.x[i]);
  return a;
}
inline V mul(V a, V b) {
  PL_EACH a.x[i] = vmulq_f32(a.x[i], b.x[i]);
  return a;
}
inline V div(V a, V b) {
  PL_EACH a.x[i] = vdivq_f32(a.x[i], b.x[i]);
  return a;
}
inline V fma(V a, V b, V c) {
  PL_EACH c.x[i] = vfmaq_f32(c.x[i], a.x[i], b.x[i]);
  return c;
}
// NaN when one is NaN.
inline V max(V a, V b) {
  PL_EACH a.x[i] = vmaxq_f32(a.x[i], b.x[i]);
  return a;
}
inline V min(V a, V b) {
  PL_EACH a.x[i] = vminq_f32(a.x[i], b.x[i]);
  return a;
}
inline V abs(V a) {
  PL_EACH a.x[i] = vabsq_f32(a.x[i]);
  return a;
}
// p * 2^n for the whole number n in the lowest bits of `shifted`, as addition to the exponent. For p = 1
// and n = -127 that is 0.
inline V add_exponent(V p, V shifted) {
  PL_EACH p.x[i] = vreinterpretq_f32_s32(
      vaddq_s32(vreinterpretq_s32_f32(p.x[i]), vshlq_n_s32(vreinterpretq_s32_f32(shifted.x[i]), 23)));
  return p;
}
// Lanes in [low, high) of a, other lanes of b. Both limits may lie outside 0..16.
inline V in_range(V a, V b, int low, int high) {
  static const int32_t first[4] = {0, 1, 2, 3};
  const int32x4_t lane = vld1q_s32(first);
  PL_EACH {
    const uint32x4_t in = vandq_u32(vcgeq_s32(lane, vdupq_n_s32(low - 4 * i)),
                                    vcltq_s32(lane, vdupq_n_s32(high - 4 * i)));
    b.x[i] = vbslq_f32(in, a.x[i], b.x[i]);
  }
  return b;
}
// Sum of the lanes as a fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1).
inline float sum(V a) {
  const float32x4_t q =
      vaddq_f32(vaddq_f32(a.x[0], a.x[2]), vaddq_f32(a.x[1], a.x[3]));
  const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
  return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
inline float maximum(V a) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.x[0], a.x[2]), vmaxq_f32(a.x[1], a.x[3])));
}
// A quarter of a vector: scores take it register by register, to have more rows at once.
struct Part {
  float32x4_t x;
};
constexpr int kParts = 4;
inline Part part_zero() { return {vdupq_n_f32(0.0f)}; }
inline Part part_load(const float* p) { return {vld1q_f32(p)}; }
inline Part part_of(V a, int part) { return {a.x[part]}; }
inline Part part_fma(Part a, Part b, Part c) { return {vfmaq_f32(c.x, a.x, b.x)}; }
// sum() of four vectors.
inline void fold4(const Part (&t)[4][4], float* out) {
  float64x2_t h[4];
  for (int i = 0; i < 4; i++)
    h[i] = vreinterpretq_f64_f32(
        vaddq_f32(vaddq_f32(t[0][i].x, t[2][i].x), vaddq_f32(t[1][i].x, t[3][i].x)));
  const auto halves = [](float64x2_t a, float64x2_t b) {
    return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)));
  };
  vst1q_f32(out, vpaddq_f32(halves(h[0], h[1]), halves(h[2], h[3])));
}
inline void prefetch(const void* p) { __builtin_prefetch(p); }
#undef PL_EACH
