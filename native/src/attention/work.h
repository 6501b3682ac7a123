// One unit in work on one chunk: where its parts lie, and what both ways of going through a block share.
#pragma once
#include "attention.h"
#include "exp.h"
#include "products.h"
#include "read.h"
#include "softmax.h"

namespace pl {
namespace attention {
namespace {

// What a token's rows see: positions [low, high).
struct Span {
  int64_t low, high;
};
inline Span visible(const Unit& u, int token) {
  const int64_t own = u.position + token;
  const int64_t low = u.window > 0 && own - u.window + 1 > 0 ? own - u.window + 1 : 0;
  return {low, seen_end(u.end, own, u.ahead)};
}
// The part of a span in the `size` positions from b on, counted from b.
inline Range within(const Span& s, int64_t b, int size) {
  const auto cut = [&](int64_t x) { return static_cast<int>(x < b ? 0 : x - b > size ? size : x - b); };
  return {cut(s.low), cut(s.high)};
}
inline const float* query_of(const Unit& u, int head, int row) {
  return u.q + (row / u.group) * u.q_stride + (head * u.group + row % u.group) * u.q_head_stride;
}
// Factor of scores, which are in units of log2 unless they are capped later on.
inline float factor_of(const Unit& u) { return u.softcap > 0 ? u.scale : u.scale * kLog2e; }

struct Work {
  const Unit& u;
  int rows, padded, stride;  // query rows of a head; padded head_dim; floats of a state
  int inverse;               // of the group, in units of 2^-20; 0 where there is one token
  float *state, *q, *scores, *shrink, *buffer;
  Fetch& fetch;
  Span all;  // what any row sees

  Work(const Unit& unit, float* states, float* work)
      : u(unit),
        rows(u.tokens * u.group),
        padded((u.dim + 15) & ~15),
        stride(state_floats(u.v_pad)),
        inverse(u.tokens > 1 ? (1 << 20) / u.group + 1 : 0),
        state(states),
        fetch(*reinterpret_cast<Fetch*>(work)) {
    static_assert(sizeof(Fetch) <= 4 * kFetchFloats, "");
    const size_t count = static_cast<size_t>(rows) * u.heads;
    buffer = work + kFetchFloats;
    scores = buffer + buffer_floats(u.dim);
    q = scores + count * kBlock;
    shrink = q + count * padded;
    all = {visible(u, 0).low, visible(u, u.tokens - 1).high};
  }
  // The token of a row of a head. A division would take as long as a good part of a tile.
  int token_of(int r) const { return static_cast<int>(static_cast<int64_t>(r) * inverse >> 20); }
  // Positions [low, high) that some of rows [r, r + count) sees, within the block at b.
  void seen(int r, int count, int64_t b, int* low, int* high) const {
    const Range own = within({visible(u, token_of(r)).low, visible(u, token_of(r + count - 1)).high}, b, kBlock);
    *low = own.low;
    *high = own.high;
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
    const float scale = factor_of(u);
    float* to = q;
    for (int head = 0; head < u.heads; head++)
      for (int r = 0; r < rows; r++, to += padded) {
        const float* from = query_of(u, head, r);
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

  void soften_head(int head, int64_t b, int low, int high) const {
    by_rows(rows, [&](auto count, int r) {
      constexpr int R = decltype(count)::value;
      // Every row gets probabilities wherever one of them sees something.
      int first, last;
      seen_in(r, R, b, low, high, &first, &last);
      if (first >= last) return;
      Range own[R];
      for (int i = 0; i < R; i++) seen(r + i, 1, b, &own[i].low, &own[i].high);
      const size_t row = static_cast<size_t>(head) * rows + r;
      soften<R>(scores + row * kBlock, own, {first, last}, u.softcap, state + row * stride + u.v_pad,
                stride, shrink + row);
    });
  }
  // Elements [d, d + count) of the state from elements `from` on of the values.
  template <int R, int N, int Type, class Side>
  void value_head(int head, int r, int d, int from, int count, const float* scale,
                  const uint8_t* values, int64_t value_stride, int low, int high,
                  const Side& side) const {
    const size_t row = static_cast<size_t>(head) * rows + r;
    value_rows<R, N, Type>(state + row * stride + d, stride, scale, scores + row * kBlock, values,
                           value_stride, from, count, low, high, side);
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl
