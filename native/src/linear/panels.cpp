// GGUF blocks to panels, and panel rows to f32. Bits move 4 columns at a time, as 32-bit words.
#include "panels.h"

#include <cstring>

#include "../vec/half.h"
#include "plain.h"

namespace pl {
namespace {

void nibbles32(const uint8_t* source, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = source[i] & 15;
    out[i + 16] = source[i] >> 4;
  }
}

// 6-bit scales and mins of Q4_K and Q5_K: 8 pairs in 12 bytes.
void k_scales(const uint8_t* q, uint8_t* out) {
  for (int j = 0; j < 4; ++j) {
    out[2 * j] = q[j] & 63;
    out[2 * j + 1] = q[j + 4] & 63;
    out[2 * j + 8] = (q[j + 8] & 15) | (q[j] >> 6 << 4);
    out[2 * j + 9] = (q[j + 8] >> 4) | (q[j + 4] >> 6 << 4);
  }
}

// Digits of `count` bytes that have five to the base of 3 as a fraction, the first digits before the second ones.
void digits(const uint8_t* s, int count, int each, uint8_t* out) {
  constexpr uint8_t powers[5] = {1, 3, 9, 27, 81};
  for (int n = 0; n < each; ++n, out += count)
    for (int i = 0; i < count; ++i) {
      const uint8_t fraction = static_cast<uint8_t>(s[i] * powers[n]);
      out[i] = static_cast<uint8_t>(fraction * 3 >> 8);
    }
}
// Bits of bytes, one by one or two by two, as bytes. Not inlined: the compiler would warn of groups too long.
__attribute__((noinline)) void single_bits(const uint8_t* s, int count, uint8_t* out) {
  for (int i = 0; i < count; ++i, out += 8) {
    const uint64_t own = s[i] * 0x0101010101010101ull & 0x8040201008040201ull;
    const uint64_t each = (own + 0x7f7f7f7f7f7f7f7full) >> 7 & 0x0101010101010101ull;
    std::memcpy(out, &each, 8);
  }
}
__attribute__((noinline)) void bit_pairs(const uint8_t* s, int count, uint8_t* out) {
  for (int i = 0; i < count; ++i, out += 4) {
    const uint32_t own = s[i];
    put(out, (own | own << 6 | own << 12 | own << 18) & 0x03030303u);
  }
}

// Reads one group. `blocks` counts 32-column blocks (always 8 for 256-column types).
void read_group(const Format& f, const uint8_t* s, int blocks, Plain& p) {
  if (f.book != Book::none) return read_coded(f, s, p);
  switch (f.type) {
    case 2:   // Q4_0: d, nibbles
    case 20:  // IQ4_NL
      for (int b = 0; b < blocks; ++b, s += f.block_bytes) {
        std::memcpy(p.scales + b * 2, s, 2);
        nibbles32(s + 2, p.quants + b * 32);
      }
      break;
    case 3:  // Q4_1: d, m, nibbles
      for (int b = 0; b < blocks; ++b, s += f.block_bytes) {
        std::memcpy(p.scales + b * 4, s, 4);
        nibbles32(s + 4, p.quants + b * 32);
      }
      break;
    case 6:  // Q5_0: d, high bits, nibbles
    case 7:  // Q5_1: d, m, high bits, nibbles
      for (int b = 0; b < blocks; ++b, s += f.block_bytes) {
        const int n = f.scale_bytes();
        std::memcpy(p.scales + b * n, s, static_cast<size_t>(n));
        const uint32_t high = word(s + n);
        uint8_t* q = p.quants + b * 32;
        nibbles32(s + n + 4, q);
        for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(q[i] | ((high >> i & 1) << 4));
      }
      break;
    case 8:  // Q8_0: d, bytes
      for (int b = 0; b < blocks; ++b, s += f.block_bytes) {
        std::memcpy(p.scales + b * 2, s, 2);
        std::memcpy(p.quants + b * 32, s + 2, 32);
      }
      break;
    case 39:  // MXFP4: exponent, nibbles
      for (int b = 0; b < blocks; ++b, s += f.block_bytes) {
        p.scales[b] = s[0];
        nibbles32(s + 1, p.quants + b * 32);
      }
      break;
    case 40:  // NVFP4: four scales, for each of them eight bytes of nibbles. A scale that is no number is zero.
      for (int b = 0; b < blocks; b += 2, s += f.block_bytes)
        for (int h = 0; h < 4; ++h) {
          p.scales[b * 2 + h] = s[h] == 0x7f ? 0 : s[h] & 0x7f;
          for (int i = 0; i < 8; ++i) {
            p.quants[b * 32 + h * 16 + i] = s[4 + h * 8 + i] & 15;
            p.quants[b * 32 + h * 16 + 8 + i] = s[4 + h * 8 + i] >> 4;
          }
        }
      break;
    case 41:  // Q1_0: d, bits
      for (int b = 0; b < blocks; b += 4, s += f.block_bytes) {
        std::memcpy(p.scales + b / 2, s, 2);
        single_bits(s + 2, 16, p.quants + b * 32);
      }
      break;
    case 42:  // Q2_0: d, four columns a byte
      for (int b = 0; b < blocks; b += 2, s += f.block_bytes) {
        std::memcpy(p.scales + b, s, 2);
        bit_pairs(s + 2, 16, p.quants + b * 32);
      }
      break;
    case 34:  // TQ1_0: digits to the base of 3, d
      digits(s, 32, 5, p.quants);
      digits(s + 32, 16, 5, p.quants + 160);
      digits(s + 48, 4, 4, p.quants + 240);
      std::memcpy(p.scales, s + 52, 2);
      break;
    case 35:  // TQ2_0: 64 quant bytes, d
      for (int h = 0; h < 2; ++h)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 32; ++i)
            p.quants[h * 128 + j * 32 + i] = s[h * 32 + i] >> (2 * j) & 3;
      std::memcpy(p.scales, s + 64, 2);
      break;
    case 10:  // Q2_K: 16 scale bytes, 64 quant bytes, d, dmin
      std::memcpy(p.scales, s, 16);
      std::memcpy(p.header, s + 80, 4);
      for (int h = 0; h < 2; ++h)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 32; ++i)
            p.quants[h * 128 + j * 32 + i] = s[16 + h * 32 + i] >> (2 * j) & 3;
      break;
    case 11: {  // Q3_K: 32 mask bytes, 64 quant bytes, 12 scale bytes, d
      const uint8_t* sc = s + 96;
      for (int j = 0; j < 16; ++j) {
        const int low = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
        const int high = sc[8 + j % 4] >> (2 * (j / 4)) & 3;
        p.scales[j] = static_cast<uint8_t>((low | high << 4) - 32);
      }
      std::memcpy(p.header, s + 108, 2);
      for (int h = 0; h < 2; ++h)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 32; ++i)
            p.quants[h * 128 + j * 32 + i] = static_cast<uint8_t>(
                (s[32 + h * 32 + i] >> (2 * j) & 3) | (s[i] >> (h * 4 + j) & 1) << 2);
      break;
    }
    case 12:  // Q4_K: d, dmin, scales, nibbles
      std::memcpy(p.header, s, 4);
      k_scales(s + 4, p.scales);
      for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 32; ++i) {
          p.quants[j * 64 + i] = s[16 + j * 32 + i] & 15;
          p.quants[j * 64 + 32 + i] = s[16 + j * 32 + i] >> 4;
        }
      break;
    case 13:  // Q5_K: d, dmin, scales, high bits, nibbles
      std::memcpy(p.header, s, 4);
      k_scales(s + 4, p.scales);
      for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 32; ++i) {
          const uint8_t q = s[48 + j * 32 + i], h = s[16 + i];
          p.quants[j * 64 + i] = static_cast<uint8_t>((q & 15) | (h >> (2 * j) & 1) << 4);
          p.quants[j * 64 + 32 + i] = static_cast<uint8_t>(q >> 4 | (h >> (2 * j + 1) & 1) << 4);
        }
      break;
    case 14:  // Q6_K: 128 low bytes, 64 high bytes, 16 scales, d
      std::memcpy(p.scales, s + 192, 16);
      std::memcpy(p.header, s + 208, 2);
      for (int h = 0; h < 2; ++h)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 32; ++i) {
            const uint8_t low = s[h * 64 + (j & 1) * 32 + i] >> (j & 2 ? 4 : 0) & 15;
            p.quants[h * 128 + j * 32 + i] =
                static_cast<uint8_t>(low | (s[128 + h * 32 + i] >> (2 * j) & 3) << 4);
          }
      break;
    case 23: {  // IQ4_XS: d, high scale bits, low scale nibbles, nibbles
      std::memcpy(p.header, s, 2);
      const int high = s[2] | s[3] << 8;
      for (int b = 0; b < 8; ++b) {
        const int low = s[4 + b / 2] >> (4 * (b % 2)) & 15;
        p.scales[b] = static_cast<uint8_t>((low | (high >> (2 * b) & 3) << 4) - 32);
        nibbles32(s + 8 + b * 16, p.quants + b * 32);
      }
      break;
    }
  }
}

