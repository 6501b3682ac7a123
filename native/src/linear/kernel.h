// Products of panels and activations, written once for all CPU paths. A file of one path makes its
// table with the vector operations of a struct A (vec/<path>.h).
//
// Guarantee: what a row of activations gives does not depend on the rows beside it. Inside a block of
// 32 columns sums are integers, exact in any order. Blocks are added in ascending order, each with the
// same instructions for every tile size; no operation is left to the compiler to contract.
//
// Letters: NT activation rows of a tile, W rows of a panel.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../common/inline.h"
#include "coded_kernel.h"
#include "path.h"
#include "row_kernel.h"

namespace pl {
namespace {

// 8-bit operands need care on paths whose product is unsigned times signed, or that saturate.
constexpr bool full_range(const Format& f) { return f.low == 8 || f.table == Table::iq4nl; }
template <class A>
constexpr int bias_of(const Format& f) {
  return full_range(f) ? (A::signed_products ? 0 : 128) : f.table == Table::fp4 ? 12 : f.bias;
}

// Sums that start at the bits of 1.5 * 2^23 are floats that much too large, without a conversion. It is
// taken away where they are scaled, exactly: the product of it and a scale of up to 22 bits fits a float.
constexpr int first_bits = 0x4b400000;
constexpr float first_value = 12582912.0f;
template <class A>
constexpr bool float_sums(const Format& f) {
  return A::float_sums && !f.real() && !f.pair() && f.scale != Scale::e8m0;
}

alignas(16) constexpr int8_t fp4_shifted[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                12, 11, 10, 9,  8,  6,  4,  0};
alignas(16) constexpr int8_t iq4nl_signed[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
alignas(16) constexpr uint8_t iq4nl_shifted[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                   129, 141, 153, 166, 181, 197, 217, 241};

// The most that a quant can be as a product takes it, where it is not of eight bits.
constexpr int largest(const Format& f) {
  return f.book != Book::none || f.low == 0 ? 2 * f.bias
         : f.table == Table::fp4            ? 24
                                            : (1 << (f.low + f.high)) - 1;
}
// How many units' products of pairs (at most 127 of either sign) fit 16 bits together.
constexpr int units_in_16_bits(const Format& f) {
  const int most = 32767 / (2 * 127 * largest(f));
  return most < 8 ? most : 8;
}

template <class A, int N>
PL_INLINE typename A::I shift(typename A::I v) {  // left for N > 0; bits that cross bytes are masked out
  if constexpr (N > 0) return A::template shl<N>(v);
  if constexpr (N < 0) return A::template shr<-N>(v);
  return v;
}

// The 8 units of a block: w[c] holds columns 4c to 4c+3 of every row.
template <class A, int F>
struct Units {
  static constexpr const Format& f = formats[F];
  using I = typename A::I;

  template <int C>
  static PL_INLINE void unit(const uint8_t* low, I* w) {
    constexpr int step = A::W * 4;
    [[maybe_unused]] const uint8_t* high = low + f.high_at(A::W);
    I v;
    if constexpr (f.low == 8) {
      v = A::load(low + C * step);
      if constexpr (!A::signed_products) v = A::bit_xor(v, A::bytes(0x80));
    } else if constexpr (f.low == 4) {
      v = A::bit_and(shift<A, -(C & 4)>(A::load(low + (C & 3) * step)), A::bytes(15));
    } else if constexpr (f.low == 2) {
      v = A::bit_and(shift<A, -(C & 6)>(A::load(low + (C & 1) * step)), A::bytes(3));
    } else {
      v = A::bit_and(shift<A, 1 - C>(A::load(high)), A::bytes(2));
    }
    if constexpr (f.low == 0) {
      // One bit, doubled.
    } else if constexpr (f.high == 2) {
      const I h = A::load(high + (C & 1) * step);
      v = A::bit_or(v, shift<A, f.low - (C & 6)>(A::bit_and(h, A::bytes(3 << (C & 6)))));
    } else if constexpr (f.high == 1) {
      const I h = A::load(high);
      v = A::bit_or(v, shift<A, f.low - C>(A::bit_and(h, A::bytes(1 << C))));
    }
    if constexpr (f.table == Table::fp4) {
      v = A::lookup(fp4_shifted, v);
    } else if constexpr (f.table == Table::iq4nl) {
      v = A::signed_products ? A::lookup(iq4nl_signed, v) : A::lookup(iq4nl_shifted, v);
    }
    w[C] = v;
  }
  static PL_INLINE void load(const uint8_t* quants, I* w) {
    unit<0>(quants, w), unit<1>(quants, w), unit<2>(quants, w), unit<3>(quants, w);
    unit<4>(quants, w), unit<5>(quants, w), unit<6>(quants, w), unit<7>(quants, w);
  }
};

// Asks for the planes of a block some groups ahead. The memory's own prefetcher falls behind when
// several rows share a pass: without this, 16 rows take 1.8 times as long (Zen 5). May point past the
// end of the panels, which is harmless.
template <class A, int F>
struct Ahead {
  static constexpr const Format& f = formats[F];
  static constexpr int64_t group = group_layout(formats[F], A::W, 8).bytes;
  static constexpr int64_t distance = group * (group < 4608 ? 4608 / group : 1);
  static constexpr int quant_lines = (f.quant_bytes(A::W) + 63) / 64;
  const uint8_t *scales, *quants;

  // An eighth of it, so that requests are spread over the products of a block: together they would
  // wait for each other.
  PL_INLINE void ask(int eighth) const {
    constexpr int lines = quant_lines + 1;
    PL_UNROLL
    for (int i = eighth * lines / 8; i < (eighth + 1) * lines / 8; ++i) {
      __builtin_prefetch((i < quant_lines ? quants + 64 * i : scales) + distance, 0, 3);
    }
  }
};

// Rows of a tile whose integer sums are made together: all, or half of them where registers run out.
template <class A, int NT>
constexpr int together = NT <= A::chains ? NT : NT / 2;

// Chains of products that a row's sum is cut into. A product takes longer than it takes to start the
// next one, so few rows would wait for each other's.
template <class A, int F, int G>
constexpr int chains_of_row() {
  const int own = G * (formats[F].pair() ? 2 : 1), most = formats[F].pair() ? 2 : 4;
  int n = 1;
  while (n < most && 2 * n * own <= A::chains) n *= 2;
  return n;
}

// Adds units [from, to) of G rows to their sums, pairs of columns in 16 bits first, as long as they fit.
template <class A, int F, int G>
PL_INLINE void pair_dots(const typename A::I* w, const int8_t* q, const Ahead<A, F>* ahead,
                         typename A::I* sum, int from, int to) {
  constexpr int most = units_in_16_bits(formats[F]);
  typename A::I pairs[G];
  PL_UNROLL
  for (int c = from; c < to; ++c) {
    const int at = (c - from) % most;
    if (ahead != nullptr) ahead->ask(c);
    PL_UNROLL
    for (int t = 0; t < G; ++t) {
      const auto own = A::pairs(w[c], q + t * 32 + c * 4);
      pairs[t] = at == 0 ? own : A::add_pairs(pairs[t], own);
      if (at == most - 1 || c == to - 1) sum[t] = A::add_folded(sum[t], pairs[t]);
    }
  }
}

// Adds units [from, to) of G rows to their sums, one dot product after the other.
template <class A, int F, int G>
PL_INLINE void whole_dots(const typename A::I* w, const int8_t* q, const Ahead<A, F>* ahead,
                          typename A::I* sum, int from, int to) {
  constexpr int N = chains_of_row<A, F, G>();
  typename A::I chain[N][G];
  PL_UNROLL
  for (int t = 0; t < G; ++t) {
    chain[0][t] = sum[t];
    PL_UNROLL
    for (int n = 1; n < N; ++n) chain[n][t] = A::zeros();
  }
  PL_UNROLL
  for (int c = from; c < to; ++c) {
    if (ahead != nullptr) ahead->ask(c);
    PL_UNROLL
    for (int t = 0; t < G; ++t) {
      const int8_t* a = q + t * 32 + c * 4;
      auto& own = chain[c % N][t];
      if constexpr (full_range(formats[F])) {
        own = A::dot_full(own, w[c], a);
      } else {
        own = A::dot(own, w[c], a);
      }
    }
  }
  PL_UNROLL
  for (int t = 0; t < G; ++t) {
    sum[t] = chain[0][t];
    PL_UNROLL
    for (int n = 1; n < N; ++n) sum[t] = A::add_whole(sum[t], chain[n][t]);
  }
}

template <class A, int F, int G>
PL_INLINE void dots(const typename A::I* w, const int8_t* q, const Ahead<A, F>* ahead,
                    typename A::I* sum, int from, int to) {
  if constexpr (A::pairs_of_products && !full_range(formats[F])) {
    pair_dots<A, F, G>(w, q, ahead, sum, from, to);
  } else {
    whole_dots<A, F, G>(w, q, ahead, sum, from, to);
  }
}

// Scales of a block: one or two (pair), and the minima; what float sums have too much, scaled.
template <class A>
struct Scales {
  typename A::V s0, s1, m0, m1, first;
};

// `quants`: the block's, where they have bits of its scale. A scale 2 s + 1 of a header d is d + 2 d s, exactly.
template <class A, int F>
PL_INLINE Scales<A> block_scales(const uint8_t* p, const uint8_t* quants, typename A::V d, typename A::V dmin) {
  constexpr Format f = formats[F];
  [[maybe_unused]] constexpr int W = A::W;
  Scales<A> r;
  r.s0 = r.s1 = r.m0 = r.m1 = r.first = A::zero();
  if constexpr (f.scale == Scale::f16) {
    r.s0 = A::load_f16(p);
  } else if constexpr (f.scale == Scale::f16_min) {
    r.s0 = A::load_f16(p);
    r.m0 = A::load_f16(p + 2 * W);
  } else if constexpr (f.scale == Scale::k_min) {
    r.s0 = A::mul(d, A::load_u8(p));
    r.m0 = A::mul(dmin, A::load_u8(p + W));
  } else if constexpr (f.scale == Scale::k_pair) {
    r.s0 = A::mul(d, A::load_s8(p));
    r.s1 = A::mul(d, A::load_s8(p + W));
  } else if constexpr (f.scale == Scale::k_pair_min) {
    r.s0 = A::mul(d, A::load_low4(p));
    r.s1 = A::mul(d, A::load_low4(p + W));
    r.m0 = A::mul(dmin, A::load_high4(p));
    r.m1 = A::mul(dmin, A::load_high4(p + W));
  } else if constexpr (f.scale == Scale::k_one) {
    r.s0 = A::mul(d, A::load_s8(p));
  } else if constexpr (f.scale == Scale::k_signs) {
    const auto signs = A::load(quants + 4 * W * f.low);
    const auto bits = A::bit_and(A::template shr<7>(signs), A::bytes(1));
    r.s0 = A::fma(A::add(d, d), A::to_float(A::dot_full(A::zeros(), bits, bit_weights)), d);
  } else if constexpr (f.scale == Scale::k_high) {
    r.s0 = A::fma(A::add(d, d), A::load_middle3(p + W), d);
  } else if constexpr (f.scale == Scale::k_nibbles) {
    r.s0 = A::fma(A::add(d, d), A::load_low4(p), d);
    r.s1 = A::fma(A::add(d, d), A::load_high4(p), d);
  } else if constexpr (f.scale == Scale::ue4m3_pair) {
    r.s0 = A::load_ue4m3(p);
    r.s1 = A::load_ue4m3(p + W);
  } else {
    r.s0 = A::load_e8m0(p);
  }
  if constexpr (float_sums<A>(f)) r.first = A::mul(r.s0, A::splat(first_value));
  return r;
}

// total += the sums of one row and block (two of them in a pair format), scaled by the weights' scales and
// then the row's own `d`, and the minima times `minima` (a second one stands `next` floats further).
template <class A, int F>
PL_INLINE void add_block(typename A::I sum, typename A::I second, const Scales<A>& s, const float* d,
                      const float* minima, int next, typename A::V& total) {
  constexpr Format f = formats[F];
  typename A::V x;
  if constexpr (float_sums<A>(f)) {
    x = A::fms(A::as_float(sum), s.s0, s.first);
  } else {
    x = A::mul(A::to_float(sum), s.s0);
    if constexpr (f.pair()) x = A::fma(A::to_float(second), s.s1, x);
  }
  total = A::fma(x, A::repeat(d), total);
  if constexpr (f.scale == Scale::f16_min) {
    total = A::fma(s.m0, A::repeat(minima), total);
  } else if constexpr (f.has_min()) {
    total = A::fnma(s.m0, A::repeat(minima), total);
    if constexpr (f.pair()) total = A::fnma(s.m1, A::repeat(minima + next), total);
  }
}

// aux: with a bias, int32 [K/32][1 or 2][NT] = what sums start with, -bias * sum; with minima, f32 d * sum,
// the same shape. With a codebook, behind it the quants [K/32][NT][32] in the order that units take.
// `ahead`: what to ask for meanwhile, or null.
template <class A, int F, int NT, int G>
PL_INLINE void rows_of_block(const typename A::I* w, const Scales<A>& s, const int8_t* q,
                             const float* d, const int32_t* bias, const float* minima,
                             const Ahead<A, F>* ahead, typename A::V* total) {
  constexpr Format f = formats[F];
  typename A::I sum[G], second[G];
  PL_UNROLL
  for (int t = 0; t < G; ++t) {
    sum[t] = second[t] = bias_of<A>(f) ? A::repeat32(bias + t) : A::zeros();
    if constexpr (float_sums<A>(f) && !bias_of<A>(f)) sum[t] = A::repeat32(&first_bits);
    if constexpr (f.pair() && bias_of<A>(f)) second[t] = A::repeat32(bias + NT + t);
  }
  dots<A, F, G>(w, q, ahead, sum, 0, f.pair() ? 4 : 8);
  if constexpr (f.pair()) dots<A, F, G>(w, q, ahead, second, 4, 8);
  PL_UNROLL
  for (int t = 0; t < G; ++t) {
    add_block<A, F>(sum[t], second[t], s, d + t, minima + t, NT, total[t]);
  }
}

// What a codebook's entries are looked up with: nothing where the path does so block by block.
struct Nothing {};
template <class A, int F>
constexpr bool expands = formats[F].book != Book::none && !A::looks_up_bytes;
template <class A, int F, bool = expands<A, F>>
struct Lookup {
  using Type = Nothing;
};
template <class A, int F>
struct Lookup<A, F, true> {
  using Type = LookedUp<A, F>;
};

// Goes through a panel block by block.
template <class A, int F>
struct Blocks {
  static constexpr const Format& f = formats[F];
  const uint8_t *scales, *quants;
  const uint8_t* table = f.book == Book::none ? nullptr : codebook(f.book);
  typename A::V head, head_min;
  int at;
  typename Lookup<A, F>::Type looked_up;

  // A group of so many blocks.
  PL_INLINE void begin(const uint8_t* panel, const Group& g, int blocks) {
    head = head_min = A::zero();
    if constexpr (f.header_bytes() >= 2) head = A::load_f16(panel);
    if constexpr (f.header_bytes() == 4) head_min = A::load_f16(panel + 2 * A::W);
    if constexpr (f.book != Book::none) head = A::mul(head, A::splat(unit_of(f.book)));
    scales = panel + g.scales, quants = panel + g.quants, at = 0;
    if constexpr (expands<A, F>) looked_up.fill(scales, quants, blocks);
  }
  PL_INLINE Ahead<A, F> ahead() const { return {scales, quants}; }
  // The units of the next block, and its scales.
  PL_INLINE Scales<A> next(typename A::I* w) {
    if constexpr (expands<A, F>) {
      looked_up.units(at, quants, w);
    } else if constexpr (f.book != Book::none) {
      ByteUnits<F>::load(table, scales + A::W * f.own_scale_bytes(), quants, w);
    } else {
      Units<A, F>::load(quants, w);
    }
    if constexpr (f.book != Book::none && f.pair()) separate_halves<A>(w);
    const Scales<A> s = block_scales<A, F>(scales, quants, head, head_min);
    quants += f.quant_bytes(A::W);
    if (++at % f.shared == 0) scales += A::W * f.scale_bytes();
    return s;
  }
};

// total += the next block times NT rows.
template <class A, int F, int NT>
PL_INLINE void multiply_block(Blocks<A, F>& blocks, const int8_t* q, const float* d,
                              const int32_t* bias, const float* minima, typename A::V* total) {
  constexpr int G = together<A, NT>;
  const Ahead<A, F> ahead = blocks.ahead();
  typename A::I w[8];
  const Scales<A> s = blocks.next(w);
  PL_UNROLL
  for (int t = 0; t + G <= NT; t += G) {
    rows_of_block<A, F, NT, G>(w, s, q + t * 32, d + t, bias + t, minima + t,
                               t == 0 ? &ahead : nullptr, total + t);
  }
  if constexpr (NT % G != 0) {
    constexpr int t = NT / G * G;
    rows_of_block<A, F, NT, NT % G>(w, s, q + t * 32, d + t, bias + t, minima + t, nullptr, total + t);
  }
}

// P panels at once, `step` bytes apart, with their results `out_step` floats apart.
template <class A, int F, int NT, int P>
void tile(const uint8_t* panel, int64_t step, const int8_t* q, const float* d, const void* aux,
          int64_t blocks, float* out, int64_t out_step) {
  constexpr Format f = formats[F];
  constexpr int W = A::W, parts = f.pair() ? 2 : 1;
  constexpr Group whole = group_layout(f, W, 8);
  const int32_t* bias = static_cast<const int32_t*>(aux);
  const float* minima = static_cast<const float*>(aux);
  if constexpr (f.book != Book::none) q = static_cast<const int8_t*>(aux) + blocks * NT * parts * 4;
  typename A::V total[P][NT];
  PL_UNROLL
  for (int p = 0; p < P; ++p) {
    PL_UNROLL
    for (int t = 0; t < NT; ++t) total[p][t] = A::zero();
  }
  Blocks<A, F> panels[P];
  for (; blocks > 0; blocks -= 8) {
    const int here = blocks < 8 ? static_cast<int>(blocks) : 8;
    const Group g = here == 8 ? whole : group_layout(f, W, here);
    PL_UNROLL
    for (int p = 0; p < P; ++p) panels[p].begin(panel + p * step, g, here);
    for (int b = 0; b < here; ++b) {
      PL_UNROLL
      for (int p = 0; p < P; ++p) multiply_block<A, F, NT>(panels[p], q, d, bias, minima, total[p]);
      q += NT * 32;
      d += NT;
      bias += NT * parts;
      minima += NT * parts;
    }
    panel += g.bytes;
  }
  PL_UNROLL
  for (int p = 0; p < P; ++p) {
    PL_UNROLL
    for (int t = 0; t < NT; ++t) A::store(out + p * out_step + t * W, total[p][t]);
  }
}

template <class A, int F>
void make_aux(const int8_t* q, const float* d, const int16_t* s, int64_t blocks, int rows, void* aux) {
  constexpr Format f = formats[F];
  if constexpr (f.book != Book::none) {
    int8_t* to = static_cast<int8_t*>(aux) + blocks * rows * (f.pair() ? 8 : 4);
    for (int64_t i = 0; i < blocks * rows; ++i) order_activations(f, q + i * 32, to + i * 32);
  }
  constexpr int bias = bias_of<A>(f), first = float_sums<A>(f) ? first_bits : 0;
  for (int64_t b = 0; b < blocks; ++b, d += rows, s += 2 * rows) {
    if constexpr (f.has_min()) {
      float* to = static_cast<float*>(aux) + b * rows * (f.pair() ? 2 : 1);
      for (int t = 0; t < rows; ++t) {
        if constexpr (f.pair()) {
          to[t] = d[t] * static_cast<float>(s[t]);
          to[rows + t] = d[t] * static_cast<float>(s[rows + t]);
        } else {
          to[t] = d[t] * static_cast<float>(s[t] + s[rows + t]);
        }
      }
    } else {
      int32_t* to = static_cast<int32_t*>(aux) + b * rows * (f.pair() ? 2 : 1);
      for (int t = 0; t < rows; ++t) {
        if constexpr (f.pair()) {
          to[t] = -bias * s[t];
          to[rows + t] = -bias * s[rows + t];
        } else {
          to[t] = first - bias * (s[t] + s[rows + t]);
        }
      }
    }
  }
}

// f32 activations. Per row, 4 partial sums over 64 columns, folded in a fixed order into the total.
template <class A, int F, int G>
PL_INLINE void real_rows(const uint8_t* panel, const float* x, int64_t stride, int columns,
                      float* out) {
  constexpr int W = A::W, bytes = formats[F].block_bytes;
  typename A::V sum[4][G];
  PL_UNROLL
  for (int j = 0; j < 4; ++j) {
    PL_UNROLL
    for (int t = 0; t < G; ++t) sum[j][t] = A::zero();
  }
  int c = 0;
  for (; c + 4 <= columns; c += 4) {
    PL_UNROLL
    for (int j = 0; j < 4; ++j) {
      const auto w = A::template load_real<formats[F].type>(panel + int64_t{c + j} * W * bytes);
      PL_UNROLL
      for (int t = 0; t < G; ++t) sum[j][t] = A::fma(w, A::repeat(x + t * stride + c + j), sum[j][t]);
    }
  }
  PL_UNROLL
  for (int j = 0; j < 3; ++j) {
    if (c + j < columns) {
      const auto w = A::template load_real<formats[F].type>(panel + int64_t{c + j} * W * bytes);
      PL_UNROLL
      for (int t = 0; t < G; ++t) sum[j][t] = A::fma(w, A::repeat(x + t * stride + c + j), sum[j][t]);
    }
  }
  PL_UNROLL
  for (int t = 0; t < G; ++t) {
    const auto folded = A::add(A::add(sum[0][t], sum[1][t]), A::add(sum[2][t], sum[3][t]));
    A::store(out + t * W, A::add(A::load_f32(out + t * W), folded));
  }
}

template <class A, int F>
void real_tile(const uint8_t* panel, const float* x, int64_t stride, int64_t k, int rows,
               float* out) {
  constexpr int W = A::W, G = A::real_rows, bytes = formats[F].block_bytes;
  for (int t = 0; t < rows; ++t) A::store(out + t * W, A::zero());
  for (int64_t c = 0; c < k; c += 64) {
    const int columns = k - c < 64 ? static_cast<int>(k - c) : 64;
    const uint8_t* p = panel + c * W * bytes;
    int t = 0;
    for (; t + G <= rows; t += G) real_rows<A, F, G>(p, x + t * stride + c, stride, columns, out + t * W);
    if (G > 2 && t + 2 <= rows) {
      real_rows<A, F, 2>(p, x + t * stride + c, stride, columns, out + t * W);
      t += 2;
    }
    if (G > 4 && t + 2 <= rows) {
      real_rows<A, F, 2>(p, x + t * stride + c, stride, columns, out + t * W);
      t += 2;
    }
    if (t < rows) real_rows<A, F, 1>(p, x + t * stride + c, stride, columns, out + t * W);
  }
}

template <class A, int F, int NT>
constexpr TileFn two_panels() {
  if constexpr (NT <= A::streamed_rows) return tile<A, F, NT, 2>;
  return nullptr;
}

template <class A, int F, int... NT>
void fill_sizes(LinearPath& p) {
  ((p.tile[F][NT] = tile<A, F, NT, 1>, p.two[F][NT] = two_panels<A, F, NT>()), ...);
}

template <class A, int F>
void fill_format(LinearPath& p) {
  constexpr Format f = formats[F];
  if constexpr (f.real()) {
    p.real[F] = real_tile<A, F>;
  } else {
    p.aux_bytes[F] = (f.has_min() || bias_of<A>(f)) ? (f.pair() ? 8 : 4) : 0;
    if constexpr (f.book != Book::none) p.aux_bytes[F] += 32;
    p.make_aux[F] = make_aux<A, F>;
    fill_sizes<A, F, 1, 2, 4>(p);
    if constexpr (A::tile_rows >= 8) fill_sizes<A, F, 3, 6, 8>(p);
    if constexpr (A::tile_rows == 16) fill_sizes<A, F, 12, 16>(p);
  }
  if constexpr (F + 1 < format_count) fill_format<A, F + 1>(p);
}

constexpr int padded_rows_4[] = {0, 1, 2, 4, 4};
constexpr int padded_rows_8[] = {0, 1, 2, 3, 4, 6, 6, 8, 8};
constexpr int padded_rows_16[] = {0, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16};

template <class A>
void quantize_row(const float* x, int t, int count, int64_t k, int64_t first, int64_t last,
                  const float* norm, float eps, const Act& tile) {
  const bool normed = x != nullptr && norm != nullptr;
  const float factor = normed ? rms_factor<A>(x, k, eps) : 1;
  for (int64_t b = first; b < last; ++b) {
    int8_t* q = tile.q + (b * count + t) * 32;
    float& scale = tile.d[b * count + t];
    int16_t& sum = tile.s[b * 2 * count + t];
    int16_t& second = tile.s[(b * 2 + 1) * count + t];
    if (x == nullptr) {
      memset(q, 0, 32);
      scale = 0;
      sum = second = 0;
      continue;
    }
    alignas(64) float y[32];
    if (normed) {
      for (int i = 0; i < 32; ++i) y[i] = (x[b * 32 + i] * factor) * norm[b * 32 + i];
    }
    A::quantize32(normed ? y : x + b * 32, q, scale, sum, second);
  }
}

template <class A>
const LinearPath* make_path() {
  codebook(Book::none);
  static LinearPath p = {};
  p.width = A::W;
  p.tile_rows = A::tile_rows;
  p.padded = A::tile_rows == 16 ? padded_rows_16 : A::tile_rows == 8 ? padded_rows_8 : padded_rows_4;
  fill_format<A, 0>(p);
  p.quantize = quantize_row<A>;
  p.finish = finish<A>;
  p.weighted_sum = weighted_sum<A>;
  p.norm = norm<A>;
  p.elementwise = elementwise<A>;
  return &p;
}

}  // namespace
}  // namespace pl
