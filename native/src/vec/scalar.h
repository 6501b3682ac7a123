// Vector operations in plain C++ (the compiler's 16-byte vectors), for any little-endian machine.
// Multiply and add are two roundings here, on every machine: a fused one would be a library call on old ones, and this
// is the path whose bytes are the same on all of them.
#pragma once
#include <stdint.h>
#include <string.h>

#include "half.h"
#include "quantize_block.h"

namespace pl {
namespace {

struct Scalar {
  typedef int32_t I __attribute__((vector_size(16)));
  typedef float V __attribute__((vector_size(16)));
  typedef int16_t H __attribute__((vector_size(16)));
  typedef uint16_t UH __attribute__((vector_size(16)));
  static constexpr int W = 4, chains = 2, tile_rows = 4, real_rows = 2, streamed_rows = 0;
  static constexpr bool signed_products = true, pairs_of_products = false, float_sums = false;
  static constexpr bool looks_up_bytes = false;

  static I zeros() { return I{0, 0, 0, 0}; }
  static I load(const void* p) {
    I v;
    memcpy(&v, p, 16);
    return v;
  }
  static I splat_i(int x) { return I{x, x, x, x}; }
  static I bytes(int b) { return splat_i(static_cast<int>((b & 255) * 0x01010101u)); }
  static I repeat32(const void* p) {
    int x;
    memcpy(&x, p, 4);
    return splat_i(x);
  }
  static I bit_and(I a, I b) { return a & b; }
  static I bit_or(I a, I b) { return a | b; }
  static I bit_xor(I a, I b) { return a ^ b; }
  static I add_whole(I a, I b) { return a + b; }
  template <int N>
  static I shl(I v) {
    return (I)((UH)v << N);
  }
  template <int N>
  static I shr(I v) {
    return (I)((UH)v >> N);
  }
  static I lookup(const void* table, I v) {
    uint8_t in[16], out[16];
    memcpy(in, &v, 16);
    for (int i = 0; i < 16; ++i) out[i] = static_cast<const uint8_t*>(table)[in[i] & 15];
    return load(out);
  }
  // Signed bytes times signed bytes; two products of at most 128 * 127 fit 16 bits.
  static I dot(I sum, I w, const int8_t* q) {
    const I a = repeat32(q);
    const H even = (H)((UH)w << 8) >> 8, odd = (H)w >> 8;
    const H even_a = (H)((UH)a << 8) >> 8, odd_a = (H)a >> 8;
    const H pairs = even * even_a + odd * odd_a;
    const I low = (I)((I)pairs << 16) >> 16, high = (I)pairs >> 16;
    return sum + low + high;
  }
  static I dot_full(I sum, I w, const int8_t* q) { return dot(sum, w, q); }

  static V zero() { return V{0, 0, 0, 0}; }
  static V splat(float x) { return V{x, x, x, x}; }
  static V repeat(const float* p) { return splat(*p); }
  static V to_float(I v) { return __builtin_convertvector(v, V); }
  static I round(V v) {
    const V shifted = v + splat(12582912.0f);
    I bits;
    memcpy(&bits, &shifted, 16);
    return bits - splat_i(0x4b400000);
  }
  static V pow2(I n) {
    const I bits = (n + splat_i(127)) << 23;
    V v;
    memcpy(&v, &bits, 16);
    return v;
  }
  static V add(V a, V b) { return a + b; }
  static V sub(V a, V b) { return a - b; }
  static V mul(V a, V b) { return a * b; }
  static V div(V a, V b) { return a / b; }
  static V min(V a, V b) { return a < b ? a : b; }
  static V max(V a, V b) { return a > b ? a : b; }
  static V fma(V a, V b, V c) { return a * b + c; }
  static V fnma(V a, V b, V c) { return c - a * b; }
  static void store(float* p, V v) { memcpy(p, &v, 16); }
  static V load_f32(const void* p) {
    V v;
    memcpy(&v, p, 16);
    return v;
  }
  static V load_f16(const void* p) {
    uint16_t h[4];
    memcpy(h, p, 8);
    return V{half_to_float(h[0]), half_to_float(h[1]), half_to_float(h[2]), half_to_float(h[3])};
  }
  static I u8(const void* p) {
    const uint8_t* b = static_cast<const uint8_t*>(p);
    return I{b[0], b[1], b[2], b[3]};
  }
  static V load_u8(const void* p) { return to_float(u8(p)); }
  static V load_s8(const void* p) {
    const int8_t* b = static_cast<const int8_t*>(p);
    return to_float(I{b[0], b[1], b[2], b[3]});
  }
  static V load_low4(const void* p) { return to_float(u8(p) & splat_i(15)); }
  static V load_high4(const void* p) { return to_float(u8(p) >> 4); }
  static V load_middle3(const void* p) { return to_float((u8(p) >> 4) & splat_i(7)); }
  static V load_ue4m3(const void* p) {
    const I bits = u8(p) << 20;
    return mul(load_f32(&bits), splat(0x1p119f));
  }
  static V load_e8m0(const void* p) {
    const I e = u8(p);
    uint32_t bits[4];
    for (int i = 0; i < 4; ++i)
      bits[i] = e[i] < 2 ? 0x00200000u << e[i] : static_cast<uint32_t>(e[i] - 1) << 23;
    return load_f32(bits);
  }
  static void quantize32(const float* x, int8_t* q, float& scale, int16_t& first, int16_t& second) {
    pl::quantize32(x, q, scale, first, second);
  }

