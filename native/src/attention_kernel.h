// Attention of one tile of query rows over one chunk of positions, written once over the 16-lane
// vector V that the including file defines. Included inside an anonymous namespace.
//
// Order of operations, the same for every tile size and CPU path: a score is 16 chains of fused
// multiply-adds (dimension mod 16), folded as a fixed tree; a weighted value is one chain over
// positions; sums of probabilities have 16 lanes (position mod 16), folded at the end. A position
// that a row does not see has probability exactly 0 and so changes nothing.
//
// Memory is what decode waits for, and it is read fast only in the order in which it lies. So a unit
// of few query rows goes through all its KV heads position by position, multiplies right out of the
// cache, and asks for rows some steps ahead. With more query rows, rows are converted to f32 once
// for all of them.

using attention::kBlock;
using attention::kChunk;
using attention::kEmpty;
using attention::Unit;

// 2^x for x <= 127; exactly 1 at 0 and exactly 0 below -127. Relative error under 1e-7.
inline V exp2(V x) {
  x = max(set1(-127.0f), x);
  const V n = round(x), f = sub(x, n);
  V p = set1(0x1.41fbbcp-13f);
  p = fma(p, f, set1(0x1.5f3e52p-10f));
  p = fma(p, f, set1(0x1.3b2d4cp-7f));
  p = fma(p, f, set1(0x1.c6aee8p-5f));
  p = fma(p, f, set1(0x1.ebfbdcp-3f));
  p = fma(p, f, set1(0x1.62e430p-1f));
  p = fma(p, f, set1(1.0f));
  return mul(p, pow2(n));
}
inline float exp2(float x) {
  alignas(64) float t[16];
  store(t, exp2(set1(x)));
  return t[0];
}
constexpr float kLog2e = 1.44269504088896340736f;

// ---- reading cache rows -------------------------------------------------------------------------
inline V load(const uint16_t* p) { return load_half(p); }

// Elements [d, d + 16) of a row, d a multiple of 16.
template <int Type>
inline V read16(const uint8_t* row, int d) {
  if (Type == PL_CACHE_F32) return load(reinterpret_cast<const float*>(row) + d);
  if (Type == PL_CACHE_F16) return load_half(row + 2 * static_cast<size_t>(d));
  const uint8_t* block = row + static_cast<size_t>(d / 32) * 34;
  return mul(set1(half_value(block)), load_int8(block + 2 + (d & 31)));
}
// The last n < 16 elements from d, zeros behind them. Never reads past the row.
template <int Type>
inline V read_tail(const uint8_t* row, int d, int n) {
  alignas(64) uint8_t t[64] = {};
  const size_t size = Type == PL_CACHE_F32 ? 4 : 2;
  std::memcpy(t, row + size * d, size * n);
  return read16<Type>(t, 0);
}
// Elements [from, to) of a row with `dim` elements, from a multiple of 16, as f32; zeros from dim to
// the next multiple of 16.
template <int Type>
inline void read_row(const uint8_t* row, int from, int to, int dim, float* out) {
  int d = from;
  for (; d + 16 <= dim && d < to; d += 16) store(out + d - from, read16<Type>(row, d));
  if (d < to && d < dim) store(out + d - from, read_tail<Type>(row, d, dim - d));
}
inline void read_row(int type, const uint8_t* row, int from, int to, int dim, float* out) {
  if (type == PL_CACHE_F16)
    read_row<PL_CACHE_F16>(row, from, to, dim, out);
  else if (type == PL_CACHE_F32)
    read_row<PL_CACHE_F32>(row, from, to, dim, out);
  else
    read_row<PL_CACHE_Q8_0>(row, from, to, dim, out);
}
// Cache rows of a block, of all KV heads of a unit: row j at base + j * stride.
struct Rows {
  const uint8_t* base;
  int64_t stride;
  size_t width;  // bytes of all the unit's heads
};
// Asks for rows [from, to), a few lines at a time: the processor drops what is too much at once.
class Fetch {
 public:
  Fetch(const Rows& rows, int from, int to, int calls)
      : row_(rows.base + from * rows.stride),
        stride_(rows.stride),
        lines_(static_cast<int>((rows.width + 63) / 64)),
        left_(to > from ? (to - from) * lines_ : 0),
        count_(left_ / (calls > 0 ? calls : 1) + 1) {}
  void next() {
    for (int i = 0; i < count_ && left_ > 0; i++, left_--) {
      prefetch(row_ + 64 * static_cast<size_t>(line_));
      if (++line_ == lines_) line_ = 0, row_ += stride_;
    }
  }

