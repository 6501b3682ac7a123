// Blocks of types with a codebook as the kernels take them: what indices stand for is looked up once for all rows
// of a tile. See panels.h for what lies where.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../common/inline.h"
#include "codebooks.h"
#include "panels.h"

namespace pl {
namespace {

// Unsigned weights by code and sign, for an index with the code's bits from `code` and the sign at `sign`; it may
// have anything in its other bits.
template <int SIZE>
struct Values {
  int8_t of[SIZE] = {};
  constexpr Values(const Format& f, int code, int sign) {
    const int bits = code_bits(f.book);
    for (int i = 0; i < SIZE; ++i) {
      of[i] = static_cast<int8_t>(value_of(f.book, i >> code & ((1 << bits) - 1), i >> sign & 1) + f.bias);
    }
  }
};
template <int F>
alignas(16) constexpr Values<16> values{formats[F], 0, code_bits(formats[F].book)};

// The eighth sign of seven, as bit 7, by the exclusive or of their two halves.
alignas(16) constexpr uint8_t eighth_sign[16] = {0,   128, 128, 0, 128, 0,   0,   128,
                                                 128, 0,   0,   128, 0, 128, 128, 0};

// What bits of a scale weigh.
alignas(4) constexpr int8_t bit_weights[4] = {1, 2, 4, 8};

// A group of a panel with its entries looked up, one by one: well before they are loaded as vectors, which
// have to wait for stores that are under way.
template <class A, int F>
struct LookedUp {
  static constexpr const Format& f = formats[F];
  static constexpr int W = A::W, planes = 2 * f.low;
  using I = typename A::I;
  alignas(64) uint8_t codes[8][planes][4 * W];
  alignas(64) uint8_t signs[8][f.book == Book::iq1 ? 4 * W : 1];

  void fill(const uint8_t* scales, const uint8_t* quants, int blocks) {
    const uint64_t* const table = codebook_pairs(f.book);
    for (int b = 0; b < blocks; ++b, scales += W * f.scale_bytes(), quants += f.quant_bytes(W)) {
      const uint8_t* const more = scales + W * f.own_scale_bytes();
      for (int v = 0; v < f.low; ++v) {
        for (int r = 0; r < W; ++r) look_up(table, more, quants, b, v, r);
      }
    }
  }

 private:
  static PL_INLINE uint32_t word(const uint8_t* p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
  }
  // A row's four entries of vector v.
  PL_INLINE void look_up(const uint64_t* table, const uint8_t* more, const uint8_t* quants, int b, int v, int r) {
    const uint32_t low = word(quants + (v * W + r) * 4);
    uint32_t upper = 0;  // bits of indices, from bit 8 on
    if constexpr (f.book == Book::iq2_xs) upper = word(quants + (W + r) * 4);
    if constexpr (f.more > 0) upper = more[r];
    uint32_t top = 0;
    if constexpr (f.more > 1) top = more[W + r];
    uint64_t own = 0;
    PL_UNROLL
    for (int j = 0; j < 4; ++j) {
      uint32_t index = low >> (8 * j) & 255;
      if constexpr (f.book == Book::iq2_xs) index |= (upper >> (8 * j + 7) & 1) << 8;
      if constexpr (f.book == Book::iq3_s) index |= (upper >> (2 * j + v) & 1) << 8;
      if constexpr (f.book == Book::iq2_s || f.book == Book::iq1) index |= (upper >> (2 * j) & 3) << 8;
      if constexpr (f.book == Book::iq1) index |= (top >> j & 1) << 10;
      own |= table[index] << (8 * j);
    }
    const uint32_t first = static_cast<uint32_t>(own), second = static_cast<uint32_t>(own >> 32);
    memcpy(codes[b][2 * v] + 4 * r, &first, 4);
    memcpy(codes[b][2 * v + 1] + 4 * r, &second, 4);
    if constexpr (f.book == Book::iq1) {
      // A bit a byte, or one for all, to whole bytes.
      const uint32_t bits = f.scale == Scale::k_high ? (top >> 7) * 15 : top >> 4;
      const uint32_t whole = (bits * 0x00204081u & 0x01010101u) * 255;
      memcpy(signs[b] + 4 * r, &whole, 4);
    }
  }

 public:
  template <int P>
  PL_INLINE I unit(int b, I sign) const {
    constexpr int bits = code_bits(f.book), half = columns_of(f.book) / 2;
    constexpr int plane = P / half, place = P % half * bits;
    I code = A::load(codes[b][plane]);
    if constexpr (place > 0) code = A::template shr<place>(code);
    code = A::bit_and(code, A::bytes((1 << bits) - 1));
    I own = A::bit_and(sign, A::bytes(1 << P));
    if constexpr (P < bits) own = A::template shl<bits - P>(own);
    if constexpr (P > bits) own = A::template shr<P - bits>(own);
    return A::lookup(values<F>.of, A::bit_or(code, own));
  }

  // Column i of the 8 of every byte's group, for each i.
  PL_INLINE void units(int b, const uint8_t* quants, I* w) const {
    I sign;
    if constexpr (f.book == Book::iq1) {
      sign = A::load(signs[b]);
    } else {
      sign = A::load(quants + 4 * W * f.low);
      if constexpr (seven_signs(f.book)) {
        const I upper = A::template shr<4>(A::bit_and(sign, A::bytes(0x70)));
        const I both = A::bit_and(A::bit_xor(sign, upper), A::bytes(15));
        sign = A::bit_or(A::bit_and(sign, A::bytes(127)), A::lookup(eighth_sign, both));
      }
    }
    w[0] = unit<0>(b, sign), w[1] = unit<1>(b, sign), w[2] = unit<2>(b, sign), w[3] = unit<3>(b, sign);
    w[4] = unit<4>(b, sign), w[5] = unit<5>(b, sign), w[6] = unit<6>(b, sign), w[7] = unit<7>(b, sign);
  }
};

// The same on a path that looks up vectors of bytes: coded_avx512vbmi.h.
template <int F>
struct ByteUnits;

// Units of one scale each: the two groups of a half block lie in every other byte.
template <class A>
PL_INLINE void separate_halves(typename A::I* w) {
  constexpr uint32_t even = 0x00ff00ffu, odd = 0xff00ff00u;
  const auto first = A::repeat32(&even), second = A::repeat32(&odd);
  typename A::I own[8];
  PL_UNROLL
  for (int c = 0; c < 4; ++c) {
    const auto a = w[2 * c], b = w[2 * c + 1];
    own[c] = A::bit_or(A::bit_and(a, first), A::template shl<8>(b));
    own[4 + c] = A::bit_or(A::template shr<8>(a), A::bit_and(b, second));
  }
  PL_UNROLL
  for (int c = 0; c < 8; ++c) w[c] = own[c];
}

// The order in which units take activations.
inline void order_activations(const Format& f, const int8_t* q, int8_t* to) {
  for (int c = 0; c < 8; ++c) {
    for (int j = 0; j < 4; ++j) to[4 * c + j] = q[column_of(f, c, j)];
  }
}

}  // namespace
}  // namespace pl
