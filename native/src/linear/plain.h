// A group of up to 256 columns of one row, on its way between GGUF blocks and panels.
#pragma once
#include <stdint.h>
#include <string.h>

#include "panels.h"

namespace pl {

struct Plain {
  uint8_t header[4];
  uint8_t scales[8 * 4];  // scale_bytes() per block, or per blocks that share one
  // Unsigned (Q8_0: signed bytes; tables: indices); of a type with a codebook the words of its vectors.
  uint8_t quants[256];
};

// Four bytes at any place, as one word.
inline uint32_t word(const uint8_t* p) {
  uint32_t w;
  memcpy(&w, p, 4);
  return w;
}
inline void put(uint8_t* p, uint32_t w) { memcpy(p, &w, 4); }

// One group of 256 columns of a type with a codebook.
void read_coded(const Format& f, const uint8_t* source, Plain& p);
// Its block b as f32.
void coded_values(const Format& f, const Plain& p, int b, float* out);

}  // namespace pl
