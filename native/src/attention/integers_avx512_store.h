// Keys and values of some positions into their places in a block of integers.
#pragma once
#include "../vec/transpose.h"
#include "integers_avx512.h"

namespace pl {
namespace attention {
namespace {

// 64 numbers as upper and lower bytes.
struct NumberBytes {
  __m512i part[2];
};
inline NumberBytes bytes_of_numbers(const float* x, __m512 inverse) {
  __m512i words[4];
  PL_UNROLL for (int i = 0; i < 4; i++)
    words[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inverse));
  NumberBytes out;
  PL_UNROLL for (int part = 0; part < 2; part++) {
    __m512i t[4];
    PL_UNROLL for (int i = 0; i < 4; i++)
      t[i] = _mm512_and_si512(part == 0 ? _mm512_srli_epi32(_mm512_add_epi32(words[i], _mm512_set1_epi32(32768)), 8) : words[i],
                              _mm512_set1_epi32(255));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    out.part[part] = _mm512_permutexvar_epi32(
        order, _mm512_packus_epi16(_mm512_packus_epi32(t[0], t[1]), _mm512_packus_epi32(t[2], t[3])));
  }
  return out;
}

void store_keys(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales) {
  alignas(64) float inverse[16];
  for (int j = 0; j < count; j++) {
    const float scale = scale_of(x + j * step, dim, 32767.0f);
    scales[at + j] = scale;
    inverse[j] = inverse_of(scale);
  }
  const int first = at % 16;
  const auto mask = static_cast<__mmask16>(((1u << count) - 1) << first);
  for (int d = 0; d < dim; d += 64) {
    uint8_t* tile = block + tile_of_keys(dim, at, d);
    if (count == 1) {
      const NumberBytes own = bytes_of_numbers(x + d, _mm512_set1_ps(inverse[0]));
      alignas(64) int32_t fours[2][16];
      for (int part = 0; part < 2; part++) _mm512_store_si512(fours[part], own.part[part]);
      for (int part = 0; part < 2; part++, tile += kLower)
        for (int i = 0; i < 16; i++) std::memcpy(tile + 64 * i + 4 * first, &fours[part][i], 4);
      continue;
    }
    __m512i own[2][16] = {};
    for (int j = 0; j < count; j++) {
      const NumberBytes numbers = bytes_of_numbers(x + j * step + d, _mm512_set1_ps(inverse[j]));
      own[0][first + j] = numbers.part[0];
      own[1][first + j] = numbers.part[1];
    }
    for (int part = 0; part < 2; part++, tile += kLower) {
      transpose(own[part]);
      for (int i = 0; i < 16; i++) _mm512_mask_storeu_epi32(tile + 64 * i, mask, own[part][i]);
    }
  }
}
void store_values(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales) {
  // Positions that share four bytes go together.
  for (int j = 0; j < count;) {
    const int place = (at + j) % 4, some = count - j < 4 - place ? count - j : 4 - place;
    float inverse[4];
    for (int e = 0; e < some; e++) {
      const float scale = scale_of(x + (j + e) * step, dim, 32767.0f);
      scales[at + j + e] = scale;
      inverse[e] = inverse_of(scale);
    }
    const auto mask = static_cast<__mmask64>(0x1111111111111111u * (((1u << some) - 1) << place));
    for (int d = 0; d < dim; d += 16) {
      __m512i part[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
      for (int e = 0; e < some; e++) {
        const __m512 own = _mm512_mul_ps(_mm512_loadu_ps(x + (j + e) * step + d), _mm512_set1_ps(inverse[e]));
        const __m512i n = _mm512_add_epi32(_mm512_cvtps_epi32(own), _mm512_set1_epi32(32768));
        const __m128i shift = _mm_cvtsi32_si128(8 * (place + e));
        const __m512i byte = _mm512_set1_epi32(255);
        part[0] = _mm512_or_si512(part[0], _mm512_sll_epi32(_mm512_and_si512(_mm512_srli_epi32(n, 8), byte), shift));
        part[1] = _mm512_or_si512(part[1], _mm512_sll_epi32(_mm512_and_si512(n, byte), shift));
      }
      uint8_t* line = block + tile_of_values(d) + tile_byte(0, at + j - place);
      _mm512_mask_storeu_epi8(line, mask, part[0]);
      _mm512_mask_storeu_epi8(line + kLower, mask, part[1]);
    }
    j += some;
  }
}

}  // namespace
}  // namespace attention
}  // namespace pl