 private:
  const uint8_t* row_;
  int64_t stride_;
  int lines_, left_, count_, line_ = 0;
};
// Rows that are asked for while others are in work: row i at base + i * step, or none.
struct Ahead {
  const uint8_t* base;
  int64_t step;
};

// ---- the two products -----------------------------------------------------------------------------
// Loops over registers must be gone before the compiler decides what to keep in memory.
#define PL_UNROLL _Pragma("GCC unroll 8")

// Every kParts-th part of the chains of R rows and four keys.
template <int R, class Key>
inline void score_part(const float* q, int dim, const Key* const* keys, int part, const Ahead& ahead,
                       Part (&acc)[R][4]) {
  const Key *k0 = keys[0], *k1 = keys[1], *k2 = keys[2], *k3 = keys[3];
  PL_UNROLL for (int r = 0; r < R; r++)
    PL_UNROLL for (int i = 0; i < 4; i++) acc[r][i] = part_zero();
  for (int d = part * (16 / kParts); d < dim; d += 16) {
    // Half a line of each key is read in a step.
    if (sizeof(Key) == 2 && d % 32 == 0)
      PL_UNROLL for (int i = 0; i < 4; i++) prefetch(ahead.base + i * ahead.step + 2 * d);
    const Part k[4] = {part_load(k0 + d), part_load(k1 + d), part_load(k2 + d), part_load(k3 + d)};
    PL_UNROLL for (int r = 0; r < R; r++) {
      const Part a = part_load(q + r * dim + d);
      PL_UNROLL for (int i = 0; i < 4; i++) acc[r][i] = part_fma(a, k[i], acc[r][i]);
    }
  }
}
// scores[r][0..3] = q[r] . key i, for R rows; rows of q lie `dim` (a multiple of 16) apart.
template <int R, class Key>
inline void score_tile(const float* q, int dim, const Key* const* keys, const Ahead& ahead,
                       float* scores) {
  Part acc[R][kParts][4];
  PL_UNROLL for (int p = 0; p < kParts; p++) {
    Part own[R][4];
    score_part<R>(q, dim, keys, p, ahead, own);
    PL_UNROLL for (int r = 0; r < R; r++)
      PL_UNROLL for (int i = 0; i < 4; i++) acc[r][p][i] = own[r][i];
  }
  PL_UNROLL for (int r = 0; r < R; r++) fold4(acc[r], scores + r * kBlock);
}

// state[r] = state[r] * scale[r] + sum over positions [low, high) of p[r][j] * values[j].
// `stride`: elements between positions; ahead row 0 goes with position `low`.
template <int R, int N, class Value>
inline void value_tile(float* state, int state_stride, const float* scale, const float* p,
                       const Value* values, int64_t stride, int low, int high, Ahead ahead) {
  V acc[R][N];
  PL_UNROLL for (int r = 0; r < R; r++) {
    const V s = set1(scale[r]);
    PL_UNROLL for (int n = 0; n < N; n++)
      acc[r][n] = mul(load(state + r * state_stride + 16 * n), s);
  }
  for (int j = low; j < high; j++) {
    const Value* own = values + j * stride;
    if (sizeof(Value) == 2) {
      PL_UNROLL for (int n = 0; n < N; n += 2) prefetch(ahead.base + 32 * n);
      ahead.base += ahead.step;
    }
    V v[N];
    PL_UNROLL for (int n = 0; n < N; n++) v[n] = load(own + 16 * n);
    PL_UNROLL for (int r = 0; r < R; r++) {
      const V a = set1(p[r * kBlock + j]);
      PL_UNROLL for (int n = 0; n < N; n++) acc[r][n] = fma(a, v[n], acc[r][n]);
    }
  }
  PL_UNROLL for (int r = 0; r < R; r++)
    PL_UNROLL for (int n = 0; n < N; n++) store(state + r * state_stride + 16 * n, acc[r][n]);
}
// The same for `count` elements of the values, a multiple of 16, N vectors at a time.
template <int R, int N, class Value>
void value_rows(float* state, int state_stride, const float* scale, const float* p,
                const Value* values, int64_t stride, int count, int low, int high, Ahead ahead) {
  int d = 0;
  for (; d + 16 * N <= count; d += 16 * N, ahead.base += 32 * N)
    value_tile<R, N>(state + d, state_stride, scale, p, values + d, stride, low, high, ahead);
  if constexpr (N > 1)
    if (d < count)
      value_rows<R, N / 2>(state + d, state_stride, scale, p, values + d, stride, count - d, low,
                           high, ahead);
}

