// 16 lanes of f32 as two AVX2 registers. Included inside an anonymous namespace.
struct V {
  __m256 a, b;
};
constexpr int kTileRows = 3;
constexpr int kTileVectors = 2;

inline V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline V set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, V x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline V load_half(const void* p) {
  const __m128i* h = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1))};
}
inline float half_value(const void* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
inline V load_int8(const void* p) {
  const __m128i x = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}
inline void store_half(void* p, V x) {
  __m128i* h = static_cast<__m128i*>(p);
  _mm_storeu_si128(h, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(h + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_int8(void* p, V x) {
  const __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
  const __m128i low = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i high = _mm_packs_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}
inline V add(V x, V y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline V sub(V x, V y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline V mul(V x, V y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline V div(V x, V y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline V fma(V x, V y, V z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
// The second operand when one is NaN.
inline V max(V x, V y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline V min(V x, V y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline V abs(V x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
// Nearest integer, ties to even.
inline V round(V x) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
// 2^n for whole n in [-127, 127]; -127 gives 0.
inline V pow2(V n) {
  const __m256i bias = _mm256_set1_epi32(127);
  const auto one = [&](__m256 x) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(x), bias), 23));
  };
  return {one(n.a), one(n.b)};
}
// Lanes in [low, high) of x, other lanes of y. Both limits may lie outside 0..16.
inline V in_range(V x, V y, int low, int high) {
  const __m256i l = _mm256_set1_epi32(low), h = _mm256_set1_epi32(high);
  const auto one = [&](__m256 a, __m256 b, __m256i lane) {
    const __m256i out = _mm256_cmpgt_epi32(l, lane), in = _mm256_cmpgt_epi32(h, lane);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(_mm256_andnot_si256(out, in)));
  };
  return {one(x.a, y.a, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          one(x.b, y.b, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
// Sum of the lanes as a fixed tree: i + (i+8), then + (i+4), + (i+2), + (i+1).
inline float sum(V x) {
  const __m256 h = _mm256_add_ps(x.a, x.b);
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  q = _mm_add_ss(q, _mm_movehdup_ps(q));
  return _mm_cvtss_f32(q);
}
inline float maximum(V x) {
  const __m256 h = _mm256_max_ps(x.a, x.b);
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  q = _mm_max_ss(q, _mm_movehdup_ps(q));
  return _mm_cvtss_f32(q);
}
inline void transpose8(__m256* r) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
    const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
    const __m256 d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
  }
}
// rows[i] lane j becomes rows[j] lane i.
inline void transpose(V* r) {
  __m256 q[4][8];
  for (int i = 0; i < 8; i++) {
    q[0][i] = r[i].a;
    q[1][i] = r[i].b;
    q[2][i] = r[i + 8].a;
    q[3][i] = r[i + 8].b;
  }
  for (auto& part : q) transpose8(part);
  for (int i = 0; i < 8; i++) {
    r[i] = {q[0][i], q[2][i]};
    r[i + 8] = {q[1][i], q[3][i]};
  }
}
// f16 columns [d, d + 8) of 16 rows become out[8][16].
#define PL_HALF_ROWS 16
inline void transpose_half(const uint8_t* const* rows, size_t offset, __m256i* out) {
  __m256i v[8], t[8];
  for (int i = 0; i < 8; i++) {
    const auto at = [&](int row) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset));
    };
    v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(at(i)), at(8 + i), 1);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
    t[4 + i] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    v[2 * i] = _mm256_unpacklo_epi32(t[2 * i], t[2 * i + 1]);
    v[2 * i + 1] = _mm256_unpackhi_epi32(t[2 * i], t[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      out[4 * i + 2 * j] = _mm256_unpacklo_epi64(v[4 * i + j], v[4 * i + j + 2]);
      out[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(v[4 * i + j], v[4 * i + j + 2]);
    }
}
inline void transpose_half(const uint8_t* const* rows, size_t offset, uint16_t* out, int stride) {
  __m256i t[8];
  transpose_half(rows, offset, t);
  for (int i = 0; i < 8; i++)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * stride), t[i]);
}
inline void transpose_half(const uint8_t* const* rows, size_t offset, float* out, int stride) {
  __m256i t[8];
  transpose_half(rows, offset, t);
  for (int i = 0; i < 8; i++) {
    _mm256_storeu_ps(out + i * stride, _mm256_cvtph_ps(_mm256_castsi256_si128(t[i])));
    _mm256_storeu_ps(out + i * stride + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(t[i], 1)));
  }
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
