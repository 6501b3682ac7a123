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
// A vector is one register here: scores take it whole.
using Part = V;
constexpr int kParts = 1;
inline Part part_zero() { return zero(); }
inline Part part_load(const float* p) { return load(p); }
inline Part part_load(const uint16_t* p) { return load_half(p); }
inline Part part_fma(Part a, Part b, Part c) { return fma(a, b, c); }
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
// Keys that many rows of queries share are kept four at a time: of every 16 dimensions, four vectors
// with a quarter of each key. So chains fold into sums of quarters without moving lanes.
#define PL_PACKED_KEYS
inline void pack_keys(const V (&keys)[4], float* out) {
  const auto pick = [](__m512 a, __m512 b, auto half) {
    return _mm512_shuffle_f32x4(a, b, decltype(half)::value);
  };
  using Low = std::integral_constant<int, 0x44>;
  using High = std::integral_constant<int, 0xee>;
  using Even = std::integral_constant<int, 0x88>;
  using Odd = std::integral_constant<int, 0xdd>;
  const __m512 a = pick(keys[0].x, keys[1].x, Low()), b = pick(keys[2].x, keys[3].x, Low());
  const __m512 c = pick(keys[0].x, keys[1].x, High()), d = pick(keys[2].x, keys[3].x, High());
  _mm512_storeu_ps(out, pick(a, b, Even()));
  _mm512_storeu_ps(out + 16, pick(a, b, Odd()));
  _mm512_storeu_ps(out + 32, pick(c, d, Even()));
  _mm512_storeu_ps(out + 48, pick(c, d, Odd()));
}
// scores[r][0..7] with two groups of packed keys, in the order of score_tile.
template <int R>
inline void packed_tile(const float* q, int dim, const float* keys, float* scores, int scores_stride) {
  const float* second = keys + 4 * dim;
  __m512 sums[R][2];
#pragma GCC unroll 2
  for (int quarter = 0; quarter < 2; quarter++) {
    __m512 low[R][2], high[R][2];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
      low[r][0] = low[r][1] = high[r][0] = high[r][1] = _mm512_setzero_ps();
    for (int d = 0; d < dim; d += 16) {
      const float *k0 = keys + 4 * d + 16 * quarter, *k1 = second + 4 * d + 16 * quarter;
      const __m512 a = _mm512_loadu_ps(k0), b = _mm512_loadu_ps(k1);
      const __m512 c = _mm512_loadu_ps(k0 + 32), e = _mm512_loadu_ps(k1 + 32);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
        const float* own = q + r * dim + d + 4 * quarter;
        const __m512 x = _mm512_broadcast_f32x4(_mm_loadu_ps(own));
        low[r][0] = _mm512_fmadd_ps(x, a, low[r][0]);
        low[r][1] = _mm512_fmadd_ps(x, b, low[r][1]);
        const __m512 y = _mm512_broadcast_f32x4(_mm_loadu_ps(own + 8));
        high[r][0] = _mm512_fmadd_ps(y, c, high[r][0]);
        high[r][1] = _mm512_fmadd_ps(y, e, high[r][1]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int g = 0; g < 2; g++) {
        const __m512 half = _mm512_add_ps(low[r][g], high[r][g]);
        sums[r][g] = quarter == 0 ? half : _mm512_add_ps(sums[r][g], half);
      }
  }
  const __m512i order = _mm512_castsi256_si512(_mm256_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13));
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const __m512 pairs = _mm512_add_ps(_mm512_shuffle_ps(sums[r][0], sums[r][1], 0x44),
                                       _mm512_shuffle_ps(sums[r][0], sums[r][1], 0xee));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(pairs, pairs, 0x88),
                                     _mm512_shuffle_ps(pairs, pairs, 0xdd));
    _mm256_storeu_ps(scores + r * scores_stride,
                     _mm512_castps512_ps256(_mm512_permutexvar_ps(order, all)));
  }
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