// Calls f with a compile-time number of rows, at most kTileRows at a time.
template <class F>
inline void by_rows(int rows, F f) {
  int r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) f(std::integral_constant<int, kTileRows>(), r);
  const int rest = rows - r;
  if constexpr (kTileRows > 5)
    if (rest == 5) f(std::integral_constant<int, 5>(), r);
  if constexpr (kTileRows > 4)
    if (rest == 4) f(std::integral_constant<int, 4>(), r);
  if constexpr (kTileRows > 3)
    if (rest == 3) f(std::integral_constant<int, 3>(), r);
  if constexpr (kTileRows > 2)
    if (rest == 2) f(std::integral_constant<int, 2>(), r);
  if (rest == 1) f(std::integral_constant<int, 1>(), r);
}

// ---- one chunk --------------------------------------------------------------------------------------
// What a token's rows see: positions [low, high).
struct Span {
  int64_t low, high;
};
inline Span visible(const Unit& u, int token) {
  const int64_t own = u.position + token;
  const int64_t low = u.window > 0 && own - u.window + 1 > 0 ? own - u.window + 1 : 0;
  return {low, u.end > 0 ? u.end : own + 1};
}

// Probabilities of one row over one block, in place of its scores. Updates maximum and sum; returns
// the factor by which older sums and values shrink. [low, high): the row's positions in the block.
inline float soften(float* s, int low, int high, int first, int last, float softcap, V* sum,
                    float* maximum_so_far) {
  const int v0 = first / 16, v1 = (last + 15) / 16;
  const auto inside = [&](int v) { return low <= 16 * v && high >= 16 * v + 16; };
  V x[kBlock / 16];
  V top = set1(kEmpty);
  for (int v = v0; v < v1; v++) {
    V a = load(s + 16 * v);
    if (softcap > 0) {
      // cap * tanh(y) with y = score / cap: tanh = 1 - 2 / (e^2y + 1); in units of log2.
      const V e = exp2(min(set1(126.0f), mul(a, set1(2.0f * kLog2e / softcap))));
      a = mul(set1(softcap * kLog2e), sub(set1(1.0f), div(set1(2.0f), add(e, set1(1.0f)))));
    }
    x[v] = inside(v) ? a : in_range(a, set1(kEmpty), low - 16 * v, high - 16 * v);
    top = max(top, x[v]);
  }
  const float m = maximum(top), old = *maximum_so_far;
  const float now = m > old ? m : old;
  const float shrink = now == old ? 1.0f : exp2(old - now);
  V total = zero();
  for (int v = v0; v < v1; v++) {
    V p = exp2(sub(x[v], set1(now)));
    if (!inside(v)) p = in_range(p, zero(), low - 16 * v, high - 16 * v);
    store(s + 16 * v, p);
    total = add(total, p);
  }
  *sum = fma(*sum, set1(shrink), total);
  *maximum_so_far = now;
  return shrink;
}

// Query rows of a head for which converting keys again and again is cheaper than storing them.
constexpr int kFewTiles = 6;
constexpr int kValueStep = 16;

// One unit in work on one chunk.
struct Work {
  const Unit& u;
  int rows, padded, stride;  // query rows of a head; padded head_dim; floats of a state
  float *state, *q, *scores, *shrink, *buffer;
  Span all;  // what any row sees

  Work(const Unit& unit, float* states, float* work)
      : u(unit),
        rows(u.tokens * u.group),
        padded((u.dim + 15) & ~15),
        stride(attention::state_floats(u.v_pad)),
        state(states) {
    const size_t count = static_cast<size_t>(rows) * u.heads;
    buffer = work;
    scores = buffer + attention::buffer_floats(u.dim);
    q = scores + count * kBlock;
    shrink = q + count * padded;
    all = {visible(u, 0).low, visible(u, u.tokens - 1).high};
  }
  // Positions [low, high) that some of rows [r, r + count) sees, within the block at b.
  void seen(int r, int count, int64_t b, int* low, int* high) const {
    const int64_t l = visible(u, r / u.group).low - b;
    const int64_t h = visible(u, (r + count - 1) / u.group).high - b;
    *low = static_cast<int>(l < 0 ? 0 : l > kBlock ? kBlock : l);
    *high = static_cast<int>(h < 0 ? 0 : h > kBlock ? kBlock : h);
  }
  // The same inside [from, to).
  void seen_in(int r, int count, int64_t b, int from, int to, int* low, int* high) const {
    seen(r, count, b, low, high);
    if (*low < from) *low = from;
    if (*high > to) *high = to;
  }

