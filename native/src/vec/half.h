// 16-bit floats in plain C++, exactly.
#pragma once
#include <stdint.h>
#include <string.h>

namespace pl {
namespace {

inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, rest = h & 0x7fff;
  uint32_t bits;
  float r;
  if (rest >= 0x7c00) {
    bits = sign | 0x7f800000u | (rest & 0x3ff) << 13;
  } else if (rest >= 0x400) {
    bits = sign | ((rest << 13) + 0x38000000u);
  } else {
    r = static_cast<float>(rest) * 0x1p-24f;
    memcpy(&bits, &r, 4);
    bits |= sign;
  }
  memcpy(&r, &bits, 4);
  return r;
}
// To the nearest, ties to even.
inline uint16_t float_to_half(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t a = bits & 0x7fffffff;
  if (a > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);
  if (a >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);
  if (a >= 0x38800000u) {
    const uint32_t odd = a >> 13 & 1;
    return static_cast<uint16_t>(sign | ((a - 0x38000000u + 0xfff + odd) >> 13));
  }
  // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 rounds exactly there.
  float m;
  memcpy(&m, &a, 4);
  m += 0.5f;
  uint32_t r;
  memcpy(&r, &m, 4);
  return static_cast<uint16_t>(sign | (r - 0x3f000000u));
}

}  // namespace
}  // namespace pl
