// How weights lie in panels, and how they get there from GGUF blocks and back to f32.
//
// A panel holds W rows (the path's vector width) of all K columns, as a run of groups of 256 columns
// (the last may be shorter, a multiple of 32). A group is three planes, each aligned:
//   header  per row: f16 d (and f16 dmin) of a K-quant
//   scales  per 32 columns: bytes that scale the block, all W rows side by side
//   quants  per 32 columns: their low 2, 4 or 8 bits, then the remaining 1 or 2 bits
// Columns come in 8 units of 4: unit c has columns 4c to 4c+3, and one vector of 4W bytes holds one
// unit of every row. Units share a byte: low nibble = unit j, high nibble = unit j + 4; 2-bit
// fields p of vector j = unit 2p + j; bit c of the 1-bit vector = unit c.
// F16, BF16 and F32 panels are just W values side by side, column after column.
//
// Of a type with a codebook (codebooks.h) the quants of 32 columns are, per row, four bytes each: indices of
// entries (one vector of 8 columns an entry, or two of 4), then signs. Byte j of them belongs to the 8 columns
// of group lane_group(j), bit i of a byte of signs to column i of these; a free bit 7 has a bit of an index or
// of the scale. More bits of indices stand behind the block's scales. So a byte of every row looks up the same
// columns at once, and products take activations in the order of column_of().
#pragma once
#include <stdint.h>

#include "codebooks.h"

namespace pl {

enum class Scale {
  f16,       // f16 d
  f16_min,   // f16 d, f16 m: x = d q + m
  k_min,     // u8 scale, u8 min of a header (d, dmin): x = d s q - dmin m
  k_pair,    // two s8 scales (16 columns each) of a header d
  k_pair_min,// two bytes (16 columns each): low nibble scale, high nibble min
  k_one,     // one s8 scale of a header d
  k_signs,   // four bits s among the signs of a header d: 2 s + 1
  k_high,    // three bits s among the indices' of a header d: 2 s + 1
  k_nibbles, // two times four bits s (16 columns each) of a header d: 2 s + 1
  e8m0,      // a power of two
  ue4m3_pair,// two floats of 8 bits without a sign (16 columns each), halved
  none       // f32, f16, bf16
};

enum class Table { none, iq4nl, fp4 };

struct Format {
  int type;         // ggml's number
  int block;        // columns of a GGUF block
  int block_bytes;  // bytes of it
  int low, high;    // bits
  Scale scale;
  Table table;
  int bias;         // what the unsigned quant is ahead of its meaning (0 with a table)
  Book book = Book::none;  // low: bits of its indices a column, high: of signs
  int more = 0;     // bytes of a block's indices that stand behind its scales
  int shared = 1;   // blocks that share a scale