  // Queries are scaled so that scores come out in units of log2 (softcap works on natural units
  // first), and padded with zeros.
  void prepare() const {
    const float scale = u.softcap > 0 ? u.scale : u.scale * kLog2e;
    float* to = q;
    for (int head = 0; head < u.heads; head++)
      for (int r = 0; r < rows; r++, to += padded) {
        const float* from = u.q + (r / u.group) * u.q_stride +
                            (head * u.group + r % u.group) * u.q_head_stride;
        for (int d = 0; d < u.dim; d++) to[d] = from[d] * scale;
        for (int d = u.dim; d < padded; d++) to[d] = 0.0f;
      }
  }
  void clear() const {
    float* s = state;
    for (int i = 0; i < rows * u.heads; i++, s += stride) {
      for (int d = 0; d < u.v_pad + 16; d += 16) store(s + d, zero());
      s[u.v_pad + 16] = kEmpty;
    }
  }

  // Straight from f16 rows, four positions of all heads at a time. Values follow in memory order.
  void scores_in_place(int low, int high, const Rows& k, const Rows& v) const {
    for (int j = low & ~3; j < high; j += 4) {
      const uint8_t* four[4];
      for (int i = 0; i < 4; i++) {
        const int own = j + i < low ? low : j + i < high ? j + i : high - 1;
        four[i] = k.base + own * k.stride;
      }
      for (int head = 0; head < u.heads; head++) {
        const uint16_t* keys[4];
        for (int i = 0; i < 4; i++)
          keys[i] = reinterpret_cast<const uint16_t*>(four[i] + head * u.k_head_bytes);
        const Ahead ahead = ahead_of(k, v, j, 4, high, head, u.k_head_bytes);
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          const size_t row = static_cast<size_t>(head) * rows + r;
          score_tile<R>(q + row * padded, padded, keys, ahead, scores + row * kBlock + j);
        });
      }
    }
  }
  // What a step of n positions, one of a step per head, asks for: its share of the n rows that lie
  // about 16 KiB on, in the order of memory. Behind a block's rows come those of `next`.
  Ahead ahead_of(const Rows& own, const Rows& next, int j, int n, int high, int head,
                 size_t head_bytes) const {
    const int far = static_cast<int>(16384 / own.width) / n * n;
    j += far < n ? n : far > kBlock / 2 ? kBlock / 2 : far;
    const uint8_t* from = j < high ? own.base + j * own.stride
                                   : next.base + (j - high) * next.stride;
    const auto bytes = static_cast<int64_t>(head_bytes);
    if (own.stride == static_cast<int64_t>(own.width)) return {from + head * n * bytes, bytes};
    return {from + head * bytes, own.stride};
  }

  // A head's keys of positions [from, to) in [j0, j0 + 16), to the buffer.
  void read_keys(const Rows& k, int head, int j0, int from, int to) const {
    const uint8_t* base = k.base + head * u.k_head_bytes;
#ifdef PL_PACKED_KEYS
    for (int j = from & ~3; j < to; j += 4) {
      float* out = buffer + (j - j0) * padded;
      for (int d = 0; d < padded; d += 16, out += 64) {
        alignas(64) float t[4][16] = {};
        for (int i = 0; i < 4; i++)
          if (j + i >= from && j + i < to)
            read_row(u.k_type, base + (j + i) * k.stride, d, d + 16, u.dim, t[i]);
        pack_keys({load(t[0]), load(t[1]), load(t[2]), load(t[3])}, out);
      }
    }
#else
    for (int j = from; j < to; j++)
      read_row(u.k_type, base + j * k.stride, 0, padded, u.dim, buffer + (j - j0) * padded);
#endif
  }

  // Sixteen positions at a time, converted once for all rows of a head. Meanwhile the block's values
  // are asked for.
  void scores_converted(int64_t b, int low, int high, const Rows& k, const Rows& v) const {
    const int first_key = low & ~15, tiles = (rows + kTileRows - 1) / kTileRows;
    Fetch fetch(v, low, high, (high - low + 3) / 4 * tiles * u.heads);
    for (int j0 = first_key; j0 < high; j0 += 16) {
      const int from = j0 < low ? low : j0, to = j0 + 16 < high ? j0 + 16 : high;
      for (int head = 0; head < u.heads; head++) {
        read_keys(k, head, j0, from, to);
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          int first, last;
          seen_in(r, R, b, from, to, &first, &last);
          const size_t row = static_cast<size_t>(head) * rows + r;
#ifdef PL_PACKED_KEYS
          for (int j = first & ~7; j < last; j += 8) {
            fetch.next();
            fetch.next();
            packed_tile<R>(q + row * padded, padded, buffer + (j - j0) * padded,
                           scores + row * kBlock + j, kBlock);
          }
#else
          for (int j = first & ~3; j < last; j += 4) {
            fetch.next();
            const float* keys[4];
            for (int i = 0; i < 4; i++) keys[i] = buffer + (j + i - j0) * padded;
            score_tile<R>(q + row * padded, padded, keys, Ahead(), scores + row * kBlock + j);
          }
#endif
        });
      }
    }
  }

  void soften_block(int64_t b, int low, int high) const {
    for (int head = 0; head < u.heads; head++) {
      by_rows(rows, [&](auto count, int r) {
        constexpr int R = decltype(count)::value;
        // Every row gets probabilities wherever one of them sees something.
        int first, last;
        seen_in(r, R, b, low, high, &first, &last);
        if (first >= last) return;
        for (int i = head * rows + r; i < head * rows + r + R; i++) {
          int own_low, own_high;
          seen(i - head * rows, 1, b, &own_low, &own_high);
          float* row = state + static_cast<size_t>(i) * stride;
          V sum = load(row + u.v_pad);
          shrink[i] = soften(scores + static_cast<size_t>(i) * kBlock, own_low, own_high, first,
                             last, u.softcap, &sum, row + u.v_pad + 16);
          store(row + u.v_pad, sum);
        }
      });
    }
  }

  template <int R, int N, class Value>
  void value_head(int head, int r, int d, int count, const float* scale, const Value* values,
                  int64_t value_stride, int low, int high, const Ahead& ahead) const {
    const size_t row = static_cast<size_t>(head) * rows + r;
    value_rows<R, N>(state + row * stride + d, stride, scale, scores + row * kBlock, values,
                     value_stride, count, low, high, ahead);
  }
  // Straight from f16 rows, some positions of all heads at a time. Keys follow in memory order.
  void values_in_place(int64_t b, int low, int high, const Rows& v, const Rows& next) const {
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const int step = rows <= kTileRows ? 8 : kValueStep;
    for (int j = low; j < high; j += step) {
      const int to = j + step < high ? j + step : high;
      for (int head = 0; head < u.heads; head++) {
        const auto* values = reinterpret_cast<const uint16_t*>(v.base + head * u.v_head_bytes);
        const Ahead ahead = ahead_of(v, next, j, step, high, head, u.v_head_bytes);
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          constexpr int N = R <= kWideRows ? kWideVectors : kTileVectors;
          // Probabilities are there only where one of these rows sees something.
          int first, last;
          seen_in(r, R, b, low, high, &first, &last);
          const int from = first > j ? first : j, end = last < to ? last : to;
          if (from < end)
            value_head<R, N>(head, r, 0, u.v_pad, from == first ? shrink + head * rows + r : ones,
                             values, v.stride / 2, from, end, ahead);
        });
      }
    }
  }
  // A few dimensions of all positions at a time, converted once for all rows of a head. Meanwhile
  // the next block's keys are asked for.
  void values_converted(int64_t b, int low, int high, const Rows& v, const Rows& next,
                        int next_end) const {
    constexpr int width = 16 * kTileVectors;
    const int tiles = (rows + kTileRows - 1) / kTileRows, parts = (u.v_pad + width - 1) / width;
    Fetch fetch(next, 0, next_end, parts * tiles * u.heads);
    for (int head = 0; head < u.heads; head++) {
      for (int d = 0; d < u.v_pad; d += width) {
        const int end = d + width < u.v_pad ? d + width : u.v_pad;
        for (int j = low; j < high; j++)
          read_row(u.v_type, v.base + j * v.stride + head * u.v_head_bytes, d, end, u.v_dim,
                   buffer + j * width);
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          int first, last;
          seen_in(r, R, b, low, high, &first, &last);
          fetch.next();
          if (first < last)
            value_head<R, kTileVectors>(head, r, d, end - d, shrink + head * rows + r, buffer, width,
                                        first, last, Ahead());
        });
      }
    }
  }
};

