// Attention of one tile of query rows over one chunk of positions, written once over the 16-lane
// vector V that the including file defines. Included inside an anonymous namespace.
//
// Order of operations, the same for every tile size and CPU path: a score is one chain of fused
// multiply-adds over the head's dimensions; a weighted value is one chain over positions; sums of
// probabilities have 16 lanes (position mod 16), folded at the end. A position that a row does not
// see has probability exactly 0 and so changes nothing.

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
// Keys and values in the work area are f32, or still f16 when so few query rows follow that
// converting while multiplying is cheaper than storing the converted tile.
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
inline size_t row_bytes(int type, int dim) {
  return type == PL_CACHE_F32   ? 4 * static_cast<size_t>(dim)
         : type == PL_CACHE_F16 ? 2 * static_cast<size_t>(dim)
                                : static_cast<size_t>(dim) / 32 * 34;
}
// One KV head's cache rows of a block: row j at base + j * stride; only [low, high) may be read now,
// and rows below `ahead` may be prefetched.
struct Rows {
  const uint8_t* base;
  int64_t stride;
  int low, high, ahead;
  size_t bytes;
  // Of the same row one block on: the bytes [from, from + count).
  void prefetch_next(int j, size_t from, size_t count) const {
    if (j + kBlock >= ahead) return;
    const uint8_t* row = base + (j + kBlock) * stride + from;
    for (size_t i = 0; i < count; i += 64) prefetch(row + i);
  }
};

// Rows become columns: out[d][64]. Columns of untouched vectors of 16 are left alone; other columns
// outside [low, high) are zero.
template <int Type>
void load_keys(float* out, const Rows& r, int dim) {
  for (int j0 = r.low & ~15; j0 < r.high; j0 += 16) {
    const int first = j0 < r.low ? r.low : j0, last = j0 + 16 < r.high ? j0 + 16 : r.high;
    for (int d = 0; d < dim; d += 16) {
      V t[16];
      const int n = dim - d < 16 ? dim - d : 16;
      for (int j = 0; j < 16; j++) {
        const uint8_t* row = r.base + (j0 + j) * r.stride;
        t[j] = j0 + j < first || j0 + j >= last ? zero()
               : n == 16                        ? read16<Type>(row, d)
                                                : read_tail<Type>(row, d, n);
      }
      transpose(t);
      for (int i = 0; i < n; i++) store(out + (d + i) * kBlock + j0, t[i]);
      const size_t step = 16 * r.bytes / dim;
      for (int j = first; j < last; j++) r.prefetch_next(j, r.bytes * d / dim, step);
    }
  }
}
// The same from f16 rows with a multiple of 8 elements, to f32 or kept as f16.
template <class Key>
void load_half_keys(Key* out, const Rows& r, int dim) {
  alignas(64) static const uint8_t nothing[16] = {};
  for (int j0 = r.low & ~15; j0 < r.high; j0 += PL_HALF_ROWS) {
    const uint8_t* rows[PL_HALF_ROWS];
    bool whole = true;
    for (int j = 0; j < PL_HALF_ROWS; j++) {
      const bool in = j0 + j >= r.low && j0 + j < r.high;
      rows[j] = in ? r.base + (j0 + j) * r.stride : nothing;
      whole = whole && in;
    }
    const int limit = j0 + PL_HALF_ROWS > kBlock ? kBlock - PL_HALF_ROWS : j0;
    if (whole && limit == j0) {
      // Cache rows often lie a power of two apart, in too few sets of the first-level cache to stay
      // there for several steps: each line is read once, into a buffer.
      int d = 0;
      for (; d + 32 <= dim; d += 32) {
        alignas(64) uint8_t lines[PL_HALF_ROWS][64];
        const uint8_t* copies[PL_HALF_ROWS];
        for (int j = 0; j < PL_HALF_ROWS; j++) {
          r.prefetch_next(j0 + j, 2 * static_cast<size_t>(d), 64);
          std::memcpy(lines[j], rows[j] + 2 * d, 64);
          copies[j] = lines[j];
        }
        for (int i = 0; i < 32; i += 8)
          transpose_half(copies, 2 * static_cast<size_t>(i), out + (d + i) * kBlock + j0, kBlock);
      }
      for (; d < dim; d += 8)
        transpose_half(rows, 2 * static_cast<size_t>(d), out + d * kBlock + j0, kBlock);
      continue;
    }
    for (int d = 0; d < dim; d += 8) {
      alignas(64) uint8_t part[PL_HALF_ROWS][16];
      const uint8_t* parts[PL_HALF_ROWS];
      alignas(64) Key t[8 * PL_HALF_ROWS];
      for (int j = 0; j < PL_HALF_ROWS; j++) {
        std::memcpy(part[j], rows[j] + (rows[j] == nothing ? 0 : 2 * d), 16);
        parts[j] = part[j];
      }
      transpose_half(parts, 0, t, PL_HALF_ROWS);
      const int columns = j0 + PL_HALF_ROWS > kBlock ? kBlock - j0 : PL_HALF_ROWS;
      for (int i = 0; i < 8; i++)
        std::memcpy(out + (d + i) * kBlock + j0, t + i * PL_HALF_ROWS, columns * sizeof(Key));
    }
  }
}

