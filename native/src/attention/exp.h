// The functions of scores that probabilities are made of.
#pragma once
#include "../vec/lanes.h"

namespace pl {
namespace attention {
namespace {

constexpr float kMagic = 12582912.0f;  // added to a number below 2^22, it leaves a whole one in the lowest bits

// 2^x for x <= 127; exactly 1 at 0 and exactly 0 below -127. Relative error under 1e-7.
inline V exp2(V x) {
  x = max(set1(-127.0f), x);
  const V shifted = add(x, set1(kMagic)), f = sub(x, sub(shifted, set1(kMagic)));
  V p = set1(0x1.41fbbcp-13f);
  p = fma(p, f, set1(0x1.5f3e52p-10f));
  p = fma(p, f, set1(0x1.3b2d4cp-7f));
  p = fma(p, f, set1(0x1.c6aee8p-5f));
  p = fma(p, f, set1(0x1.ebfbdcp-3f));
  p = fma(p, f, set1(0x1.62e430p-1f));
  p = fma(p, f, set1(1.0f));
  return add_exponent(p, shifted);
}
inline float exp2(float x) {
  alignas(64) float t[16];
  store(t, exp2(set1(x)));
  return t[0];
}
constexpr float kLog2e = 1.44269504088896340736f;

// A score in natural units, capped: cap * tanh(score / cap) as cap * (1 - 2 / (e^2y + 1)), in units of log2.
inline V capped(V score, float cap) {
  const V e = exp2(min(set1(126.0f), mul(score, set1(2.0f * kLog2e / cap))));
  return mul(set1(cap * kLog2e), sub(set1(1.0f), div(set1(2.0f), add(e, set1(1.0f)))));
}

}  // namespace
}  // namespace attention
}  // namespace pl
