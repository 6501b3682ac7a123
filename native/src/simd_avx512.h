// Vector operations of the AVX-512 VNNI path (Cascade Lake, Zen 4 and later).
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace pl {
namespace {

struct Avx512 {
  using I = __m512i;
  using V = __m512;
  static constexpr int W = 16, chains = 4, tile_rows = 16, real_rows = 6;
  static constexpr bool signed_products = false;

  static I zeros() { return _mm512_setzero_si512(); }
  static I load(const void* p) { return _mm512_loadu_si512(p); }
  static I bytes(int b) { return _mm512_set1_epi8(static_cast<char>(b)); }
  static I repeat32(const void* p) {
    int x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
  }
  static I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
  static I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
  static I bit_xor(I a, I b) { return _mm512_xor_si512(a, b); }
  template <int N>
  static I shl(I v) {
    return _mm512_slli_epi16(v, N);
  }
  template <int N>
  static I shr(I v) {
    return _mm512_srli_epi16(v, N);
  }
  static I lookup(const void* table, I v) {
    const __m128i t = _mm_load_si128(static_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), v);
  }
  static I dot(I sum, I w, I a) { return _mm512_dpbusd_epi32(sum, w, a); }
  static I dot_full(I sum, I w, I a) { return _mm512_dpbusd_epi32(sum, w, a); }

  static V zero() { return _mm512_setzero_ps(); }
  static V splat(float x) { return _mm512_set1_ps(x); }
  static V repeat(const float* p) { return _mm512_set1_ps(*p); }
  static V to_float(I v) { return _mm512_cvtepi32_ps(v); }
  static I round(V v) { return _mm512_cvtps_epi32(v); }
  static V pow2(I n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static V load_f32(const void* p) { return _mm512_loadu_ps(p); }
  static V load_f16(const void* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static __m512i u8(const void* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static V load_u8(const void* p) { return _mm512_cvtepi32_ps(u8(p)); }
  static V load_s8(const void* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static V load_low4(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_and_si512(u8(p), _mm512_set1_epi32(15)));
  }
  static V load_high4(const void* p) { return _mm512_cvtepi32_ps(_mm512_srli_epi32(u8(p), 4)); }
  static V load_e8m0(const void* p) {
    const I e = u8(p);
    const I normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const I tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), tiny));
  }
  template <int TYPE>
  static V load_real(const void* p) {
    if constexpr (TYPE == 0) return load_f32(p);
    if constexpr (TYPE == 1) return load_f16(p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))), 16));
  }
};

}  // namespace
}  // namespace pl