// Bytes of one scale: header and scale planes keep the parts of all rows side by side.
int part_bytes(const Format& f) {
  return f.scale == Scale::f16 || f.scale == Scale::f16_min ? 2 : 1;
}

template <int BYTES>
void write_parts_of(const uint8_t* from, int count, uint8_t* plane, int rows, int row) {
  for (int i = 0; i < count; ++i) std::memcpy(plane + (int64_t{i} * rows + row) * BYTES, from + i * BYTES, BYTES);
}
void write_parts(const uint8_t* from, int count, int bytes, uint8_t* plane, int rows, int row) {
  if (bytes == 1) {
    write_parts_of<1>(from, count, plane, rows, row);
  } else if (bytes == 2) {
    write_parts_of<2>(from, count, plane, rows, row);
  } else {
    write_parts_of<4>(from, count, plane, rows, row);
  }
}
void read_parts(uint8_t* to, int count, int bytes, const uint8_t* plane, int rows, int row) {
  for (int i = 0; i < count; ++i)
    std::memcpy(to + i * bytes, plane + (int64_t{i} * rows + row) * bytes,
                static_cast<size_t>(bytes));
}

template <int LOW, int HIGH>
void pack_quants(const uint8_t* q, int blocks, uint8_t* quants, int rows, int row) {
  const int64_t step = int64_t{4} * rows;
  uint8_t* to = quants + int64_t{4} * row;
  for (int b = 0; b < blocks; ++b, q += 32) {
    uint32_t u[8];
    for (int c = 0; c < 8; ++c) u[c] = word(q + 4 * c);
    if constexpr (LOW == 8) {
      for (int c = 0; c < 8; ++c, to += step) put(to, u[c]);
    } else if constexpr (LOW == 4) {
      for (int j = 0; j < 4; ++j, to += step)
        put(to, (u[j] & 0x0f0f0f0fu) | (u[j + 4] & 0x0f0f0f0fu) << 4);
    } else if constexpr (LOW == 2) {
      for (int j = 0; j < 2; ++j, to += step) {
        uint32_t w = 0;
        for (int p = 0; p < 4; ++p) w |= (u[2 * p + j] & 0x03030303u) << (2 * p);
        put(to, w);
      }
    }
    if constexpr (HIGH == 2) {
      for (int j = 0; j < 2; ++j, to += step) {
        uint32_t w = 0;
        for (int p = 0; p < 4; ++p) w |= (u[2 * p + j] >> LOW & 0x03030303u) << (2 * p);
        put(to, w);
      }
    } else if constexpr (HIGH == 1) {
      uint32_t w = 0;
      for (int c = 0; c < 8; ++c) w |= (u[c] >> LOW & 0x01010101u) << c;
      put(to, w);
      to += step;
    }
  }
}

