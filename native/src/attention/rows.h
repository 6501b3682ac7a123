// Rows on their way into the cache: conversion to its types, norm and rotation of heads, over the same vector V.
#pragma once
#include <math.h>
#include <cstring>

#include "../../include/paceline.h"
#include "../vec/lanes.h"

namespace pl {
namespace attention {
namespace {

// ---- storing --------------------------------------------------------------------------------------------
// From here on numbers round to an infinite f16.
constexpr float kHalfEnd = 65520.0f;

inline bool store_row(const float* x, uint8_t* out, int64_t n, int type) {
  if (type == PL_CACHE_F32) {
    std::memcpy(out, x, static_cast<size_t>(n) * 4);
    return true;
  }
  if (type == PL_CACHE_F16) {
    V top = zero();
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const V own = load(x + i);
      top = max(abs(own), top);
      store_half(out + 2 * i, own);
    }
    if (i < n) {
      alignas(64) float t[16] = {};
      alignas(64) uint16_t h[16];
      std::memcpy(t, x + i, static_cast<size_t>(n - i) * 4);
      const V own = load(t);
      top = max(abs(own), top);
      store_half(h, own);
      std::memcpy(out + 2 * i, h, static_cast<size_t>(n - i) * 2);
    }
    return !(maximum(top) >= kHalfEnd);
  }
  // q8_0: an f16 scale = max |x| / 127 and 32 rounded quotients.
  float largest = 0.0f;
  for (int64_t i = 0; i < n; i += 32, out += 34) {
    const V a = load(x + i), b = load(x + i + 16);
    const float top = maximum(max(abs(a), abs(b)));
    const float scale = top / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    largest = scale > largest ? scale : largest;
    alignas(64) uint16_t h[16];
    store_half(h, set1(scale));
    std::memcpy(out, h, 2);
    store_int8(out + 2, mul(a, set1(inverse)));
    store_int8(out + 18, mul(b, set1(inverse)));
  }
  return !(largest >= kHalfEnd);
}

// ---- norm and rotation of a head --------------------------------------------------------------------
inline void rotate(const float* x, const float* weight, float eps, const float* table, int dim,
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

}  // namespace
}  // namespace attention
}  // namespace pl
