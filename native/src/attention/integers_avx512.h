// Integers in AVX-512 vectors: products of bytes, sums over lanes, numbers as bytes.
#pragma once
#include "../vec/avx512.h"
#include "integers.h"

namespace pl {
namespace attention {
namespace {

// Sums of products by significance, of 16 results.
struct Sums {
  __m512i high, middle, low;
};
// The compiler's own function makes a copy of most sums.
inline __m512i dot(__m512i sum, __m512i bytes, __m512i other) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(other));
  return sum;
}
inline __m512i bytes_at(const void* p) { return _mm512_loadu_si512(p); }
inline __m512 total(const Sums& s, const RowFacts& facts) {
  const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(s.high, 8), s.middle);
  const __m512 upper = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(facts.bias)));
  return _mm512_fmadd_ps(upper, _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(s.low));
}
// Four vectors to one in which op over the lanes of each is in lanes 0 to 3.
template <class Op>
inline __m128i fold(const __m512i (&x)[4], Op op) {
  const auto halves = [&](__m512i a, __m512i b) {
    return op(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
  };
  const __m512i a = halves(x[0], x[1]), b = halves(x[2], x[3]);
  __m512i t = op(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  t = op(t, _mm512_shuffle_epi32(t, static_cast<_MM_PERM_ENUM>(0x4e)));
  t = op(t, _mm512_shuffle_epi32(t, static_cast<_MM_PERM_ENUM>(0xb1)));
  return _mm512_castsi512_si128(_mm512_permutexvar_epi32(_mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12)), t));
}
inline __m128i fold_sums(const __m512i (&x)[4]) {
  return fold(x, [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); });
}
inline __m128 fold_highest(const __m512 (&x)[4]) {
  const __m512i bits[4] = {_mm512_castps_si512(x[0]), _mm512_castps_si512(x[1]), _mm512_castps_si512(x[2]),
                           _mm512_castps_si512(x[3])};
  return _mm_castsi128_ps(fold(bits, [](__m512i a, __m512i b) {
    return _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
  }));
}
// 64 whole numbers of 16 bits as signed bytes, 256 high + low.
inline void split(const __m512i (&x)[4], int8_t* high, int8_t* low) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i h[2], l[2];
  PL_UNROLL for (int i = 0; i < 2; i++) {
    const __m512i words = _mm512_packs_epi32(x[2 * i], x[2 * i + 1]);
    h[i] = _mm512_srai_epi16(_mm512_add_epi16(words, _mm512_set1_epi16(128)), 8);
    l[i] = _mm512_and_si512(words, _mm512_set1_epi16(255));
  }
  _mm512_store_si512(high, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(h[0], h[1])));
  _mm512_store_si512(low, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(l[0], l[1])));
}
// The sum of n signed bytes.
inline int sum_of(const int8_t* bytes, int n) {
  __m512i s = _mm512_setzero_si512();
  for (int i = 0; i < n; i += 64) s = dot(s, _mm512_set1_epi8(1), bytes_at(bytes + i));
  return _mm512_reduce_add_epi32(s);
}

// Asks for the parts of a head, a line in every step, while those of another one are in work: its keys, then its values.
class NextHead {
 public:
  // `count` pieces of some lines, `step` bytes apart.
  void add(const uint8_t* first, int64_t step, int lines, int count) {
    if (lines > 0) parts_[end_++] = {first, step, lines, count};
  }
  void clear() { at_ = end_ = line_ = 0; }
  template <int N = 1>
  void step() {
    // Not all of ten copies.
    _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) {
      if (at_ == end_) return;
      Part& now = parts_[at_];
      prefetch(now.piece + 64 * line_);
      if (++line_ < now.lines) continue;
      line_ = 0;
      now.piece += now.step;
      if (--now.count == 0) at_++;
    }
  }

 private:
  struct Part {
    const uint8_t* piece;
    int64_t step;
    int lines, count;
  };
  Part parts_[6];
  int at_ = 0, end_ = 0, line_ = 0;
};

}  // namespace
}  // namespace attention
}  // namespace pl