// Rows as f32: out[position][v_pad].
template <int Type>
void load_values(float* out, const Rows& r, int dim, int v_pad) {
  for (int j = r.low; j < r.high; j++) {
    r.prefetch_next(j, 0, r.bytes);
    const uint8_t* row = r.base + j * r.stride;
    float* to = out + static_cast<size_t>(j) * v_pad;
    int d = 0;
    for (; d + 16 <= dim; d += 16) store(to + d, read16<Type>(row, d));
    if (d < dim) store(to + d, read_tail<Type>(row, d, dim - d));
  }
}

// ---- the two products -----------------------------------------------------------------------------
// scores[r][64] = sum over d of q[r][d] * keys[d][64], for R rows and N vectors of positions.
template <int R, int N, class Key>
inline void score_tile(const float* q, int dim, const Key* keys, float* scores) {
  V acc[R][N];
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) acc[r][n] = zero();
#pragma GCC unroll 4
  for (int d = 0; d < dim; d++) {
    V k[N];
    for (int n = 0; n < N; n++) k[n] = load(keys + d * kBlock + 16 * n);
    for (int r = 0; r < R; r++) {
      const V a = set1(q[r * dim + d]);
      for (int n = 0; n < N; n++) acc[r][n] = fma(a, k[n], acc[r][n]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) store(scores + r * kBlock + 16 * n, acc[r][n]);
}

// state[r] = state[r] * scale[r] + sum over positions [low, high) of p[r][j] * values[j].
// `stride`: elements between positions. Positions below `ahead` are fetched a block ahead.
template <int R, int N, class Value>
inline void value_tile(float* state, int state_stride, const float* scale, const float* p,
                       const Value* values, int64_t stride, int low, int high, int ahead) {
  V acc[R][N];
  for (int r = 0; r < R; r++) {
    const V s = set1(scale[r]);
    for (int n = 0; n < N; n++) acc[r][n] = mul(load(state + r * state_stride + 16 * n), s);
  }
#pragma GCC unroll 4
  for (int j = low; j < high; j++) {
    V v[N];
    if (sizeof(Value) == 2 && j + kBlock < ahead)
      for (int n = 0; n < N; n += 2) prefetch(values + (j + kBlock) * stride + 16 * n);
    for (int n = 0; n < N; n++) v[n] = load(values + j * stride + 16 * n);
    for (int r = 0; r < R; r++) {
      const V a = set1(p[r * kBlock + j]);
      for (int n = 0; n < N; n++) acc[r][n] = fma(a, v[n], acc[r][n]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int n = 0; n < N; n++) store(state + r * state_stride + 16 * n, acc[r][n]);
}

template <int R, class Key>
void score_rows(const float* q, int dim, const Key* keys, float* scores, int low, int high) {
  int j = low & ~15;
  for (; j + 16 * (kTileVectors - 1) < high; j += 16 * kTileVectors)
    score_tile<R, kTileVectors>(q, dim, keys + j, scores + j);
  if constexpr (kTileVectors > 2)
    for (; j + 16 < high; j += 32) score_tile<R, 2>(q, dim, keys + j, scores + j);
  if constexpr (kTileVectors > 1)
    for (; j < high; j += 16) score_tile<R, 1>(q, dim, keys + j, scores + j);
}

template <int R, class Value>
void value_rows(float* state, int state_stride, const float* scale, const float* p,
                const Value* values, int64_t stride, int v_pad, int low, int high, int ahead) {
  int d = 0;
  for (; d + 16 * kTileVectors <= v_pad; d += 16 * kTileVectors)
    value_tile<R, kTileVectors>(state + d, state_stride, scale, p, values + d, stride, low, high,
                               ahead);
  if constexpr (kTileVectors > 2)
    for (; d + 32 <= v_pad; d += 32)
      value_tile<R, 2>(state + d, state_stride, scale, p, values + d, stride, low, high,
                               ahead);
  if constexpr (kTileVectors > 1)
    for (; d < v_pad; d += 16)
      value_tile<R, 1>(state + d, state_stride, scale, p, values + d, stride, low, high,
                               ahead);
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
  V x[kBlock / 16];
  V top = set1(kEmpty);
  for (int v = v0; v < v1; v++) {
    V a = load(s + 16 * v);
    if (softcap > 0) {
      // cap * tanh(y) with y = score / cap: tanh = 1 - 2 / (e^2y + 1); in units of log2.
      const V e = exp2(min(set1(126.0f), mul(a, set1(2.0f * kLog2e / softcap))));
      a = mul(set1(softcap * kLog2e), sub(set1(1.0f), div(set1(2.0f), add(e, set1(1.0f)))));
    }
    x[v] = in_range(a, set1(kEmpty), low - 16 * v, high - 16 * v);
    top = max(top, x[v]);
  }
  const float m = maximum(top), old = *maximum_so_far;
  const float now = m > old ? m : old;
  const float shrink = now == old ? 1.0f : exp2(old - now);
  V total = zero();
  for (int v = v0; v < v1; v++) {
    const V p = in_range(exp2(sub(x[v], set1(now))), zero(), low - 16 * v, high - 16 * v);
    store(s + 16 * v, p);
    total = add(total, p);
  }
  *sum = fma(*sum, set1(shrink), total);
  *maximum_so_far = now;
  return shrink;
}

void chunk(const Unit& u, int64_t index, float* state, float* work) {
  const int rows = u.tokens * u.group, stride = attention::state_floats(u.v_pad);
  float* keys = work;
  float* values = keys + static_cast<size_t>(kBlock) * u.dim;
  float* scores = values + static_cast<size_t>(kBlock) * u.v_pad;
  float* q = scores + static_cast<size_t>(kBlock) * rows;
  float* shrink = q + static_cast<size_t>(rows) * u.dim;

  // Scaled so that scores come out in units of log2 (softcap works on natural units first).
  const float scale = u.softcap > 0 ? u.scale : u.scale * kLog2e;
  for (int r = 0; r < rows; r++) {
    const float* from = u.q + (r / u.group) * u.q_stride + (r % u.group) * u.q_head_stride;
    for (int d = 0; d < u.dim; d++) q[r * u.dim + d] = from[d] * scale;
    float* s = state + static_cast<size_t>(r) * stride;
    for (int d = 0; d < u.v_pad + 16; d += 16) store(s + d, zero());
    s[u.v_pad + 16] = kEmpty;
  }

  const bool few = rows <= kTileRows;
  const bool k_half = few && u.k_type == PL_CACHE_F16 && u.dim % 8 == 0;
  const bool v_half = few && u.v_type == PL_CACHE_F16 && u.v_dim % 16 == 0;
  const Span first = visible(u, 0), last = visible(u, u.tokens - 1);
  const int64_t begin = index * kChunk;
  int64_t end = begin + kChunk;
  if (end > last.high) end = last.high;
  for (int64_t b = begin; b < end; b += kBlock) {
    if (b + kBlock <= first.low) continue;
    const int low = first.low > b ? static_cast<int>(first.low - b) : 0;
    const int high = end - b < kBlock ? static_cast<int>(end - b) : kBlock;
    // Prefetching may run one block past this chunk: the next one is usually ours too.
    const int64_t left = last.high - b;
    const int ahead = left > 2 * kBlock ? 2 * kBlock : static_cast<int>(left);
    const Rows k = {u.k + b * u.k_stride, u.k_stride, low, high, ahead, row_bytes(u.k_type, u.dim)};
    const Rows v = {u.v + b * u.v_stride, u.v_stride, low, high, ahead,
                    row_bytes(u.v_type, u.v_dim)};
    auto* half_keys = reinterpret_cast<uint16_t*>(keys);
    if (k_half)
      load_half_keys(half_keys, k, u.dim);
    else if (u.k_type == PL_CACHE_F16 && u.dim % 8 == 0)
      load_half_keys(keys, k, u.dim);
    else if (u.k_type == PL_CACHE_F16)
      load_keys<PL_CACHE_F16>(keys, k, u.dim);
    else if (u.k_type == PL_CACHE_F32)
      load_keys<PL_CACHE_F32>(keys, k, u.dim);
    else
      load_keys<PL_CACHE_Q8_0>(keys, k, u.dim);
    if (v_half)
      ;  // read in place
    else if (u.v_type == PL_CACHE_F16)
      load_values<PL_CACHE_F16>(values, v, u.v_dim, u.v_pad);
    else if (u.v_type == PL_CACHE_F32)
      load_values<PL_CACHE_F32>(values, v, u.v_dim, u.v_pad);
    else
      load_values<PL_CACHE_Q8_0>(values, v, u.v_dim, u.v_pad);

    by_rows(rows, [&](auto count, int r) {
      constexpr int R = decltype(count)::value;
      // What any of these rows sees in this block.
      const Span a = visible(u, r / u.group), z = visible(u, (r + R - 1) / u.group);
      const int from = a.low > b + low ? static_cast<int>(a.low - b) : low;
      const int to = z.high < b + high ? static_cast<int>(z.high - b) : high;
      float* s = scores + static_cast<size_t>(r) * kBlock;
      if (from >= to) return;
      const float* queries = q + static_cast<size_t>(r) * u.dim;
      if (k_half)
        score_rows<R>(queries, u.dim, half_keys, s, from, to);
      else
        score_rows<R>(queries, u.dim, keys, s, from, to);
      for (int i = 0; i < R; i++) {
        const Span own = visible(u, (r + i) / u.group);
        float* row = state + static_cast<size_t>(r + i) * stride;
        V sum = load(row + u.v_pad);
        const int64_t l = own.low - b, h = own.high - b;
        shrink[r + i] =
            soften(s + i * kBlock, static_cast<int>(l < 0 ? 0 : l > kBlock ? kBlock : l),
                   static_cast<int>(h < 0 ? 0 : h > kBlock ? kBlock : h), from, to, u.softcap, &sum,
                   row + u.v_pad + 16);
        store(row + u.v_pad, sum);
      }
    });
    by_rows(rows, [&](auto count, int r) {
      constexpr int R = decltype(count)::value;
      const Span a = visible(u, r / u.group), z = visible(u, (r + R - 1) / u.group);
      const int from = a.low > b + low ? static_cast<int>(a.low - b) : low;
      const int to = z.high < b + high ? static_cast<int>(z.high - b) : high;
      if (from >= to) return;
      float* values_of = state + static_cast<size_t>(r) * stride;
      const float* p = scores + static_cast<size_t>(r) * kBlock;
      if (v_half)
        value_rows<R>(values_of, stride, shrink + r, p, reinterpret_cast<const uint16_t*>(v.base),
                      u.v_stride / 2, u.v_pad, from, to, ahead);
      else
        value_rows<R>(values_of, stride, shrink + r, p, values, u.v_pad, u.v_pad, from, to, 0);
    });
  }
}

void merge(float* into, const float* next, int rows, int v_pad) {
  const int stride = attention::state_floats(v_pad);
  for (int r = 0; r < rows; r++, into += stride, next += stride) {
    const float a = into[v_pad + 16], b = next[v_pad + 16], m = a > b ? a : b;
    const V fa = set1(exp2(a - m)), fb = set1(exp2(b - m));
    for (int d = 0; d < v_pad + 16; d += 16)
      store(into + d, fma(load(into + d), fa, mul(load(next + d), fb)));
    into[v_pad + 16] = m;
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

// ---- storing --------------------------------------------------------------------------------------------
// f16 saturates at its largest finite value instead of overflowing; NaN stays NaN.
inline V saturate(V a) { return max(set1(-65504.0f), min(set1(65504.0f), a)); }

void store_row(const float* x, uint8_t* out, int64_t n, int type) {
  if (type == PL_CACHE_F32) {
    std::memcpy(out, x, static_cast<size_t>(n) * 4);
  } else if (type == PL_CACHE_F16) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) store_half(out + 2 * i, saturate(load(x + i)));
    if (i < n) {
      alignas(64) float t[16] = {};
      alignas(64) uint16_t h[16];
      std::memcpy(t, x + i, static_cast<size_t>(n - i) * 4);
      store_half(h, saturate(load(t)));
      std::memcpy(out + 2 * i, h, static_cast<size_t>(n - i) * 2);
    }
  } else {
    // q8_0: an f16 scale = max |x| / 127 and 32 rounded quotients.
    for (int64_t i = 0; i < n; i += 32, out += 34) {
      const V a = load(x + i), b = load(x + i + 16);
      const float top = maximum(max(abs(a), abs(b)));
      const float scale = top / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
      alignas(64) uint16_t h[16];
      store_half(h, saturate(set1(scale)));
      std::memcpy(out, h, 2);
      store_int8(out + 2, mul(a, set1(inverse)));
      store_int8(out + 18, mul(b, set1(inverse)));
    }
  }
}

// ---- norm and rotation of a head --------------------------------------------------------------------
void rotate(const float* x, const float* weight, float eps, const float* table, int dim,
            int rotated, bool halves, float* out) {
  const int whole = dim & ~15;
  if (weight) {
    // Sums of squares in 16 lanes; what is left over goes in one by one.
    V squares = zero();
    for (int d = 0; d < whole; d += 16) {
      const V a = load(x + d);
      squares = fma(a, a, squares);
    }
    float total = sum(squares);
    for (int d = whole; d < dim; d++) total += x[d] * x[d];
    const float scale = 1.0f / sqrtf(total / static_cast<float>(dim) + eps);
    const V s = set1(scale);
    for (int d = 0; d < whole; d += 16) store(out + d, mul(mul(load(x + d), s), load(weight + d)));
    for (int d = whole; d < dim; d++) out[d] = x[d] * scale * weight[d];
  } else {
    std::memcpy(out, x, static_cast<size_t>(dim) * 4);
  }
  const int half = rotated / 2;
  const float* cosine = table;
  const float* sine = table + half;
  if (halves) {
    int i = 0;
    for (; i + 16 <= half; i += 16) {
      const V a = load(out + i), b = load(out + half + i), c = load(cosine + i), s = load(sine + i);
      store(out + i, sub(mul(a, c), mul(b, s)));
      store(out + half + i, add(mul(a, s), mul(b, c)));
    }
    for (; i < half; i++) {
      const float a = out[i], b = out[half + i];
      out[i] = a * cosine[i] - b * sine[i];
      out[half + i] = a * sine[i] + b * cosine[i];
    }
  } else {
    for (int i = 0; i < half; i++) {
      const float a = out[2 * i], b = out[2 * i + 1];
      out[2 * i] = a * cosine[i] - b * sine[i];
      out[2 * i + 1] = a * sine[i] + b * cosine[i];
    }
  }
}

const attention::Ops kOps = {chunk, merge, finish, store_row, rotate};
