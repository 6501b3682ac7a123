// Attention over a cache of integers, row by row, on paths without instructions for it. Included by
// attention_kernel.h.

// A whole number of 16 bits as signed bytes, 256 high + low.
inline void split(int32_t x, int8_t* high, int8_t* low) {
  *low = static_cast<int8_t>(x & 255);
  *high = static_cast<int8_t>((x - *low) >> 8);
}

// Elements of a head into its part of a row; returns their scale.
inline float store_integers(const float* x, uint8_t* out, int dim) {
  const float scale = scale_of(x, dim, 32767.0f);
  const V inverse = set1(inverse_of(scale));
  for (int d = 0; d < dim; d += 16) {
    alignas(64) int32_t n[16];
    whole_numbers(mul(load(x + d), inverse), n);
    for (int i = 0; i < 16; i++) {
      uint8_t* own = out + byte_of(d + i);
      own[0] = static_cast<uint8_t>((n[i] + 32768) >> 8);
      own[64] = static_cast<uint8_t>(n[i]);
    }
  }
  return scale;
}

struct Integers {
  const Unit& u;
  int rows, stride;
  int8_t* queries;  // [head][row][2][dim]
  float* q_scales;  // [head][row]
  int32_t* sums;    // [3][v_dim]
  int8_t* chances;  // [2][kChunk]

  Integers(const Unit& unit, float* work)
      : u(unit), rows(u.tokens * u.group), stride(attention::state_floats(u.v_pad)) {
    Area area(work);
    const size_t every = static_cast<size_t>(u.heads) * rows;
    queries = area.take<int8_t>(every * 2 * u.dim);
    q_scales = area.take<float>(every);
    sums = area.take<int32_t>(3 * static_cast<size_t>(u.v_dim));
    chances = area.take<int8_t>(2 * kChunk);
  }

  void prepare() const {
    int8_t* to = queries;
    for (int row = 0; row < u.heads * rows; row++, to += 2 * u.dim) {
      const float* from = query_of(u, row / rows, row % rows);
      const float scale = scale_of(from, u.dim, kMost);
      const V inverse = set1(inverse_of(scale));
      for (int d = 0; d < u.dim; d += 16) {
        alignas(64) int32_t n[16];
        whole_numbers(mul(load(from + d), inverse), n);
        for (int i = 0; i < 16; i++) split(n[i], to + d + i, to + u.dim + d + i);
      }
      q_scales[row] = scale * factor_of(u);
    }
  }

  static V total(const float* high, const float* middle, const float* low) {
    return fma(load(high), set1(65536.0f), fma(load(middle), set1(256.0f), load(low)));
  }
  void score(int head, int row, int64_t b, const Range& seen, float* scores) const {
    const int8_t* q = queries + static_cast<size_t>(head * rows + row) * 2 * u.dim;
    alignas(64) float s[3][kChunk] = {}, scales[kChunk] = {};
    for (int j = seen.low; j < seen.high; j++) {
      const uint8_t* k = u.k + (b + j) * u.k_stride + head * u.k_head_bytes;
      int32_t high = 0, middle = 0, low = 0;
      for (int d = 0; d < u.dim; d++) {
        const int32_t upper = k[byte_of(d)] - 128, lower = k[byte_of(d) + 64];
        high += upper * q[d];
        middle += upper * q[u.dim + d] + lower * q[d];
        low += lower * q[u.dim + d];
      }
      s[0][j] = static_cast<float>(high);
      s[1][j] = static_cast<float>(middle);
      s[2][j] = static_cast<float>(low);
      scales[j] = scales_at(u, b + j)[head];
    }
    const V q_scale = set1(q_scales[head * rows + row]);
    for (int j = 0; j < kChunk; j += 16)
      store(scores + j, mul(total(s[0] + j, s[1] + j, s[2] + j), mul(load(scales + j), q_scale)));
  }
  // Scores become probabilities times the scales of values, as integers; returns their scale.
  float soften(int head, int64_t b, const Range& seen, float* scores, float* state) const {
    alignas(64) float scales[kChunk] = {};
    for (int j = seen.low; j < seen.high; j++) scales[j] = scales_at(u, b + j)[u.v_scales + head];
    const int v0 = seen.low / 16, v1 = (seen.high + 15) / 16;
    const float top = highest(scores, seen, v0, v1, u.softcap);
    uint32_t shares = 0;
    float poison = 0.0f;
    for (int v = 0; v < kChunk / 16; v++) {
      V x = exp2(sub(load(scores + 16 * v), set1(top)));
      if (!seen.has(v)) x = seen.cut(x, zero(), v);
      // The bits of 1 + x are those of 1 plus x in units of 2^-23.
      alignas(64) float more[16];
      uint32_t bits[16];
      store(more, add(x, set1(1.0f)));
      std::memcpy(bits, more, sizeof bits);
      x = mul(x, load(scales + 16 * v));
      store(scores + 16 * v, x);
      for (int i = 0; i < 16; i++) {
        shares += bits[i] - 0x3f800000u;
        poison += scores[16 * v + i] * 0.0f;
      }
    }
    float scale = 0.0f;
    for (int j = 0; j < kChunk; j++) scale = scores[j] > scale ? scores[j] : scale;
    scale /= kMost;
    scale = (scale < kLeastChance ? 0.0f : scale) + poison;
    const V inverse = set1(inverse_of(scale));
    for (int j = 0; j < kChunk; j += 16) {
      alignas(64) int32_t n[16];
      whole_numbers(mul(load(scores + j), inverse), n);
      for (int i = 0; i < 16; i++) split(n[i], chances + j + i, chances + kChunk + j + i);
    }
    store(state, zero());
    state[0] = static_cast<float>(static_cast<int32_t>(shares)) * 0x1p-23f + poison;
    state[16] = top;
    return scale;
  }
  void weigh(int head, int64_t b, const Range& seen, float scale, float* values) const {
    int32_t* const s = sums;
    std::memset(s, 0, 3 * static_cast<size_t>(u.v_dim) * 4);
    for (int j = seen.low; j < seen.high; j++) {
      const uint8_t* v = u.v + (b + j) * u.v_stride + head * u.v_head_bytes;
      const int32_t high = chances[j], low = chances[kChunk + j];
      for (int d = 0; d < u.v_dim; d++) {
        const int32_t upper = v[byte_of(d)] - 128, lower = v[byte_of(d) + 64];
        s[d] += upper * high;
        s[u.v_dim + d] += upper * low + lower * high;
        s[2 * u.v_dim + d] += lower * low;
      }
    }
    for (int d = 0; d < u.v_dim; d += 16) {
      alignas(64) float t[3][16];
      for (int k = 0; k < 3; k++)
        for (int i = 0; i < 16; i++) t[k][i] = static_cast<float>(s[k * u.v_dim + d + i]);
      store(values + d, mul(total(t[0], t[1], t[2]), set1(scale)));
    }
  }
  void chunk(int64_t index, float* state) const {
    const int64_t b = index * kChunk;
    alignas(64) float scores[kChunk];
    for (int row = 0; row < u.heads * rows; row++, state += stride) {
      const int head = row / rows;
      const Range seen = seen_of(u, row % rows, b);
      if (seen.low >= seen.high) {
        for (int d = 0; d < u.v_pad + 16; d += 16) store(state + d, zero());
        state[u.v_pad + 16] = kEmpty;
        continue;
      }
      score(head, row % rows, b, seen, scores);
      weigh(head, b, seen, soften(head, b, seen, scores, state + u.v_pad), state);
    }
  }
};