template <int LOW, int HIGH>
void unpack_quants(uint8_t* q, int blocks, const uint8_t* quants, int rows, int row) {
  const int64_t step = int64_t{4} * rows;
  const uint8_t* low = quants + int64_t{4} * row;
  for (int b = 0; b < blocks; ++b, q += 32, low += step * (LOW + HIGH)) {
    [[maybe_unused]] const uint8_t* high = low + step * LOW;
    uint32_t u[8];
    for (int c = 0; c < 8; ++c) {
      if constexpr (LOW == 8) {
        u[c] = word(low + c * step);
      } else if constexpr (LOW == 4) {
        u[c] = word(low + (c & 3) * step) >> (c & 4) & 0x0f0f0f0fu;
      } else if constexpr (LOW == 2) {
        u[c] = word(low + (c & 1) * step) >> (c & 6) & 0x03030303u;
      } else {
        u[c] = 0;
      }
      if constexpr (HIGH == 2) u[c] |= (word(high + (c & 1) * step) >> (c & 6) & 0x03030303u) << LOW;
      if constexpr (HIGH == 1) u[c] |= (word(high) >> c & 0x01010101u) << LOW;
      put(q + 4 * c, u[c]);
    }
  }
}

float e8m0_half(uint8_t e) {
  // 2^(e - 128); the two smallest are subnormal.
  const uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Four bits of exponent and three of a mantissa, halved.
float ue4m3_half(uint8_t x) {
  const uint32_t bits = uint32_t{x} << 20;
  float f;
  std::memcpy(&f, &bits, 4);
  return f * 0x1p119f;
}

uint16_t half_at(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return h;
}

// Scale and minimum of 16 columns: x = scale * q - minimum.
void scale_of(const Format& f, const Plain& p, int sixteenth, float& scale, float& minimum) {
  const int b = sixteenth / 2;
  const float d = half_to_float(half_at(p.header));
  minimum = 0;
  switch (f.scale) {
    case Scale::f16:
      scale = half_to_float(half_at(p.scales + b / f.shared * 2));
      break;
    case Scale::f16_min:
      scale = half_to_float(half_at(p.scales + b * 4));
      minimum = -half_to_float(half_at(p.scales + b * 4 + 2));
      break;
    case Scale::k_min:
      scale = d * static_cast<float>(p.scales[2 * b]);
      minimum = half_to_float(half_at(p.header + 2)) * static_cast<float>(p.scales[2 * b + 1]);
      break;
    case Scale::k_pair:
      scale = d * static_cast<float>(static_cast<int8_t>(p.scales[sixteenth]));
      break;
    case Scale::k_pair_min:
      scale = d * static_cast<float>(p.scales[sixteenth] & 15);
      minimum = half_to_float(half_at(p.header + 2)) * static_cast<float>(p.scales[sixteenth] >> 4);
      break;
    case Scale::k_one:
      scale = d * static_cast<float>(static_cast<int8_t>(p.scales[b]));
      break;
    case Scale::ue4m3_pair:
      scale = ue4m3_half(p.scales[sixteenth]);
      break;
    case Scale::e8m0:
      scale = e8m0_half(p.scales[b]);
      break;
    case Scale::k_signs:
    case Scale::k_high:
    case Scale::k_nibbles:  // of codebooks only
    case Scale::none:
      scale = 1;
  }
}

}  // namespace