void prepare(const Unit& u, float* work) { Work(u, nullptr, work).prepare(); }

void chunk(const Unit& u, int64_t index, float* state, float* work) {
  const Work w(u, state, work);
  w.clear();
  const bool few = w.rows <= kFewTiles * kTileRows;
  const bool k_in_place = few && u.k_type == PL_CACHE_F16 && u.dim % 16 == 0;
  const bool v_in_place = few && u.v_type == PL_CACHE_F16 && u.v_dim % 16 == 0;
  const int64_t begin = index * kChunk;
  const int64_t end = begin + kChunk < w.all.high ? begin + kChunk : w.all.high;
  const size_t k_width = u.k_head_bytes * u.heads, v_width = u.v_head_bytes * u.heads;
  for (int64_t b = begin; b < end; b += kBlock) {
    if (b + kBlock <= w.all.low) continue;
    const int low = w.all.low > b ? static_cast<int>(w.all.low - b) : 0;
    const int high = end - b < kBlock ? static_cast<int>(end - b) : kBlock;
    const Rows k = {u.k + b * u.k_stride, u.k_stride, k_width};
    const Rows v = {u.v + b * u.v_stride, u.v_stride, v_width};
    const Rows next = {k.base + kBlock * u.k_stride, u.k_stride, k_width};
    const int64_t left = w.all.high - b - kBlock;  // the next chunk is usually ours too
    const int next_end = left > kBlock ? kBlock : left < 0 ? 0 : static_cast<int>(left);
    if (k_in_place)
      w.scores_in_place(low, high, k, v);
    else
      w.scores_converted(b, low, high, k, v);
    w.soften_block(b, low, high);
    if (v_in_place)
      w.values_in_place(b, low, high, v, next);
    else
      w.values_converted(b, low, high, v, next, next_end);
  }
}

