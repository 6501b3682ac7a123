// The sum of the cache's blocks on the disk (src/cache/store/checksum.ts says what it is), for threads that are not
// JavaScript's: four lanes that depend on nothing but themselves, a word of each step for each.
#include <cstring>

#include "../../include/paceline.h"

namespace {
constexpr uint32_t kFactors[4] = {0x85ebca6bu, 0xc2b2ae35u, 0x27d4eb2fu, 0x165667b1u};

inline uint32_t step(uint32_t lane, uint32_t word, uint32_t factor) {
  const uint32_t product = (lane ^ word) * factor;
  return product ^ (product >> 15);
}

// Keeps lanes in registers of their own: a vector multiplies them in three times the latency.
inline void apart(uint32_t& lane) { asm volatile("" : "+r"(lane)); }
}  // namespace

PL_API void pl_checksum(const uint64_t* addresses, const int64_t* bytes, int64_t count, uint32_t* lanes) {
  uint32_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];
  for (int64_t part = 0; part < count; ++part) {
    const char* const from = reinterpret_cast<const char*>(addresses[part]);
    for (int64_t at = 0; at + 16 <= bytes[part]; at += 16) {
      uint32_t words[4];
      std::memcpy(words, from + at, sizeof words);
      a = step(a, words[0], kFactors[0]);
      b = step(b, words[1], kFactors[1]);
      c = step(c, words[2], kFactors[2]);
      d = step(d, words[3], kFactors[3]);
      apart(a), apart(b), apart(c), apart(d);
    }
  }
  lanes[0] = a, lanes[1] = b, lanes[2] = c, lanes[3] = d;
}
