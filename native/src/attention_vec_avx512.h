// 16 lanes of f32 as one AVX-512 register. Included inside an anonymous namespace.
struct V {
  __m512 x;
};
constexpr int kTileRows = 6;     // query rows in registers
constexpr int kTileVectors = 4;  // vectors of positions or of value dimensions beside them

inline V zero() { return {_mm512_setzero_ps()}; }
inline V set1(float a) { return {_mm512_set1_ps(a)}; }
inline V load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, V a) { _mm512_storeu_ps(p, a.x); }
inline V load_half(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline float half_value(const void* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
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
// Nearest integer, ties to even.
inline V round(V a) {
  return {_mm512_roundscale_ps(a.x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// 2^n for whole n in [-127, 127]; -127 gives 0.
inline V pow2(V n) {
  return {_mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.x), _mm512_set1_epi32(127)), 23))};
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
// rows[i] lane j becomes rows[j] lane i.
inline void transpose(V* r) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[i].x, r[i + 1].x), b = _mm512_unpackhi_ps(r[i].x, r[i + 1].x);
    const __m512 c = _mm512_unpacklo_ps(r[i + 2].x, r[i + 3].x), d = _mm512_unpackhi_ps(r[i + 2].x, r[i + 3].x);
    t[i] = _mm512_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; i++) {
    const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
    const __m512 c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    r[i].x = _mm512_shuffle_f32x4(a, b, 0x88);
    r[i + 8].x = _mm512_shuffle_f32x4(a, b, 0xdd);
    r[i + 4].x = _mm512_shuffle_f32x4(c, d, 0x88);
    r[i + 12].x = _mm512_shuffle_f32x4(c, d, 0xdd);
  }
}
// f16 columns [d, d + 8) of 32 rows become out[8][32].
#define PL_HALF_ROWS 32
inline void transpose_half(const uint8_t* const* rows, size_t offset, __m512i* out) {
  __m512i v[8], t[8];
  for (int i = 0; i < 8; i++) {
    // Lane l gets row 8 l + i: masked broadcasts from memory keep the shuffle unit free.
    const auto at = [&](int row) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset));
    };
    v[i] = _mm512_castsi128_si512(at(i));
    v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x00f0, at(8 + i));
    v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x0f00, at(16 + i));
    v[i] = _mm512_mask_broadcast_i32x4(v[i], 0xf000, at(24 + i));
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
    t[4 + i] = _mm512_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    v[2 * i] = _mm512_unpacklo_epi32(t[2 * i], t[2 * i + 1]);
    v[2 * i + 1] = _mm512_unpackhi_epi32(t[2 * i], t[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      out[4 * i + 2 * j] = _mm512_unpacklo_epi64(v[4 * i + j], v[4 * i + j + 2]);
      out[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(v[4 * i + j], v[4 * i + j + 2]);
    }
}
inline void transpose_half(const uint8_t* const* rows, size_t offset, uint16_t* out, int stride) {
  __m512i t[8];
  transpose_half(rows, offset, t);
  for (int i = 0; i < 8; i++) _mm512_storeu_si512(out + i * stride, t[i]);
}
inline void transpose_half(const uint8_t* const* rows, size_t offset, float* out, int stride) {
  __m512i t[8];
  transpose_half(rows, offset, t);
  for (int i = 0; i < 8; i++) {
    _mm512_storeu_ps(out + i * stride, _mm512_cvtph_ps(_mm512_castsi512_si256(t[i])));
    _mm512_storeu_ps(out + i * stride + 16, _mm512_cvtph_ps(_mm512_extracti64x4_epi64(t[i], 1)));
  }
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
