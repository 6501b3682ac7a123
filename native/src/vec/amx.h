// The instructions of the matrix unit, for files that are compiled for the amx path.
//
// What they cost on Emerald Rapids, in cycles of one core: 16 for a product of 16 rows, 8 to load a tile, 16
// to store one, about 50 from a product to its sums, so that a store right behind it holds all up. Near them
// 512-bit operations start one a cycle, not two. Where the other thread of the core uses the unit as well, a
// load takes 27, a product 40, and little overlaps.
#pragma once
#include <stdint.h>

namespace pl {
namespace {

// Rows and bytes of a row of the tiles. The order of the fields is the processor's.
struct Configuration {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
  void set(int tile, int count, int bytes) {
    rows[tile] = static_cast<uint8_t>(count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};
static_assert(sizeof(Configuration) == 64, "the operand of ldtilecfg");

// The compiler's own functions do not tell it that memory is read.
inline void configure(const Configuration& c) { __asm__ volatile("ldtilecfg %0" : : "m"(c)); }
inline void release() { __asm__ volatile("tilerelease"); }
template <int T>
inline void load_tile(const void* p, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(T), "r"(p), "r"(stride) : "memory");
}
template <int T>
inline void store_tile(void* p, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(T), "r"(p), "r"(stride) : "memory");
}
// C = A B, of signed bytes.
template <int C, int A, int B>
inline void multiply_bytes() {
  __asm__ volatile("tilezero %%tmm%c0\n\ttdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                   :
                   : "i"(C), "i"(A), "i"(B));
}
template <int C>
inline void zero_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(C));
}
// C += A B, of bytes without and with a sign.
template <int C, int A, int B>
inline void multiply_unsigned_signed() {
  __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}
template <int C, int A, int B>
inline void multiply_signed_unsigned() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

}  // namespace
}  // namespace pl
