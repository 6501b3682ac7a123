// Integers in AVX-512 vectors: products of bytes, sums over lanes, numbers as bytes. Included by
// attention_kernel.h.

// Sums of products by significance, of 16 results.
struct Sums {
  __m512i high, middle, low;
};
inline Sums no_sums() { return {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()}; }
// The compiler's own function makes a copy of most sums.
inline __m512i dot(__m512i sum, __m512i bytes, __m512i other) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(other));
  return sum;
}
inline __m512i bytes_at(const void* p) { return _mm512_loadu_si512(p); }
inline __m512 total(const Sums& s, __m512i high_bias, __m512i low_bias) {
  const __m512 high = _mm512_cvtepi32_ps(_mm512_sub_epi32(s.high, high_bias));
  const __m512 middle = _mm512_cvtepi32_ps(_mm512_sub_epi32(s.middle, low_bias));
  return _mm512_fmadd_ps(high, _mm512_set1_ps(65536.0f),
                         _mm512_fmadd_ps(middle, _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(s.low)));
}
// Four vectors to one in which op over the lanes of each is in lanes 0 to 3.
template <class Op>
inline __m128i fold(const __m512i (&x)[4], Op op) {
  const auto halves = [&](__m512i a, __m512i b) {
    return op(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
  };
  const __m512i a = halves(x[0], x[1]), b = halves(x[2], x[3]);
  __m512i t = op(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  t = op(t, _mm512_shuffle_epi32(t, static_cast<_MM_PERM_ENUM>(0x4e)));
  t = op(t, _mm512_shuffle_epi32(t, static_cast<_MM_PERM_ENUM>(0xb1)));
  return _mm512_castsi512_si128(_mm512_permutexvar_epi32(_mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12)), t));
}
inline __m128i fold_sums(const __m512i (&x)[4]) {
  return fold(x, [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); });
}
inline __m128 fold_highest(const __m512 (&x)[4]) {
  const __m512i bits[4] = {_mm512_castps_si512(x[0]), _mm512_castps_si512(x[1]), _mm512_castps_si512(x[2]),
                           _mm512_castps_si512(x[3])};
  return _mm_castsi128_ps(fold(bits, [](__m512i a, __m512i b) {
    return _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
  }));
}
// 64 whole numbers of 16 bits as signed bytes, 256 high + low.
inline void split(const __m512i (&x)[4], int8_t* high, int8_t* low) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i h[2], l[2];
  PL_UNROLL for (int i = 0; i < 2; i++) {
    const __m512i words = _mm512_packs_epi32(x[2 * i], x[2 * i + 1]);
    h[i] = _mm512_srai_epi16(_mm512_add_epi16(words, _mm512_set1_epi16(128)), 8);
    l[i] = _mm512_srai_epi16(_mm512_slli_epi16(words, 8), 8);
  }
  _mm512_store_si512(high, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(h[0], h[1])));
  _mm512_store_si512(low, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(l[0], l[1])));
}
// Elements of a head into its part of a row; returns their scale.
inline float store_integers(const float* x, uint8_t* out, int dim) {
  const float scale = scale_of(x, dim, 32767.0f);
  const __m512 inverse = _mm512_set1_ps(inverse_of(scale));
  for (int d = 0; d < dim; d += 16) {
    const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + d), inverse));
    const __m512i own = _mm512_add_epi32(n, _mm512_set1_epi32(32768));
    auto* to = reinterpret_cast<__m128i*>(out + byte_of(d));
    _mm_storeu_si128(to, _mm512_cvtepi32_epi8(_mm512_srli_epi32(own, 8)));
    _mm_storeu_si128(to + 4, _mm512_cvtepi32_epi8(n));
  }
  return scale;
}
inline int bias_of(const int8_t* bytes, int n) {
  __m512i s = _mm512_setzero_si512();
  for (int i = 0; i < n; i += 64) s = dot(s, _mm512_set1_epi8(-128), bytes_at(bytes + i));
  return _mm512_reduce_add_epi32(s);
}

// Asks for the rows of a head, a line in every step, while those of another one are in work: the keys, then the
// values. What is further ahead would have to stay in a cache for longer.
class NextHead {
 public:
  void start(const uint8_t* k, int64_t k_step, size_t k_bytes, const uint8_t* v, int64_t v_step, size_t v_bytes,
             int count) {
    next_ = {v, v_step, static_cast<int>(v_bytes / 64), count};
    now_ = {k, k_step, static_cast<int>(k_bytes / 64), count};
    line_ = 0;
  }
  void stop() { now_.rows = next_.rows = 0; }
  template <int N = 1>
  void step() {
    PL_UNROLL for (int i = 0; i < N; i++) {
      if (now_.rows == 0) return;
      prefetch(now_.row + 64 * line_);
      if (++line_ < now_.lines) continue;
      line_ = 0;
      now_.row += now_.step;
      if (--now_.rows > 0) continue;
      now_ = next_;
      next_.rows = 0;
    }
  }

 private:
  struct Part {
    const uint8_t* row;
    int64_t step;
    int lines, rows;
  };
  Part now_{}, next_{};
  int line_ = 0;
};
