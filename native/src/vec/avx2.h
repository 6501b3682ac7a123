// Vector operations of the AVX2 path, and of AVX-VNNI where the compiler is told that it may.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "quantize_block.h"

namespace pl {
namespace {

struct Avx2 {
  using I = __m256i;
  using V = __m256;
  static constexpr int W = 8, tile_rows = 8, real_rows = 2, streamed_rows = 4;
  static constexpr bool looks_up_bytes = false;
#if defined(__AVXVNNI__)
  static constexpr int chains = 8;
  static constexpr bool signed_products = false, pairs_of_products = false, float_sums = true;
#else
  static constexpr int chains = 4;
  static constexpr bool signed_products = true, pairs_of_products = true, float_sums = true;
#endif

  static I zeros() { return _mm256_setzero_si256(); }
  static I load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static I bytes(int b) { return _mm256_set1_epi8(static_cast<char>(b)); }
  static I repeat32(const void* p) {
    int x;
    memcpy(&x, p, 4);
    return _mm256_set1_epi32(x);
  }
  static I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
  static I bit_or(I a, I b) { return _mm256_or_si256(a, b); }
  static I bit_xor(I a, I b) { return _mm256_xor_si256(a, b); }
  static I add_whole(I a, I b) { return _mm256_add_epi32(a, b); }
  template <int N>
  static I shl(I v) {
    return _mm256_slli_epi16(v, N);
  }
  template <int N>
  static I shr(I v) {
    return _mm256_srli_epi16(v, N);
  }
  static I lookup(const void* table, I v) {
    const __m128i t = _mm_load_si128(static_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), v);
  }
#if defined(__AVXVNNI__)
  static I dot(I sum, I w, const int8_t* a) {
    return _mm256_dpbusd_avx_epi32(sum, w, repeat32(a));
  }
  static I dot_full(I sum, I w, const int8_t* a) { return dot(sum, w, a); }
#else
  // 16-bit sums of two products each, of w below 64.
  static I pairs(I w, const int8_t* a) { return _mm256_maddubs_epi16(w, repeat32(a)); }
  // By hand: GCC puts sums of the intrinsic in another order, makes all pairs first and runs out of registers.
  static I add_pairs(I a, I b) {
    __asm__("vpaddw %1, %0, %0" : "+x"(a) : "xm"(b));
    return a;
  }
  static I add_folded(I sum, I pairs) {
    return add_whole(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  // w signed: |w| times a with w's sign. At most 2 * 128 * 127 = 32512, so nothing saturates.
  static I dot_full(I sum, I w, const int8_t* a) {
    return add_folded(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(repeat32(a), w)));
  }
#endif

  static V zero() { return _mm256_setzero_ps(); }
  static V splat(float x) { return _mm256_set1_ps(x); }
  static V repeat(const float* p) { return _mm256_broadcast_ss(p); }
  static V to_float(I v) { return _mm256_cvtepi32_ps(v); }
  static I round(V v) { return _mm256_cvtps_epi32(v); }
  static V pow2(I n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
  static V fms(V a, V b, V c) { return _mm256_fmsub_ps(a, b, c); }
  static V as_float(I bits) { return _mm256_castsi256_ps(bits); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static V load_f32(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static V load_f16(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static I u8(const void* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
  }
  static V load_u8(const void* p) { return _mm256_cvtepi32_ps(u8(p)); }
  static V load_s8(const void* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  static V load_low4(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(u8(p), _mm256_set1_epi32(15)));
  }
  static V load_high4(const void* p) { return _mm256_cvtepi32_ps(_mm256_srli_epi32(u8(p), 4)); }
  static V load_middle3(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(u8(p), 4), _mm256_set1_epi32(7)));
  }
  static V load_ue4m3(const void* p) {
    return mul(_mm256_castsi256_ps(_mm256_slli_epi32(u8(p), 20)), splat(0x1p119f));
  }
  static V load_e8m0(const void* p) {
    const I e = u8(p);
    const I normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const I tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const I small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, small));
  }
  static void quantize32(const float* x, int8_t* q, float& scale, int16_t& first, int16_t& second) {
    pl::quantize32(x, q, scale, first, second);
  }

  // What lanes.h asks for. Rows and vectors of a tile of attention: of query rows, of elements of values, and of
  // those with so few rows that there may be more vectors.
  static constexpr int query_rows = 3, value_vectors = 2, wide_rows = 1, wide_vectors = 4;
  static V fused(V a, V b, V c) { return fma(a, b, c); }
  static V abs(V a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static V splat_f16(const void* p) {
    short h;
    memcpy(&h, p, 2);
    return _mm256_cvtph_ps(_mm_set1_epi16(h));
  }
  static void store_f16(void* p, V v) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static void load_16_s8(const void* p, V (&x)[2]) {
    const __m128i b = _mm_loadu_si128(static_cast<const __m128i*>(p));
    x[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b));
    x[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(b, 8)));
  }
  static void store_16_s8(void* p, const V (&x)[2]) {
    const __m256i a = _mm256_cvtps_epi32(x[0]), b = _mm256_cvtps_epi32(x[1]);
    const __m128i low = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    const __m128i high = _mm_packs_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packs_epi16(low, high));
  }
  static V add_exponent(V p, V shifted) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
  }
  static V between(V a, V b, int low, int high) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i out = _mm256_cmpgt_epi32(_mm256_set1_epi32(low), lane);
    const __m256i in = _mm256_cmpgt_epi32(_mm256_set1_epi32(high), lane);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(_mm256_andnot_si256(out, in)));
  }
  static float sum_16(const V (&x)[2]) {
    const V h = _mm256_add_ps(x[0], x[1]);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
  }
  static float maximum_16(const V (&x)[2]) {
    const V h = _mm256_max_ps(x[0], x[1]);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
  }
  static void fold_16(const V (&t)[2][4], float* out) {
    V h[4];
    for (int i = 0; i < 4; i++) h[i] = _mm256_add_ps(t[0][i], t[1][i]);
    const auto halves = [](V a, V b) {
      return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    };
    const V a = halves(h[0], h[1]), b = halves(h[2], h[3]);
    // a: 4 lanes each of vectors 0 and 1; b: of 2 and 3.
    const V c = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    const V d = _mm256_add_ps(_mm256_shuffle_ps(c, c, 0x88), _mm256_shuffle_ps(c, c, 0xdd));
    // d: sums of 0, 2 in the low half and of 1, 3 in the high one.
    _mm_storeu_ps(out, _mm_unpacklo_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1)));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
  template <int TYPE>
  static V load_real(const void* p) {
    if constexpr (TYPE == 0) return load_f32(p);
    if constexpr (TYPE == 1) return load_f16(p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))), 16));
  }
};

}  // namespace
}  // namespace pl
