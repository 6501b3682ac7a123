// A chunk of a cache of integers: few rows, and many. Included by attention_kernel.h.

struct Integers : IntegerProducts {
  static constexpr int kStep = 16;  // positions of values of a head between those of other heads
  static constexpr int kFar = 16;   // rows of keys that are asked for ahead

  Integers(const Unit& unit, float* work, int few_rows = attention::kFewRows)
      : IntegerProducts(unit, work, few_rows) {}

  void chunk(int64_t index, float* state) const;

  // Position by position, in the order of memory, which is what few rows wait for.
  void few_rows(int64_t b, int low, int high, float* state) const {
    const uint8_t *k = u.k + b * u.k_stride, *v = u.v + b * u.v_stride;
    for (int j = low & ~3; j < high; j += 4) {
      const uint8_t* four[4];
      rows_at(k, u.k_stride, j, low, high, four);
      // Behind the keys come the values.
      const bool keys = j + kFar < high;
      const int64_t step = keys ? u.k_stride : u.v_stride;
      const size_t bytes = keys ? u.k_head_bytes : u.v_head_bytes;
      const uint8_t* ahead = keys ? k + (j + kFar) * step : v + (low + j + kFar - high) * step;
      if (keys)
        for (int i = 0; i < 4; i++) prefetch(ahead + i * step + (u.scales - u.k));
      for (int head = 0; head < u.heads; head++, ahead += bytes) {
        for (size_t byte = 0; byte < bytes; byte += 64)
          PL_UNROLL for (int i = 0; i < 4; i++) prefetch(ahead + i * step + byte);
        scores_head(head, four, j);
      }
    }
    for (int head = 0; head < u.heads; head++)
      soften_head(head, b, low, high, state + static_cast<size_t>(head) * rows * stride);
    const int64_t step = 3 * u.v_dim;
    bool begin = true;
    for (int j = low & ~(kStep - 1); j < high; j += kStep, begin = false) {
      const uint8_t* rows_of[kStep];
      rows_at(v, u.v_stride, j, low, high, rows_of);
      const int quads = ((high < j + kStep ? high : j + kStep) - j + 3) / 4;
      const uint8_t* later = v + (j + kStep) * u.v_stride;
      for (int head = 0; head < u.heads; head++)
        for (int d = 0; d < u.v_dim; d += 64) {
          const int64_t at = head * static_cast<int64_t>(u.v_head_bytes) + 2 * d;
          const auto get = [&](int i, int part, __m512i(&out)[4]) {
            PL_UNROLL for (int e = 0; e < 4; e++) prefetch(later + (4 * i + e) * u.v_stride + at + 64 * part);
            interleave(rows_of + 4 * i, at + 64 * part, out);
          };
          int r = head * rows;
          const int end = r + rows;
          for (; r + 2 <= end; r += 2)
            value_sums<2>(sums + r * step + 3 * d, step, chances + r * 2 * kChunk + j, quads, begin, get);
          if (r < end) value_sums<1>(sums + r * step + 3 * d, step, chances + r * 2 * kChunk + j, quads, begin, get);
        }
    }
    for (int r = 0; r < u.heads * rows; r++, state += stride)
      for (int d = 0; d < u.v_dim; d += 64) finish_values(sums + r * step + 3 * d, p_facts[r], state + d);
  }

  // Elements [d, d + 64) of positions [from, to) to the buffer.
  void interleave_head(int head, int64_t b, int d, int low, int high, int from, int to) const {
    for (int j = from; j < to; j += 4) {
      const uint8_t* v[4];
      rows_at(u.v + b * u.v_stride + head * u.v_head_bytes, u.v_stride, j, low, high, v);
      uint8_t* out = buffer + j / 64 * 8192 + j % 64 * 16;
      PL_UNROLL for (int part = 0; part < 2; part++) {
        __m512i x[4];
        interleave(v, 2 * d + 64 * part, x);
        ahead.step<4>();
        PL_UNROLL for (int m = 0; m < 4; m++) _mm512_store_si512(out + (part * 4 + m) * 1024, x[m]);
      }
    }
  }
  void values_many(int d, int from, int to, float* state) const {
    const auto get = [&](int i, int part, __m512i(&out)[4]) {
      const int j = from + 4 * i;
      const uint8_t* own = buffer + j / 64 * 8192 + j % 64 * 16 + part * 4096;
      PL_UNROLL for (int m = 0; m < 4; m++) out[m] = _mm512_load_si512(own + m * 1024);
    };
    for (int r = 0; r < rows; r += 2) {
      const int8_t* p = chances + r * 2 * kChunk + from;
      if (r + 1 < rows)
        value_sums<2>(sums, 192, p, (to - from) / 4, true, get);
      else
        value_sums<1>(sums, 192, p, (to - from) / 4, true, get);
      for (int i = r; i < r + 2 && i < rows; i++)
        finish_values(sums + (i - r) * 192, p_facts[i], state + static_cast<size_t>(i) * stride + d);
    }
  }
  // Before a head: the next one's rows, or those of the next chunk's first one.
  void look_ahead(int head, int64_t b, int low, int high) const {
    const bool same = head + 1 < u.heads;
    const int64_t last = u.end_chunk * kChunk, end = last < all.high ? last : all.high;
    const int64_t from = same ? b + low : b + kChunk;
    const int64_t to = same ? b + high : from + kChunk < end ? from + kChunk : end;
    if (from >= to) return ahead.stop();
    const size_t other = same ? static_cast<size_t>(head) + 1 : 0;
    ahead.start(u.k + from * u.k_stride + other * u.k_head_bytes, u.k_stride, u.k_head_bytes,
                u.v + from * u.v_stride + other * u.v_head_bytes, u.v_stride, u.v_head_bytes,
                static_cast<int>(to - from));
  }
  // All positions of a head times all rows of queries.
  void scores_many(int head, int64_t b, int low, int high) const {
    for (int j = low & ~3; j < high; j += 4) {
      const uint8_t* four[4];
      rows_at(u.k + b * u.k_stride, u.k_stride, j, low, high, four);
      scores_head(head, four, j);
    }
  }
};

// Many rows, head by head; `way` has the products.
template <class Way>
void many_rows(const Way& way, int64_t b, int low, int high, float* state) {
  const int from = low & ~63, to = (high + 63) & ~63;
  for (int head = 0; head < way.u.heads; head++, state += static_cast<size_t>(way.rows) * way.stride) {
    way.look_ahead(head, b, low, high);
    way.scores_many(head, b, low, high);
    way.soften_head(head, b, low, high, state);
    for (int d = 0; d < way.u.v_dim; d += 64) {
      way.interleave_head(head, b, d, low, high, from, to);
      way.values_many(d, from, to, state);
    }
  }
}
template <class Way>
void integer_chunk(const Way& way, int64_t index, float* state) {
  const int64_t b = index * kChunk;
  const Range seen = within(way.all, b, kChunk);
  way.few ? way.few_rows(b, seen.low, seen.high, state) : many_rows(way, b, seen.low, seen.high, state);
}
inline void Integers::chunk(int64_t index, float* state) const { integer_chunk(*this, index, state); }
