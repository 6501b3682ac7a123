// A cache of 16-bit integers, whose products are exact.
//
// A number is round(x * (1 / scale)) + 32768 with scale = max |x| / 32767 of a head's part of a row; block.h
// says where its bytes lie. Queries and probabilities become two signed bytes an element, 256 high + low, so that
// with k less 32768 a product of rows is
//   65536 sum(k_high q_high) + 256 (sum(k_high q_low) + sum(k_low q_high)) + sum(k_low q_low),
// where 128 is taken from every k_high. These sums are exact, in any order: whatever instructions make them, and
// for however many rows at once, a result has the same bytes. What nobody sees may be anything, its scale as well: it
// is multiplied, and masked or multiplied by 0.
#pragma once
#include <cstdint>
#include <cstring>

#include "../vec/lanes.h"
#include "attention.h"
#include "exp.h"
#include "work.h"

namespace pl {
namespace attention {
namespace {

constexpr float kMost = 32639.0f;  // the largest integer of two signed bytes
// Scales below which all elements are as good as 0, of rows and of probabilities times scales of values.
constexpr float kLeast = 0x1p-100f, kLeastChance = 0x1p-120f;

// What belongs to a row's two signed bytes an element: their scale, and what is to be taken from
// 256 sum(k_high q_high) + sum(k_high q_low) + sum(k_low q_high) for the 128 in every k_high.
struct RowFacts {
  float scale;
  int bias;
};
// The latter, from the sums of upper and lower bytes.
inline int bias_of(int high, int low) { return 128 * (256 * high + low); }

// x to the nearest whole numbers, |x| < 2^22.
inline void whole_numbers(V x, int32_t* out) {
  alignas(64) float t[16];
  store(t, add(x, set1(kMagic)));
  std::memcpy(out, t, sizeof t);
  for (int i = 0; i < 16; i++) out[i] -= 0x4b400000;
}
// The scale at which the largest of n elements becomes `most`: NaN when one is NaN or infinite, 0 when all
// are as good as 0.
inline float scale_of(const float* x, int n, float most) {
  V top = zero(), poison = zero();
  for (int d = 0; d < n; d += 16) {
    const V own = load(x + d);
    top = max(abs(own), top);
    poison = fma(own, zero(), poison);
  }
  const float scale = maximum(top) / most;
  return (scale < kLeast ? 0.0f : scale) + sum(poison);
}
inline float inverse_of(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

// Positions of the chunk at b that a row sees.
inline Range seen_of(const Unit& u, int row, int64_t b) { return within(visible(u, row / u.group), b, kChunk); }
// A head's part of the block at position b, of keys and of values.
inline const uint8_t* keys_at(const Unit& u, int head, int64_t b) {
  return u.k + b * u.k_stride + head * u.k_head_bytes;
}
inline const uint8_t* values_at(const Unit& u, int head, int64_t b) {
  return u.v + b * u.v_stride + head * u.v_head_bytes;
}

// Parts of a unit's work area, one behind the other.
class Area {
 public:
  explicit Area(float* work) : at_((reinterpret_cast<uintptr_t>(work) + 63) & ~uintptr_t{63}) {}
  template <class T>
  T* take(size_t count) {
    auto* const own = reinterpret_cast<T*>(at_);
    at_ += (count * sizeof(T) + 63) & ~size_t{63};
    return own;
  }

 private:
  uintptr_t at_;
};

}  // namespace
}  // namespace attention
}  // namespace pl
