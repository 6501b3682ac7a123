// The products with integers, by vectors: scores of keys, weighted sums of values. Included by attention_kernel.h.

struct IntegerProducts : IntegerWork {
  using IntegerWork::IntegerWork;

  // Four positions times R rows of a head.
  template <int R>
  void score_four(int head, int r, const uint8_t* const (&keys)[4], __m128 scale, int j) const {
    const int8_t* q = queries + static_cast<size_t>(head * rows + r) * 2 * u.dim;
    Sums s[R][4];
    PL_UNROLL for (int i = 0; i < R; i++)
      PL_UNROLL for (int k = 0; k < 4; k++) s[i][k] = no_sums();
    for (int d = 0; d < u.dim; d += 64) {
      __m512i high[R], low[R];
      PL_UNROLL for (int i = 0; i < R; i++) {
        high[i] = bytes_at(q + 2 * i * u.dim + d);
        low[i] = bytes_at(q + 2 * i * u.dim + u.dim + d);
      }
      PL_UNROLL for (int k = 0; k < 4; k++) {
        const __m512i x = bytes_at(keys[k] + 2 * d), y = bytes_at(keys[k] + 2 * d + 64);
        PL_UNROLL for (int i = 0; i < R; i++) {
          s[i][k].high = dot(s[i][k].high, x, high[i]);
          s[i][k].middle = dot(s[i][k].middle, x, low[i]);
          s[i][k].low = dot(s[i][k].low, y, low[i]);
          s[i][k].middle = dot(s[i][k].middle, y, high[i]);
        }
      }
    }
    float* out = scores + ((few ? head * rows : 0) + r) * kChunk + j;
    PL_UNROLL for (int i = 0; i < R; i++, out += kChunk) {
      const RowFacts& facts = q_facts[head * rows + r + i];
      const auto folded = [](__m512i a, __m512i b, __m512i c, __m512i d) {
        const __m512i x[4] = {a, b, c, d};
        return _mm512_castsi128_si512(fold_sums(x));
      };
      const __m512 t = total({folded(s[i][0].high, s[i][1].high, s[i][2].high, s[i][3].high),
                              folded(s[i][0].middle, s[i][1].middle, s[i][2].middle, s[i][3].middle),
                              folded(s[i][0].low, s[i][1].low, s[i][2].low, s[i][3].low)},
                             _mm512_set1_epi32(facts.high_bias), _mm512_set1_epi32(facts.low_bias));
      _mm_storeu_ps(out, _mm_mul_ps(_mm512_castps512_ps128(t), _mm_mul_ps(scale, _mm_set1_ps(facts.scale))));
    }
  }
  // A position that nobody sees is one that is there instead.
  static int nearest(int j, int low, int high) { return j < low ? low : j < high ? j : high - 1; }
  // Cache rows of N positions from j on.
  template <int N>
  static void rows_at(const uint8_t* base, int64_t step, int j, int low, int high, const uint8_t* (&out)[N]) {
    for (int i = 0; i < N; i++) out[i] = base + nearest(j + i, low, high) * step;
  }
  // Four positions of a head, whose rows lie at `four`, times all rows of queries.
  void scores_head(int head, const uint8_t* const (&four)[4], int j) const {
    const uint8_t* keys[4];
    for (int i = 0; i < 4; i++) keys[i] = four[i] + head * u.k_head_bytes;
    const int64_t to_scale = u.scales - u.k + 4 * head;
    const auto scale = [&](int i) { return *reinterpret_cast<const float*>(four[i] + to_scale); };
    const __m128 scales = _mm_setr_ps(scale(0), scale(1), scale(2), scale(3));
    int r = 0;
    for (; r + 2 <= rows; r += 2) score_four<2>(head, r, keys, scales, j);
    if (r < rows) score_four<1>(head, r, keys, scales, j);
  }

  // 64 elements of four positions, from a byte of their rows on: lane 4 i + e of vector m has the four bytes of
  // element 16 i + 4 m + e.
  static void interleave(const uint8_t* const* v, int64_t d, __m512i (&out)[4]) {
    const __m512i a = bytes_at(v[0] + d), b = bytes_at(v[1] + d), c = bytes_at(v[2] + d), e = bytes_at(v[3] + d);
    const __m512i x = _mm512_unpacklo_epi8(a, b), y = _mm512_unpackhi_epi8(a, b);
    const __m512i z = _mm512_unpacklo_epi8(c, e), w = _mm512_unpackhi_epi8(c, e);
    out[0] = _mm512_unpacklo_epi16(x, z);
    out[1] = _mm512_unpackhi_epi16(x, z);
    out[2] = _mm512_unpacklo_epi16(y, w);
    out[3] = _mm512_unpackhi_epi16(y, w);
  }
  static __m512i four_chances(const int8_t* p) {
    int32_t x;
    std::memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
  }
  // Sums of 64 elements of R rows over `quads` times four positions; get(i, part, v) gives their values.
  template <int R, class Get>
  void value_sums(int32_t* to, int64_t step, const int8_t* p, int quads, bool begin, Get get) const {
    __m512i s[R][3][4];
    PL_UNROLL for (int r = 0; r < R; r++)
      PL_UNROLL for (int k = 0; k < 3; k++)
        PL_UNROLL for (int m = 0; m < 4; m++)
          s[r][k][m] = begin ? _mm512_setzero_si512() : _mm512_load_si512(to + r * step + (4 * k + m) * 16);
    for (int i = 0; i < quads; i++)
      PL_UNROLL for (int part = 0; part < 2; part++) {
        __m512i v[4];
        get(i, part, v);
        PL_UNROLL for (int r = 0; r < R; r++) {
          const int8_t* own = p + 2 * r * kChunk + 4 * i;
          const __m512i high = four_chances(own), low = four_chances(own + kChunk);
          PL_UNROLL for (int m = 0; m < 4; m++) {
            s[r][part][m] = dot(s[r][part][m], v[m], high);
            s[r][part + 1][m] = dot(s[r][part + 1][m], v[m], low);
          }
        }
      }
    PL_UNROLL for (int r = 0; r < R; r++)
      PL_UNROLL for (int k = 0; k < 3; k++)
        PL_UNROLL for (int m = 0; m < 4; m++) _mm512_store_si512(to + r * step + (4 * k + m) * 16, s[r][k][m]);
  }
  // 64 elements of a state's values, from their sums.
  static void finish_values(const int32_t* s, const RowFacts& facts, float* out) {
    const __m512i high_bias = _mm512_set1_epi32(facts.high_bias), low_bias = _mm512_set1_epi32(facts.low_bias);
    const __m512 scale = _mm512_set1_ps(facts.scale);
    V t[4];
    PL_UNROLL for (int m = 0; m < 4; m++, s += 16) {
      const Sums own = {_mm512_load_si512(s), _mm512_load_si512(s + 64), _mm512_load_si512(s + 128)};
      t[m].x = _mm512_mul_ps(total(own, high_bias, low_bias), scale);
    }
    pack_vectors(t, out, 16);
  }
};