// Scalars of up to 16 merges are found first, so that each vector of values is read once.
void merge(float* into, const float* next, int64_t step, int count, int rows, int v_pad) {
  const int stride = attention::state_floats(v_pad);
  for (int r = 0; r < rows; r++, into += stride, next += stride) {
    for (int c0 = 0; c0 < count; c0 += 16) {
      const int n = count - c0 < 16 ? count - c0 : 16;
      const float* from = next + c0 * step;
      alignas(64) float old_factor[16] = {}, new_factor[16] = {};
      float top = into[v_pad + 16];
      for (int c = 0; c < n; c++) {
        const float own = from[c * step + v_pad + 16], m = top > own ? top : own;
        old_factor[c] = top - m;
        new_factor[c] = own - m;
        top = m;
      }
      store(old_factor, exp2(load(old_factor)));
      store(new_factor, exp2(load(new_factor)));
      for (int d = 0; d < v_pad + 16; d += 16) {
        V sum = load(into + d);
        for (int c = 0; c < n; c++)
          sum = fma(sum, set1(old_factor[c]), mul(load(from + c * step + d), set1(new_factor[c])));
        store(into + d, sum);
      }
      into[v_pad + 16] = top;
    }
  }
}

void finish(const float* state, int tokens, int group, int v_dim, int v_pad, const float* sink,
            float* out, int64_t out_stride) {
  const int stride = attention::state_floats(v_pad);
  for (int r = 0; r < tokens * group; r++, state += stride) {
    float l = sum(load(state + v_pad)), factor = 1.0f;
    if (sink) {
      const float s = sink[r % group] * kLog2e, m = state[v_pad + 16], top = m > s ? m : s;
      factor = exp2(m - top);
      l = l * factor + exp2(s - top);
    }
    factor = l != 0.0f ? factor / l : 0.0f;
    float* to = out + (r / group) * out_stride + static_cast<int64_t>(r % group) * v_dim;
    // Adding +0 makes the sign of an exact zero independent of the path that led to it.
    for (int d = 0; d < v_dim; d++) to[d] = state[d] * factor + 0.0f;
  }
}

#include "attention_rows.h"

const attention::Ops kOps = {prepare, chunk, merge, finish, store_row, rotate};