  // What lanes.h asks for. Rows and vectors of a tile of attention: of query rows, of elements of values, and of
  // those with so few rows that there may be more vectors.
  static constexpr int query_rows = 2, value_vectors = 1, wide_rows = 2, wide_vectors = 1;
  static V fused(V a, V b, V c) { return fma(a, b, c); }
  static V abs(V a) { return a < 0 ? -a : a; }
  static V splat_f16(const void* p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return splat(half_to_float(h));
  }
  static void store_f16(void* p, V v) {
    uint16_t h[W];
    for (int i = 0; i < W; i++) h[i] = float_to_half(v[i]);
    memcpy(p, h, sizeof h);
  }
  static void load_16_s8(const void* p, V (&x)[4]) {
    for (int i = 0; i < 4; i++) x[i] = load_s8(static_cast<const int8_t*>(p) + W * i);
  }
  static void store_16_s8(void* p, const V (&x)[4]) {
    for (int i = 0; i < 16; i++) {
      // |x| < 2^22: adding 1.5 * 2^23 leaves the nearest whole number, ties to even.
      static_cast<int8_t*>(p)[i] = static_cast<int8_t>((x[i / W][i % W] + 12582912.0f) - 12582912.0f);
    }
  }
  static V add_exponent(V p, V shifted) {
    I bits, n;
    memcpy(&bits, &p, 16);
    memcpy(&n, &shifted, 16);
    bits += n << 23;
    memcpy(&p, &bits, 16);
    return p;
  }
  static V between(V a, V b, int low, int high) {
    const I lane = {0, 1, 2, 3};
    return lane >= splat_i(low) && lane < splat_i(high) ? a : b;
  }
  static float sum_16(const V (&x)[4]) {
    const V q = (x[0] + x[2]) + (x[1] + x[3]);
    return (q[0] + q[2]) + (q[1] + q[3]);
  }
  static float maximum_16(const V (&x)[4]) {
    const V q = max(max(x[0], x[2]), max(x[1], x[3]));
    const float even = q[0] > q[2] ? q[0] : q[2], odd = q[1] > q[3] ? q[1] : q[3];
    return even > odd ? even : odd;
  }
  static void fold_16(const V (&t)[4][4], float* out) {
    for (int i = 0; i < 4; i++) {
      const V own[4] = {t[0][i], t[1][i], t[2][i], t[3][i]};
      out[i] = sum_16(own);
    }
  }
  static void prefetch(const void*) {}
  template <int TYPE>
  static V load_real(const void* p) {
    if constexpr (TYPE == 0) return load_f32(p);
    if constexpr (TYPE == 1) return load_f16(p);
    uint16_t h[4];
    memcpy(h, p, 8);
    const uint32_t bits[4] = {uint32_t{h[0]} << 16, uint32_t{h[1]} << 16, uint32_t{h[2]} << 16,
                              uint32_t{h[3]} << 16};
    return load_f32(bits);
  }
};

}  // namespace
}  // namespace pl
