// 16 lanes of f32 as an array: any CPU, any compiler. Included inside an anonymous namespace.
struct V {
  float x[16];
};
constexpr int kTileRows = 2;
constexpr int kTileVectors = 1;
constexpr int kWideRows = 2;
constexpr int kWideVectors = 1;

#define PL_EACH for (int i = 0; i < 16; i++)
inline V zero() { return V{}; }
inline V set1(float a) {
  V r;
  PL_EACH r.x[i] = a;
  return r;
}
inline V load(const float* p) {
  V r;
  std::memcpy(r.x, p, sizeof r.x);
  return r;
}
inline void store(float* p, V a) { std::memcpy(p, a.x, sizeof a.x); }
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, rest = h & 0x7fff;
  uint32_t bits;
  float r;
  if (rest >= 0x7c00) {
    bits = sign | 0x7f800000u | (rest & 0x3ff) << 13;
  } else if (rest >= 0x400) {
    bits = sign | ((rest << 13) + 0x38000000u);
  } else {
    r = static_cast<float>(rest) * 0x1p-24f;
    std::memcpy(&bits, &r, 4);
    bits |= sign;
  }
  std::memcpy(&r, &bits, 4);
  return r;
}
inline uint16_t float_to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t a = bits & 0x7fffffff;
  if (a > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);
  if (a >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);
  if (a >= 0x38800000u) {
    const uint32_t odd = a >> 13 & 1;
    return static_cast<uint16_t>(sign | ((a - 0x38000000u + 0xfff + odd) >> 13));
  }
  // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 rounds exactly there.
  float m;
  std::memcpy(&m, &a, 4);
  m += 0.5f;
  uint32_t r;
  std::memcpy(&r, &m, 4);
  return static_cast<uint16_t>(sign | (r - 0x3f000000u));
}
inline V set1_half(const void* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return set1(half_to_float(h));
}
inline V load_half(const void* p) {
  uint16_t h[16];
  std::memcpy(h, p, sizeof h);
  V r;
  PL_EACH r.x[i] = half_to_float(h[i]);
  return r;
}
inline V load_int8(const void* p) {
  V r;
  PL_EACH r.x[i] = static_cast<const int8_t*>(p)[i];
  return r;
}
inline void store_half(void* p, V a) {
  uint16_t h[16];
  PL_EACH h[i] = float_to_half(a.x[i]);
  std::memcpy(p, h, sizeof h);
}
inline V add(V a, V b) {
  PL_EACH a.x[i] += b.x[i];
  return a;
}
inline V sub(V a, V b) {
  PL_EACH a.x[i] -= b.x[i];
  return a;
}
inline V mul(V a, V b) {
  PL_EACH a.x[i] *= b.x[i];
  return a;
}
inline V div(V a, V b) {
  PL_EACH a.x[i] /= b.x[i];
  return a;
}
inline V fma(V a, V b, V c) {
#if defined(__FMA__) || defined(__aarch64__)
  PL_EACH c.x[i] = __builtin_fmaf(a.x[i], b.x[i], c.x[i]);
#else
  // Without the instruction a true fma is a slow library call; two roundings do as well here.
  PL_EACH c.x[i] += a.x[i] * b.x[i];
#endif
  return c;
}
inline V max(V a, V b) {
  PL_EACH b.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i];
  return b;
}
inline V min(V a, V b) {
  PL_EACH b.x[i] = a.x[i] < b.x[i] ? a.x[i] : b.x[i];
  return b;
}
inline V abs(V a) {
  PL_EACH a.x[i] = a.x[i] < 0 ? -a.x[i] : a.x[i];
  return a;
}
inline void store_int8(void* p, V a) {
  // |a| < 2^22: adding 1.5 * 2^23 leaves the nearest whole number, ties to even.
  PL_EACH static_cast<int8_t*>(p)[i] =
      static_cast<int8_t>((a.x[i] + 12582912.0f) - 12582912.0f);
}
// p * 2^n for the whole number n in the lowest bits of `shifted`, as addition to the exponent. For p = 1
// and n = -127 that is 0.
inline V add_exponent(V p, V shifted) {
  PL_EACH {
    uint32_t bits, n;
    std::memcpy(&bits, &p.x[i], 4);
    std::memcpy(&n, &shifted.x[i], 4);
    bits += n << 23;
    std::memcpy(&p.x[i], &bits, 4);
  }
  return p;
}
inline V in_range(V a, V b, int low, int high) {
  PL_EACH b.x[i] = i >= low && i < high ? a.x[i] : b.x[i];
  return b;
}
inline float sum(V a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a.x[i] += a.x[i + half];
  return a.x[0];
}
inline float maximum(V a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a.x[i] = a.x[i] > a.x[i + half] ? a.x[i] : a.x[i + half];
  return a.x[0];
}
#include "vec_whole.h"
inline void fold4(const Part (&t)[1][4], float* out) {
  for (int i = 0; i < 4; i++) out[i] = sum(t[0][i]);
}
inline void prefetch(const void*) {}
#undef PL_EACH
