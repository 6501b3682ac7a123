// 16 lanes of f32 as two AVX2 registers. Included inside an anonymous namespace.
struct V {
  __m256 a, b;
};
constexpr int kTileRows = 3;
constexpr int kTileVectors = 2;
constexpr int kWideRows = 1;
constexpr int kWideVectors = 4;

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
inline V set1_half(const void* p) {
  short h;
  std::memcpy(&h, p, 2);
  const __m256 x = _mm256_cvtph_ps(_mm_set1_epi16(h));
  return {x, x};
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
// p * 2^n for the whole number n in the lowest bits of `shifted`, as addition to the exponent. For p = 1
// and n = -127 that is 0.
inline V add_exponent(V p, V shifted) {
  const auto one = [](__m256 a, __m256 n) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a),
                                                _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
  };
  return {one(p.a, shifted.a), one(p.b, shifted.b)};
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
// Half a vector: scores take it register by register, to have more rows at once.
struct Part {
  __m256 x;
};
constexpr int kParts = 2;
inline Part part_zero() { return {_mm256_setzero_ps()}; }
inline Part part_load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Part part_of(V a, int part) { return {part ? a.b : a.a}; }
inline Part part_fma(Part a, Part b, Part c) { return {_mm256_fmadd_ps(a.x, b.x, c.x)}; }
// sum() of four vectors.
inline void fold4(const Part (&t)[2][4], float* out) {
  __m256 h[4];
  for (int i = 0; i < 4; i++) h[i] = _mm256_add_ps(t[0][i].x, t[1][i].x);
  const auto halves = [](__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  };
  const __m256 a = halves(h[0], h[1]), b = halves(h[2], h[3]);
  // a: 4 lanes each of vectors 0 and 1; b: of 2 and 3.
  const __m256 c = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
  const __m256 d = _mm256_add_ps(_mm256_shuffle_ps(c, c, 0x88), _mm256_shuffle_ps(c, c, 0xdd));
  // d: sums of 0, 2 in the low half and of 1, 3 in the high one.
  _mm_storeu_ps(out, _mm_unpacklo_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1)));
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
