// What surrounds a product, written once for all CPU paths: the RMS norm in front, the activation
// functions and sums behind. Each row on its own, in a fixed order. See kernel.h.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../common/inline.h"

namespace pl {
namespace {

// 1 / sqrt(mean(x^2) + eps). Four vectors of partial sums, folded in a fixed order.
template <class A>
float rms_factor(const float* x, int64_t k, float eps) {
  constexpr int W = A::W;
  typename A::V sum[4] = {A::zero(), A::zero(), A::zero(), A::zero()};
  int64_t i = 0;
  for (; i + 4 * W <= k; i += 4 * W) {
    PL_UNROLL
    for (int j = 0; j < 4; ++j) {
      const auto v = A::load_f32(x + i + j * W);
      sum[j] = A::fma(v, v, sum[j]);
    }
  }
  double total = 0;
  for (int j = 0; j < 4; ++j) {
    float lanes[W];
    A::store(lanes, sum[j]);
    for (int l = 0; l < W; ++l) total += static_cast<double>(lanes[l]);
  }
  for (; i < k; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double mean = total / static_cast<double>(k) + static_cast<double>(eps);
  return static_cast<float>(1.0 / __builtin_sqrt(mean));
}

// exp to about 2 units in the last place, for arguments in +-87.
template <class A>
inline typename A::V exponential(typename A::V x) {
  x = A::min(A::max(x, A::splat(-87.0f)), A::splat(87.0f));
  const auto n = A::round(A::mul(x, A::splat(1.44269504088896341f)));
  const auto nf = A::to_float(n);
  auto r = A::fnma(nf, A::splat(0.693359375f), x);
  r = A::fnma(nf, A::splat(-2.12194440e-4f), r);
  auto p = A::splat(1.9875691500e-4f);
  p = A::fma(p, r, A::splat(1.3981999507e-3f));
  p = A::fma(p, r, A::splat(8.3334519073e-3f));
  p = A::fma(p, r, A::splat(4.1665795894e-2f));
  p = A::fma(p, r, A::splat(1.6666665459e-1f));
  p = A::fma(p, r, A::splat(5.0000001201e-1f));
  p = A::fma(p, A::mul(r, r), A::add(r, A::splat(1.0f)));
  return A::mul(p, A::pow2(n));
}

// x / (1 + exp(-y))
template <class A>
inline typename A::V gated(typename A::V x, typename A::V y) {
  return A::div(x, A::add(A::splat(1.0f), exponential<A>(A::sub(A::zero(), y))));
}

template <class A>
inline typename A::V activate(int epilogue, typename A::V a, typename A::V b) {
  if (epilogue == 1) return A::mul(gated<A>(a, a), b);  // SiLU
  // GELU, tanh form: a sigmoid(2 sqrt(2/pi) (a + 0.044715 a^3))
  const auto cube = A::mul(A::mul(a, a), a);
  const auto inner = A::fma(cube, A::splat(0.044715f), a);
  return A::mul(gated<A>(a, A::mul(inner, A::splat(1.59576912160573071f))), b);
}

// Up to W elements, so that a shorter piece at the end of a row is treated like the others.
template <class A>
PL_INLINE typename A::V load_some(const float* p, int64_t count) {
  if (count >= A::W) return A::load_f32(p);
  float lanes[A::W] = {};
  memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  return A::load_f32(lanes);
}
template <class A>
PL_INLINE void store_some(float* p, typename A::V v, int64_t count) {
  if (count >= A::W) return A::store(p, v);
  float lanes[A::W];
  A::store(lanes, v);
  memcpy(p, lanes, static_cast<size_t>(count) * sizeof(float));
}

template <class A>
void finish(int epilogue, const float* a, const float* b, const uint8_t* residual,
            int64_t residual_stride, uint8_t* dst, int64_t stride, int rows, int width) {
  for (int t = 0; t < rows; ++t, a += A::W, b += A::W, dst += stride) {
    auto v = A::load_f32(a);
    if (epilogue != 0) v = activate<A>(epilogue, v, A::load_f32(b));
    if (residual != nullptr) {
      v = A::add(v, load_some<A>(reinterpret_cast<const float*>(residual), width));
      residual += residual_stride;
    }
    store_some<A>(reinterpret_cast<float*>(dst), v, width);
  }
}

// c tanh(x / c) as c (1 - 2 / (exp(2 x / c) + 1)).
template <class A>
inline typename A::V capped(typename A::V x, float cap) {
  const auto one = A::splat(1.0f);
  const auto grown = exponential<A>(A::mul(x, A::splat(2.0f / cap)));
  const auto rest = A::div(A::splat(2.0f), A::add(grown, one));
  return A::mul(A::splat(cap), A::sub(one, rest));
}

// A gated SiLU whose parts are limited: g sigmoid(1.702 g) (y + 1).
template <class A>
inline typename A::V limited(typename A::V gate, typename A::V up) {
  const auto most = A::splat(7.0f);
  const auto g = A::min(gate, most);
  const auto y = A::max(A::min(up, most), A::splat(-7.0f));
  return A::mul(gated<A>(g, A::mul(g, A::splat(1.702f))), A::add(y, A::splat(1.0f)));
}

template <class A>
void elementwise(int kind, const float* a, const float* b, float cap, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += A::W) {
    const int64_t left = count - i;
    const auto x = load_some<A>(a + i, left);
    if (kind == 4) {
      store_some<A>(out + i, capped<A>(x, cap), left);
      continue;
    }
    const auto y = load_some<A>(b + i, left);
    const auto v = kind == 3 ? gated<A>(y, x) : kind == 5 ? limited<A>(x, y) : activate<A>(kind, x, y);
    store_some<A>(out + i, v, left);
  }
}

template <class A>
void weighted_sum(const float* parts, int64_t stride, int64_t slots, const float* weights,
                  const float* residual, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += A::W) {
    const int64_t left = count - i;
    auto v = A::mul(load_some<A>(parts + i, left), A::splat(weights[0]));
    for (int64_t s = 1; s < slots; ++s) {
      v = A::fma(load_some<A>(parts + s * stride + i, left), A::splat(weights[s]), v);
    }
    if (residual != nullptr) v = A::add(v, load_some<A>(residual + i, left));
    store_some<A>(out + i, v, left);
  }
}

template <class A>
void norm(const float* x, int64_t k, const float* weight, float eps, const float* residual,
          float* out) {
  const auto factor = A::splat(rms_factor<A>(x, k, eps));
  for (int64_t i = 0; i < k; i += A::W) {
    const int64_t left = k - i;
    auto v = A::mul(A::mul(load_some<A>(x + i, left), factor), load_some<A>(weight + i, left));
    if (residual != nullptr) v = A::add(v, load_some<A>(residual + i, left));
    store_some<A>(out + i, v, left);
  }
}

}  // namespace
}  // namespace pl
