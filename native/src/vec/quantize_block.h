// Quantising one block of activations, in plain C++; paths may have their own with the same results.
#pragma once
#include <stdint.h>
#include <string.h>

namespace pl {
namespace {

// One block of 32 columns to int8. Maxima are compared as bits, so that a NaN or an infinity anywhere
// makes the scale, and with it every product, not finite instead of quietly wrong.
inline void quantize32(const float* x, int8_t* q, float& scale, int16_t& first, int16_t& second) {
  uint32_t bits[32], most = 0;
  memcpy(bits, x, sizeof bits);
  for (int i = 0; i < 32; ++i) {
    const uint32_t magnitude = bits[i] & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  float largest;
  memcpy(&largest, &most, 4);
  // Below 1e-30 the inverse could overflow: such a block is zero.
  const bool tiny = most < 0x0da24260u;
  scale = tiny ? 0 : largest / 127;
  const float inverse = tiny ? 0 : 127 / largest;
  // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits.
  int32_t rounded[32];
  float shifted[32];
  for (int i = 0; i < 32; ++i) shifted[i] = x[i] * inverse + 12582912.0f;
  memcpy(rounded, shifted, sizeof rounded);
  int sums[2] = {0, 0};
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 16; ++i) {
      const int8_t v = static_cast<int8_t>(rounded[h * 16 + i]);
      q[h * 16 + i] = v;
      sums[h] += v;
    }
  }
  first = static_cast<int16_t>(sums[0]);
  second = static_cast<int16_t>(sums[1]);
}

}  // namespace
}  // namespace pl
