// Looking up a codebook with the instructions of AVX-512 VBMI: 64 bytes at once out of tables of 128.
#pragma once
#include "coded_kernel.h"
#include "../vec/avx512.h"

namespace pl {
namespace {

struct Avx512Vbmi : Avx512 {
  static constexpr bool looks_up_bytes = true;

  // Bytes out of a table; bits[n] has bit 7 + n of the indices.
  template <int ENTRIES>
  static PL_INLINE I entries(const uint8_t* table, I index, const __mmask64 (&bits)[4]) {
    if constexpr (ENTRIES == 128) {
      return _mm512_permutex2var_epi8(load(table), index, load(table + 64));
    } else {
      constexpr int half = ENTRIES / 2, bit = ENTRIES == 256 ? 0 : ENTRIES == 512 ? 1 : ENTRIES == 1024 ? 2 : 3;
      const I low = entries<half>(table, index, bits), high = entries<half>(table + half, index, bits);
      return _mm512_mask_blend_epi8(bits[bit], low, high);
    }
  }
  // Each of 16 bytes four times.
  static PL_INLINE I each_of_row(const uint8_t* p) {
    const I from = _mm512_set_epi32(0x0f0f0f0f, 0x0e0e0e0e, 0x0d0d0d0d, 0x0c0c0c0c, 0x0b0b0b0b, 0x0a0a0a0a,
                                    0x09090909, 0x08080808, 0x07070707, 0x06060606, 0x05050505, 0x04040404,
                                    0x03030303, 0x02020202, 0x01010101, 0);
    return _mm512_permutexvar_epi8(from, _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // Whether each byte has a bit of its own, by its place in a row's four.
  static PL_INLINE __mmask64 has(I bytes, unsigned of_row) {
    return _mm512_test_epi8_mask(bytes, _mm512_set1_epi32(static_cast<int>(of_row)));
  }
  static PL_INLINE I select(int mask, I a, I b) { return _mm512_ternarylogic_epi32(bytes(mask), a, b, 0xca); }
};

// Moves signs of a byte to other bits: bit `to[i]` of the result is sign first + i, the eighth maybe implied.
struct MovedSigns {
  uint64_t rows = 0;
  constexpr MovedSigns(bool seven, int first, int count, const int* to) {
    for (int i = 0; i < count; ++i) {
      const uint64_t from = seven && first + i == 7 ? 0x7f : 1u << (first + i);
      rows |= from << 8 * (7 - to[i]);
    }
  }
};

template <int F>
struct ByteUnits {
  static constexpr const Format& f = formats[F];
  static constexpr Book book = f.book;
  static constexpr int entries = entries_of(book);
  using A = Avx512Vbmi;
  using I = A::I;

  // Tables by the places of a code and of its sign.
  template <int CODE, int SIGN>
  static PL_INLINE I value(I index) {
    alignas(64) static constexpr Values<64> table{f, CODE, SIGN};
    return _mm512_permutexvar_epi8(index, A::load(table.of));
  }
  template <int FIRST, int COUNT>
  static PL_INLINE I move(I signs) {
    constexpr int two_bits[4] = {2, 0, 1, 4}, three_bits[2] = {3, 0};
    constexpr MovedSigns moved(seven_signs(book), FIRST, COUNT, COUNT == 4 ? two_bits : three_bits);
    return _mm512_gf2p8affine_epi64_epi8(signs, _mm512_set1_epi64(static_cast<int64_t>(moved.rows)), 0);
  }
  // Four codes of two bits, and four signs where two_bits says.
  static PL_INLINE void four(I codes, I signs, I* w) {
    w[0] = value<0, 2>(A::select(0x03, codes, signs));
    w[1] = value<2, 0>(A::select(0x0c, codes, signs));
    w[2] = value<4, 1>(A::select(0x30, codes, signs));
    w[3] = value<2, 0>(A::shr<4>(A::select(0xc0, codes, signs)));
  }
  // Two codes of three bits.
  static PL_INLINE void two(I codes, I signs, I* w) {
    w[0] = value<0, 3>(A::select(0x07, codes, signs));
    w[1] = value<3, 0>(A::select(0x38, codes, signs));
  }

  static PL_INLINE void load(const uint8_t* table, const uint8_t* more, const uint8_t* quants, I* w) {
    constexpr unsigned even = 0x40100401u, odd = 0x80200802u, low = 0x08040201u, high = 0x80402010u;
    __mmask64 bits[4] = {};
    I signs = A::zeros();
    if constexpr (f.high > 0) signs = A::load(quants + 64 * f.low);
    if constexpr (book == Book::iq2_xs) bits[1] = _mm512_movepi8_mask(signs);
    if constexpr (book == Book::iq2_s || book == Book::iq1) {
      const I first = A::each_of_row(more);
      bits[1] = A::has(first, even), bits[2] = A::has(first, odd);
    }
    if constexpr (book == Book::iq1) {
      const I second = A::each_of_row(more + 16);
      bits[3] = A::has(second, low);
      signs = _mm512_movm_epi8(A::has(second, f.scale == Scale::k_high ? 0x80808080u : high));
    }
    if constexpr (code_bits(book) == 2) {
      const I index = A::load(quants);
      bits[0] = _mm512_movepi8_mask(index);
      const I a = A::entries<entries>(table, index, bits), b = A::entries<entries>(table + entries, index, bits);
      if constexpr (book == Book::iq1) {
        four(a, signs, w), four(b, signs, w + 4);
      } else {
        four(a, move<0, 4>(signs), w), four(b, move<4, 4>(signs), w + 4);
      }
    } else {
      I more_bits = A::zeros();
      if constexpr (book == Book::iq3_s) more_bits = A::each_of_row(more);
      const I first = A::load(quants), second = A::load(quants + 64);
      bits[0] = _mm512_movepi8_mask(first);
      if constexpr (book == Book::iq3_s) bits[1] = A::has(more_bits, even);
      two(A::entries<entries>(table, first, bits), move<0, 2>(signs), w);
      two(A::entries<entries>(table + entries, first, bits), move<2, 2>(signs), w + 2);
      bits[0] = _mm512_movepi8_mask(second);
      if constexpr (book == Book::iq3_s) bits[1] = A::has(more_bits, odd);
      two(A::entries<entries>(table, second, bits), move<4, 2>(signs), w + 4);
      two(A::entries<entries>(table + entries, second, bits), move<6, 2>(signs), w + 6);
    }
  }
};

}  // namespace
}  // namespace pl