void pack_row(const Format& f, const uint8_t* s, uint8_t* panel, int rows, int row, int64_t k) {
  if (f.real()) {
    if (f.block_bytes == 2) {
      for (int64_t i = 0; i < k; ++i) std::memcpy(panel + (i * rows + row) * 2, s + i * 2, 2);
    } else {
      for (int64_t i = 0; i < k; ++i) std::memcpy(panel + (i * rows + row) * 4, s + i * 4, 4);
    }
    return;
  }
  const int part = part_bytes(f), parts = f.scale_bytes() / part;
  Plain p;
  for (int64_t block = 0; block < k / 32; block += 8) {
    const int blocks = k / 32 - block < 8 ? static_cast<int>(k / 32 - block) : 8;
    const Group g = group_layout(f, rows, blocks);
    read_group(f, s, blocks, p);
    write_parts(p.header, f.header_bytes() / 2, 2, panel, rows, row);
    write_parts(p.scales, parts * f.scales_of(blocks), part, panel + g.scales, rows, row);
    uint8_t* quants = panel + g.quants;
    if (f.book != Book::none) {
      write_parts(p.quants, (f.low + f.high) * blocks, 4, quants, rows, row);
    } else switch (f.low * 10 + f.high) {
      case 80: pack_quants<8, 0>(p.quants, blocks, quants, rows, row); break;
      case 40: pack_quants<4, 0>(p.quants, blocks, quants, rows, row); break;
      case 41: pack_quants<4, 1>(p.quants, blocks, quants, rows, row); break;
      case 42: pack_quants<4, 2>(p.quants, blocks, quants, rows, row); break;
      case 20: pack_quants<2, 0>(p.quants, blocks, quants, rows, row); break;
      case 21: pack_quants<2, 1>(p.quants, blocks, quants, rows, row); break;
      case 1: pack_quants<0, 1>(p.quants, blocks, quants, rows, row); break;
    }
    s += int64_t{blocks} * 32 / f.block * f.block_bytes;
    panel += g.bytes;
  }
}

