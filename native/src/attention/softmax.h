// Probabilities of a block, and what becomes of the states of chunks.
#pragma once
#include "../vec/lanes.h"
#include "attention.h"
#include "exp.h"

namespace pl {
namespace attention {
namespace {

// Positions of a block, [low, high).
struct Range {
  int low, high;
  // Whether vector v of a block lies inside.
  bool has(int v) const { return low <= 16 * v && high >= 16 * v + 16; }
  V cut(V x, V other, int v) const { return in_range(x, other, low - 16 * v, high - 16 * v); }
};

// Scores of a row, in place, as far as the row sees them; returns their maximum.
inline float highest(float* s, const Range& seen, int v0, int v1, float softcap) {
  V top = set1(kEmpty);
  for (int v = v0; v < v1; v++) {
    V a = load(s + 16 * v);
    if (softcap > 0) a = capped(a, softcap);
    if (!seen.has(v)) a = seen.cut(a, set1(kEmpty), v);
    if (softcap > 0 || !seen.has(v)) store(s + 16 * v, a);
    top = max(top, a);
  }
  return maximum(top);
}
// Scores become probabilities; returns their sums.
inline V probabilities(float* s, const Range& seen, int v0, int v1, float maximum) {
  V total = zero();
  for (int v = v0; v < v1; v++) {
    V p = exp2(sub(load(s + 16 * v), set1(maximum)));
    if (!seen.has(v)) p = seen.cut(p, zero(), v);
    store(s + 16 * v, p);
    total = add(total, p);
  }
  return total;
}
// The same of R <= 16 rows over one block, of which they see parts: `all` is what any of them sees.
// Updates maxima and sums in the states behind `v_pad` values; shrink[r]: the factor by which older
// sums and values shrink.
template <int R>
inline void soften(float* scores, const Range (&seen)[R], const Range& all, float softcap, float* state,
                   int stride, float* shrink) {
  const int v0 = all.low / 16, v1 = (all.high + 15) / 16;
  alignas(64) float now[16] = {}, factor[16] = {};
  for (int r = 0; r < R; r++) {
    const float m = highest(scores + r * kBlock, seen[r], v0, v1, softcap);
    float* top = state + r * stride + 16;
    now[r] = m > *top ? m : *top;
    factor[r] = *top - now[r];
    *top = now[r];
  }
  store(factor, exp2(load(factor)));
  for (int r = 0; r < R; r++) {
    const V total = probabilities(scores + r * kBlock, seen[r], v0, v1, now[r]);
    float* sum = state + r * stride;
    store(sum, fma(load(sum), set1(factor[r]), total));
    shrink[r] = factor[r];
  }
}

// Scalars of up to 16 merges are found first, so that each vector of values is read once.
void merge(float* into, const float* next, int64_t step, int count, int rows, int v_pad) {
  const int stride = state_floats(v_pad);
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
  const int stride = state_floats(v_pad);
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

}  // namespace
}  // namespace attention
}  // namespace pl
