// Vector operations of the AVX-512 VNNI path (Cascade Lake, Zen 4 and later).
#pragma once

// GCC 12 warns about the deliberately undefined operands inside its own intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace pl {
namespace {

struct Avx512 {
  using I = __m512i;
  using V = __m512;
  static constexpr int W = 16, chains = 12, tile_rows = 16, real_rows = 6, streamed_rows = 4;
  static constexpr bool signed_products = false, pairs_of_products = false, float_sums = true;
  static constexpr bool looks_up_bytes = false;

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
  static I add_whole(I a, I b) { return _mm512_add_epi32(a, b); }
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
  // One instruction with the broadcast in it. GCC makes two of the intrinsics, which fill the front end
  // of cores that start two products a cycle.
  static I dot(I sum, I w, const int8_t* a) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(sum)
            : "v"(w), "m"(*reinterpret_cast<const int8_t(*)[4]>(a)));
    return sum;
  }
  static I dot_full(I sum, I w, const int8_t* a) { return dot(sum, w, a); }

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
  static V fms(V a, V b, V c) { return _mm512_fmsub_ps(a, b, c); }
  static V as_float(I bits) { return _mm512_castsi512_ps(bits); }
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
  static V load_middle3(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(u8(p), 4), _mm512_set1_epi32(7)));
  }
  static V load_ue4m3(const void* p) {
    return mul(_mm512_castsi512_ps(_mm512_slli_epi32(u8(p), 20)), splat(0x1p119f));
  }
  static V load_e8m0(const void* p) {
    const I e = u8(p);
    const I normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const I tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), tiny));
  }
  // As in quantize_block.h, vector by vector.
  static void quantize32(const float* x, int8_t* q, float& scale, int16_t& first, int16_t& second) {
    const V a = load_f32(x), b = load_f32(x + 16);
    const I mask = _mm512_set1_epi32(0x7fffffff);
    const I most = _mm512_max_epu32(bit_and(_mm512_castps_si512(a), mask),
                                    bit_and(_mm512_castps_si512(b), mask));
    const unsigned bits = _mm512_reduce_max_epu32(most);
    float largest;
    memcpy(&largest, &bits, 4);
    const bool tiny = bits < 0x0da24260u;
    scale = tiny ? 0 : largest / 127;
    const V inverse = splat(tiny ? 0 : 127 / largest);
    const V magic = splat(12582912.0f);
    const I low = _mm512_castps_si512(add(mul(a, inverse), magic));
    const I high = _mm512_castps_si512(add(mul(b, inverse), magic));
    const __m128i ql = _mm512_cvtepi32_epi8(low), qh = _mm512_cvtepi32_epi8(high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), ql);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16), qh);
    // Sums of bytes shifted to be unsigned: 16 * 128 too much.
    const __m256i both = _mm256_set_m128i(qh, ql);
    const __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(both, _mm256_set1_epi8(-128)),
                                         _mm256_setzero_si256());
    const __m128i l = _mm256_castsi256_si128(sums), h = _mm256_extracti128_si256(sums, 1);
    first = static_cast<int16_t>(_mm_cvtsi128_si32(l) + _mm_extract_epi32(l, 2) - 2048);
    second = static_cast<int16_t>(_mm_cvtsi128_si32(h) + _mm_extract_epi32(h, 2) - 2048);
  }

  // What lanes.h asks for. Rows and vectors of a tile of attention: of query rows, of elements of values, and of
  // those with so few rows that there may be more vectors.
  static constexpr int query_rows = 6, value_vectors = 4, wide_rows = 3, wide_vectors = 8;
  static V fused(V a, V b, V c) { return fma(a, b, c); }
  static V abs(V a) { return _mm512_abs_ps(a); }
  static V splat_f16(const void* p) {
    short h;
    memcpy(&h, p, 2);
    return _mm512_cvtph_ps(_mm256_set1_epi16(h));
  }
  static void store_f16(void* p, V v) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static void load_16_s8(const void* p, V (&x)[1]) {
    x[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static void store_16_s8(void* p, const V (&x)[1]) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x[0])));
  }
  static V add_exponent(V p, V shifted) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
  }
  static V between(V a, V b, int low, int high) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __mmask16 m = _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(low)) &
                        _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(high));
    return _mm512_mask_blend_ps(m, b, a);
  }
  static float sum_16(const V (&x)[1]) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x[0]), _mm512_extractf32x8_ps(x[0], 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
  }
  static float maximum_16(const V (&x)[1]) {
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(x[0]), _mm512_extractf32x8_ps(x[0], 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    q = _mm_max_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
  }
  static void fold_16(const V (&t)[1][4], float* out) {
    const auto halves = [](V a, V b) {
      return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    };
    const V a = halves(t[0][0], t[0][1]), b = halves(t[0][2], t[0][3]);
    V c = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    c = _mm512_add_ps(c, _mm512_permute_ps(c, 0x4e));
    c = _mm512_add_ps(c, _mm512_permute_ps(c, 0xb1));
    const __m512i first = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(first, c)));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
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
