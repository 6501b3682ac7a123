// 16 lanes of f32 as one AVX-512 register. Included inside an anonymous namespace.
struct V {
  __m512 x;
};
constexpr int kTileRows = 6;     // query rows in registers
constexpr int kTileVectors = 4;  // vectors of value dimensions beside them
constexpr int kWideRows = 3;     // with so few rows it can be more vectors
constexpr int kWideVectors = 8;

inline V zero() { return {_mm512_setzero_ps()}; }
inline V set1(float a) { return {_mm512_set1_ps(a)}; }
inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, V a) { _mm512_storeu_ps(p, a.x); }
inline V load_half(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline V set1_half(const void* p) {
  short h;
  std::memcpy(&h, p, 2);
  return {_mm512_cvtph_ps(_mm256_set1_epi16(h))};
}
inline V load_int8(const void* p) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
inline void store_half(void* p, V a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_int8(void* p, V a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.x)));
}
inline V add(V a, V b) { return {_mm512_add_ps(a.x, b.x)}; }
inline V sub(V a, V b) { return {_mm512_sub_ps(a.x, b.x)}; }
inline V mul(V a, V b) { return {_mm512_mul_ps(a.x, b.x)}; }
inline V div(V a, V b) { return {_mm512_div_ps(a.x, b.x)}; }
inline V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }
// The second operand when one is NaN.
inline V max(V a, V b) { return {_mm512_max_ps(a.x, b.x)}; }
inline V min(V a, V b) { return {_mm512_min_ps(a.x, b.x)}; }
inline V abs(V a) { return {_mm512_abs_ps(a.x)}; }
// p * 2^n for the whole number n in the lowest bits of `shifted`, as addition to the exponent. For p = 1
// and n = -127 that is 0.
inline V add_exponent(V p, V shifted) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(
      _mm512_castps_si512(p.x), _mm512_slli_epi32(_mm512_castps_si512(shifted.x), 23)))};
}
// Lanes in [low, high) of a, other lanes of b. Both limits may lie outside 0..16.
inline V in_range(V a, V b, int low, int high) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __mmask16 m =
      _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(low)) &
      _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(high));
  return {_mm512_mask_blend_ps(m, b.x, a.x)};
}
// Sum of the lanes as a fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1).
inline float sum(V a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.x), _mm512_extractf32x8_ps(a.x, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  q = _mm_add_ss(q, _mm_movehdup_ps(q));
  return _mm_cvtss_f32(q);
}
inline float maximum(V a) {
  __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.x), _mm512_extractf32x8_ps(a.x, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  q = _mm_max_ss(q, _mm_movehdup_ps(q));
  return _mm_cvtss_f32(q);
}
#include "vec_whole.h"
// sum() of four vectors.
inline void fold4(const Part (&t)[1][4], float* out) {
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const __m512 a = halves(t[0][0].x, t[0][1].x), b = halves(t[0][2].x, t[0][3].x);
  __m512 c = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  c = _mm512_add_ps(c, _mm512_permute_ps(c, 0x4e));
  c = _mm512_add_ps(c, _mm512_permute_ps(c, 0xb1));
  const __m512i first = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
  _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(first, c)));
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
// Keys that many rows share are packed, see attention_vec_avx512_keys.h.
#define PL_PACKED_KEYS
// Products with integers have instructions of their own, see attention_integers_avx512.h.
#define PL_BYTE_PRODUCTS