void unpack_row(const Format& f, const uint8_t* panel, int rows, int row, int64_t k, float* out) {
  if (f.real()) {
    for (int64_t i = 0; i < k; ++i) {
      const uint8_t* p = panel + (i * rows + row) * f.block_bytes;
      if (f.type == 0) {
        std::memcpy(out + i, p, 4);
      } else if (f.type == 1) {
        out[i] = half_to_float(half_at(p));
      } else {
        const uint32_t bits = static_cast<uint32_t>(half_at(p)) << 16;
        std::memcpy(out + i, &bits, 4);
      }
    }
    return;
  }
  const int part = part_bytes(f), parts = f.scale_bytes() / part;
  const int8_t* table = f.table == Table::iq4nl ? table_iq4nl : table_fp4;
  Plain p;
  for (int64_t block = 0; block < k / 32; block += 8) {
    const int blocks = k / 32 - block < 8 ? static_cast<int>(k / 32 - block) : 8;
    const Group g = group_layout(f, rows, blocks);
    read_parts(p.header, f.header_bytes() / 2, 2, panel, rows, row);
    read_parts(p.scales, parts * f.scales_of(blocks), part, panel + g.scales, rows, row);
    const uint8_t* quants = panel + g.quants;
    if (f.book != Book::none) {
      read_parts(p.quants, (f.low + f.high) * blocks, 4, quants, rows, row);
      for (int b = 0; b < blocks; ++b, out += 32) coded_values(f, p, b, out);
      panel += g.bytes;
      continue;
    }
    switch (f.low * 10 + f.high) {
      case 80: unpack_quants<8, 0>(p.quants, blocks, quants, rows, row); break;
      case 40: unpack_quants<4, 0>(p.quants, blocks, quants, rows, row); break;
      case 41: unpack_quants<4, 1>(p.quants, blocks, quants, rows, row); break;
      case 42: unpack_quants<4, 2>(p.quants, blocks, quants, rows, row); break;
      case 20: unpack_quants<2, 0>(p.quants, blocks, quants, rows, row); break;
      case 21: unpack_quants<2, 1>(p.quants, blocks, quants, rows, row); break;
      case 1: unpack_quants<0, 1>(p.quants, blocks, quants, rows, row); break;
    }
    for (int j = 0; j < blocks * 2; ++j, out += 16) {
      float scale = 0, minimum = 0;
      scale_of(f, p, j, scale, minimum);
      for (int i = 0; i < 16; ++i) {
        const uint8_t u = p.quants[j * 16 + i];
        const int q = f.table != Table::none ? table[u]
                      : f.low == 8           ? static_cast<int8_t>(u)
                      : f.low == 0           ? 2 * u - f.bias
                                             : u - f.bias;
        out[i] = scale * static_cast<float>(q) - minimum;
      }
    }
    panel += g.bytes;
  }
}

}  // namespace pl
