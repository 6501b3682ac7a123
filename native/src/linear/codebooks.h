// The codebooks of the IQ1, IQ2 and IQ3 types: what an index of a few bits stands for, 8 or 4 columns.
//
// An entry is a run of small codes, two bits a column (8 columns) or three bits (4 columns), in two bytes: the
// codes of its first and of its second half, the first column's in the low bits. What a code and a sign mean is
// value_of(). Entries are in ascending order of the numbers that their codes make, the last column's first, so
// that a codebook is a set: codebooks.cpp has a bit for every number.
#pragma once
#include <stdint.h>

namespace pl {

enum class Book { none, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s, iq1 };
constexpr int book_count = 7;

constexpr int entries_of(Book b) {
  switch (b) {
    case Book::iq2_xxs:
    case Book::iq3_xxs:
      return 256;
    case Book::iq2_xs:
    case Book::iq3_s:
      return 512;
    case Book::iq2_s:
      return 1024;
    case Book::iq1:
      return 2048;
    default:
      return 0;
  }
}
constexpr int code_bits(Book b) { return b == Book::iq3_xxs || b == Book::iq3_s ? 3 : 2; }
constexpr int columns_of(Book b) { return code_bits(b) == 3 ? 4 : 8; }
// Whether only 7 signs of 8 are stored: an even number of them is negative.
constexpr bool seven_signs(Book b) {
  return b == Book::iq2_xxs || b == Book::iq2_xs || b == Book::iq3_xxs;
}
// What weights are multiples of, in the scale's unit.
constexpr float unit_of(Book b) { return b == Book::iq3_s ? 1 : b == Book::iq3_xxs ? 0.25f : 0.125f; }

// The weight of a code: with a sign, negative; of IQ1, an eighth more, or less with a sign.
constexpr int value_of(Book b, int code, int sign) {
  constexpr int two_bits[4] = {8, 25, 43, 0};
  if (b == Book::iq1) return 8 * (code - 1) + (sign ? -1 : 1);
  const int size = b == Book::iq3_s     ? 2 * code + 1
                   : b == Book::iq3_xxs ? 8 * code + 4 + (code == 7 ? 2 : 0)
                                        : two_bits[code & 3];
  return sign ? -size : size;
}

// First halves of all entries, then the second ones: entries_of() bytes each, on a line of the cache.
// The first call fills the tables: no other thread may call meanwhile.
const uint8_t* codebook(Book b);
// The same, both halves of an entry in one number: from bit 0 and from bit 32 on.
const uint64_t* codebook_pairs(Book b);

}  // namespace pl
