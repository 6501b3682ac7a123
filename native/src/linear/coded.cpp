// GGUF blocks of types with codebooks to the words of a panel, and these to f32. See panels.h for what they are.
#include <cstring>

#include "../vec/half.h"
#include "plain.h"

namespace pl {
namespace {

int short_at(const uint8_t* p) { return p[0] | p[1] << 8; }
uint8_t byte(int x) { return static_cast<uint8_t>(x); }

// Eight bytes: those at even places, and those at odd ones.
void part(const uint8_t* p, uint32_t* even, uint32_t* odd) {
  uint64_t both;
  std::memcpy(&both, p, 8);
  uint32_t* const to_each[2] = {even, odd};
  for (uint32_t* to : to_each) {
    uint64_t x = both & 0x00ff00ff00ff00ffull;
    x = (x | x >> 8) & 0x0000ffff0000ffffull;
    *to = static_cast<uint32_t>(x | x >> 16);
    both >>= 8;
  }
}
// Four times seven bits to bytes, and the four bits behind them to their upper bits.
uint32_t spread(uint32_t x) {
  const uint32_t upper = (x >> 28) * 0x00204081u & 0x01010101u;
  return (x & 0x7f) | (x & 0x3f80) << 1 | (x & 0x1fc000) << 2 | (x & 0xfe00000) << 3 | upper << 7;
}
// In the order of lane_group() where a block has two scales: the two in the middle change places.
uint32_t swap_bytes(uint32_t x) { return (x & 0xff0000ff) | (x >> 8 & 0xff00) | (x << 8 & 0xff0000); }
int swap_pairs(int x) { return (x & 0xc3) | (x >> 2 & 0x0c) | (x << 2 & 0x30); }

// A block of 32 columns as a panel has it.
struct Block {
  uint32_t index[2], signs;
  uint8_t scale, more[2];
};

// High bits of four indices, three bits `step` bits apart, as in a panel.
void high_bits(int x, int step, bool swapped, Block& r) {
  for (int j = 0; j < 4; ++j) {
    const int g = swapped && (j == 1 || j == 2) ? 3 - j : j, own = x >> (step * g);
    r.more[0] = byte(r.more[0] | (own & 3) << (2 * j));
    r.more[1] = byte(r.more[1] | (own >> 2 & 1) << j | (swapped ? (own >> 3 & 1) << (4 + j) : 0));
  }
}

Block block_of(const Format& f, const uint8_t* s, int b) {
  Block r{};
  switch (f.type) {
    case 16:  // IQ2_XXS: d; per block four indices, four times seven signs, scale
      r.index[0] = word(s + 2 + 8 * b);
      r.signs = spread(word(s + 6 + 8 * b));
      break;
    case 17: {  // IQ2_XS: d; nine bits of an index and seven signs; nibbles of scales
      uint32_t low, high;
      part(s + 2 + 8 * b, &low, &high);
      r.index[0] = swap_bytes(low);
      r.signs = swap_bytes((high >> 1 & 0x7f7f7f7f) | (high << 7 & 0x80808080));
      r.scale = s[66 + b];
      break;
    }
    case 22:  // IQ2_S: d; low bits of indices; signs; high bits; nibbles of scales
      r.index[0] = swap_bytes(word(s + 2 + 4 * b));
      r.signs = swap_bytes(word(s + 34 + 4 * b));
      r.more[0] = byte(swap_pairs(s[66 + b]));
      r.scale = s[74 + b];
      break;
    case 18:  // IQ3_XXS: d; indices; per block four times seven signs, scale
      part(s + 2 + 8 * b, &r.index[0], &r.index[1]);
      r.signs = spread(word(s + 66 + 4 * b));
      break;
    case 21:  // IQ3_S: d; low bits of indices; high bits; signs; nibbles of scales
      part(s + 2 + 8 * b, &r.index[0], &r.index[1]);
      r.signs = word(s + 74 + 4 * b);
      r.more[0] = s[66 + b];
      r.scale = byte(2 * (s[106 + b / 2] >> (4 * (b % 2)) & 15) + 1);
      break;
    case 19: {  // IQ1_S: d; low bits of indices; per block their high bits, scale, sign of the eighth
      const int high = short_at(s + 34 + 2 * b);
      r.index[0] = word(s + 2 + 4 * b);
      high_bits(high, 3, false, r);
      r.more[1] = byte(r.more[1] | high >> 12 << 4);
      break;
    }
    case 29: {  // IQ1_M: low bits of indices; high bits and signs; four times three times four bits of scales
      const int scales = short_at(s + 48 + 2 * (b / 2)) >> (6 * (b % 2));
      r.index[0] = swap_bytes(word(s + 4 * b));
      high_bits(short_at(s + 32 + 2 * b), 4, true, r);
      r.scale = byte((scales & 7) | (scales >> 3 & 7) << 4);
      break;
    }
  }
  return r;
}

void put_header(const Format& f, const uint8_t* s, Plain& p) {
  if (f.type != 29) {
    std::memcpy(p.header, s, 2);
    return;
  }
  int d = 0;  // the upper four bits of each of the scales
  for (int i = 0; i < 4; ++i) d |= short_at(s + 48 + 2 * i) >> 12 << (4 * i);
  p.header[0] = byte(d), p.header[1] = byte(d >> 8);
}

int bit(int from, int at) { return from >> at & 1; }

}  // namespace

void read_coded(const Format& f, const uint8_t* s, Plain& p) {
  put_header(f, s, p);
  uint8_t *scale = p.scales, *words = p.quants;
  for (int b = 0; b < 8; ++b) {
    const Block own = block_of(f, s, b);
    if (f.own_scale_bytes() > 0) *scale++ = own.scale;
    for (int i = 0; i < f.more; ++i) *scale++ = own.more[i];
    for (int v = 0; v < f.low; ++v, words += 4) put(words, own.index[v]);
    if (f.high > 0) put(words, own.signs), words += 4;
  }
}

void coded_values(const Format& f, const Plain& p, int b, float* out) {
  const uint8_t* scale = p.scales + b * f.scale_bytes();
  const uint8_t* more = scale + f.own_scale_bytes();
  const uint8_t* words = p.quants + b * 4 * (f.low + f.high);
  const uint8_t* signs = words + 4 * f.low;
  const uint8_t* table = codebook(f.book);
  const int bits = code_bits(f.book), half = columns_of(f.book) / 2;
  int scales[2] = {};
  for (int h = 0; h < 2; ++h) {
    if (f.scale == Scale::k_nibbles) scales[h] = 2 * (scale[0] >> (4 * h) & 15) + 1;
    if (f.scale == Scale::k_one) scales[h] = scale[0];
    if (f.scale == Scale::k_high) scales[h] = 2 * (more[1] >> 4 & 7) + 1;
    if (f.scale == Scale::k_signs) {
      scales[h] = 1;
      for (int j = 0; j < 4; ++j) scales[h] += 2 * (signs[j] >> 7) << j;
    }
  }
  uint16_t header;
  std::memcpy(&header, p.header, 2);
  const float d = half_to_float(header) * unit_of(f.book);
  for (int j = 0; j < 4; ++j) {
    const int g = lane_group(f, j);
    int negative = 0;
    if (f.book == Book::iq1) {
      negative = bit(more[1], f.scale == Scale::k_high ? 7 : 4 + j) ? 255 : 0;
    } else {
      negative = signs[j];
      if (seven_signs(f.book)) negative = (negative & 127) | (__builtin_popcount(negative & 127) & 1) << 7;
    }
    for (int i = 0; i < 8; ++i) {
      const int v = i / columns_of(f.book), in_entry = i % columns_of(f.book);
      int index = words[4 * v + j];
      if (f.book == Book::iq2_xs) index |= signs[j] >> 7 << 8;
      if (f.book == Book::iq3_s) index |= bit(more[0], 2 * j + v) << 8;
      if (f.book == Book::iq2_s || f.book == Book::iq1) index |= (more[0] >> 2 * j & 3) << 8;
      if (f.book == Book::iq1) index |= bit(more[1], j) << 10;
      const int codes = table[in_entry / half * entries_of(f.book) + index];
      const int code = codes >> (in_entry % half * bits) & ((1 << bits) - 1);
      const int value = value_of(f.book, code, bit(negative, i));
      out[8 * g + i] = d * static_cast<float>(scales[g / 2]) * static_cast<float>(value);
    }
  }
}

}  // namespace pl