  constexpr int header_bytes() const {
    switch (scale) {
      case Scale::k_min:
      case Scale::k_pair_min:
        return 4;
      case Scale::k_pair:
      case Scale::k_one:
      case Scale::k_signs:
      case Scale::k_high:
      case Scale::k_nibbles:
        return 2;
      default:
        return 0;
    }
  }
  // Bytes of the scales of a block, without the bits of indices behind them.
  constexpr int own_scale_bytes() const {
    switch (scale) {
      case Scale::f16_min:
        return 4;
      case Scale::e8m0:
      case Scale::k_one:
      case Scale::k_nibbles:
        return 1;
      case Scale::k_signs:
      case Scale::k_high:
      case Scale::none:
        return 0;
      default:
        return 2;
    }
  }
  constexpr int scale_bytes() const { return own_scale_bytes() + more; }
  constexpr int scales_of(int blocks) const { return (blocks + shared - 1) / shared; }
  constexpr bool pair() const {
    return scale == Scale::k_pair || scale == Scale::k_pair_min || scale == Scale::k_nibbles ||
           scale == Scale::ue4m3_pair;
  }
  constexpr bool has_min() const {
    return scale == Scale::f16_min || scale == Scale::k_min || scale == Scale::k_pair_min;
  }
  constexpr bool real() const { return scale == Scale::none; }
  // Bytes of the quants of 32 columns of `rows` rows, and the offset of their high bits.
  constexpr int64_t quant_bytes(int rows) const { return int64_t{4} * rows * (low + high); }
  constexpr int64_t high_at(int rows) const { return int64_t{4} * rows * low; }
};

constexpr Format formats[] = {
    {0, 1, 4, 32, 0, Scale::none, Table::none, 0},            // F32
    {1, 1, 2, 16, 0, Scale::none, Table::none, 0},            // F16
    {30, 1, 2, 16, 0, Scale::none, Table::none, 0},           // BF16
    {2, 32, 18, 4, 0, Scale::f16, Table::none, 8},            // Q4_0
    {3, 32, 20, 4, 0, Scale::f16_min, Table::none, 0},        // Q4_1
    {6, 32, 22, 4, 1, Scale::f16, Table::none, 16},           // Q5_0
    {7, 32, 24, 4, 1, Scale::f16_min, Table::none, 0},        // Q5_1
    {8, 32, 34, 8, 0, Scale::f16, Table::none, 0},            // Q8_0, stored signed
    {10, 256, 84, 2, 0, Scale::k_pair_min, Table::none, 0},   // Q2_K
    {11, 256, 110, 2, 1, Scale::k_pair, Table::none, 4},      // Q3_K
    {12, 256, 144, 4, 0, Scale::k_min, Table::none, 0},       // Q4_K
    {13, 256, 176, 4, 1, Scale::k_min, Table::none, 0},       // Q5_K
    {14, 256, 210, 4, 2, Scale::k_pair, Table::none, 32},     // Q6_K
    {20, 32, 18, 4, 0, Scale::f16, Table::iq4nl, 0},          // IQ4_NL
    {23, 256, 136, 4, 0, Scale::k_one, Table::iq4nl, 0},      // IQ4_XS
    {39, 32, 17, 4, 0, Scale::e8m0, Table::fp4, 0},           // MXFP4
    {40, 64, 36, 4, 0, Scale::ue4m3_pair, Table::fp4, 0},     // NVFP4
    {41, 128, 18, 0, 1, Scale::f16, Table::none, 1, Book::none, 0, 4},  // Q1_0: twice the bit
    {42, 64, 18, 2, 0, Scale::f16, Table::none, 1, Book::none, 0, 2},   // Q2_0
    {34, 256, 54, 2, 0, Scale::f16, Table::none, 1, Book::none, 0, 8},  // TQ1_0, as TQ2_0
    {35, 256, 66, 2, 0, Scale::f16, Table::none, 1, Book::none, 0, 8},  // TQ2_0
    {16, 256, 66, 1, 1, Scale::k_signs, Table::none, 43, Book::iq2_xxs},       // IQ2_XXS
    {17, 256, 74, 1, 1, Scale::k_nibbles, Table::none, 43, Book::iq2_xs},      // IQ2_XS
    {22, 256, 82, 1, 1, Scale::k_nibbles, Table::none, 43, Book::iq2_s, 1},    // IQ2_S
    {18, 256, 98, 2, 1, Scale::k_signs, Table::none, 62, Book::iq3_xxs},       // IQ3_XXS
    {21, 256, 110, 2, 1, Scale::k_one, Table::none, 15, Book::iq3_s, 1},       // IQ3_S
    {19, 256, 50, 1, 0, Scale::k_high, Table::none, 9, Book::iq1, 2},          // IQ1_S
    {29, 256, 56, 1, 0, Scale::k_nibbles, Table::none, 9, Book::iq1, 2},       // IQ1_M
};
constexpr int format_count = sizeof formats / sizeof formats[0];

// Position in `formats` of a ggml type, or -1.
static inline int format_index(int64_t type) {
  for (int i = 0; i < format_count; ++i)
    if (formats[i].type == type) return i;
  return -1;
}

// The sixteen values of a 4-bit table. FP4 is doubled, as its scale is halved.
constexpr int8_t table_iq4nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t table_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Offsets of the planes of a group of `blocks` 32-column blocks in a panel of `rows` rows.
struct Group {
  int64_t scales, quants, bytes;
};
static constexpr int64_t align_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static constexpr Group group_layout(const Format& f, int rows, int blocks) {
  const int64_t a = rows * 4 < 64 ? rows * 4 : 64;
  Group g{};
  g.scales = align_up(int64_t{f.header_bytes()} * rows, a);
  g.quants = g.scales + align_up(int64_t{f.scale_bytes()} * rows * f.scales_of(blocks), a);
  g.bytes = g.quants + f.quant_bytes(rows) * blocks;
  return g;
}
static constexpr int64_t panel_bytes(const Format& f, int rows, int64_t k) {
  if (f.real()) return k * rows * f.block_bytes;
  const int64_t blocks = k / 32, rest = blocks % 8;
  return blocks / 8 * group_layout(f, rows, 8).bytes +
         (rest ? group_layout(f, rows, static_cast<int>(rest)).bytes : 0);
}

// The group of 8 columns that byte j of an index vector belongs to.
static constexpr int lane_group(const Format& f, int j) {
  return f.pair() && (j == 1 || j == 2) ? 3 - j : j;
}
// The column (of 32) that byte j of unit c of a type with a codebook multiplies: where a block has two scales,
// units 0 to 3 are of the first 16 columns.
static constexpr int column_of(const Format& f, int c, int j) {
  return f.pair() ? 16 * (c / 4) + 8 * (j / 2) + 2 * (c % 4) + j % 2 : 8 * j + c;
}

// One GGUF row into row `row` of a panel of `rows` rows.
void pack_row(const Format& f, const uint8_t* source, uint8_t* panel, int rows, int row, int64_t k);
// Row `row` of a panel as f32.
void unpack_row(const Format& f, const uint8_t* panel, int rows, int row, int64_t k, float* out);

}  // namespace pl
