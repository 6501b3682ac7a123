// Reading cache rows: conversion to f32, and asking for rows ahead.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../../include/paceline.h"
#include "../vec/lanes.h"
#include "attention.h"

namespace pl {
namespace attention {
namespace {

// Where element d of a row lies, d a multiple of 32 in a q8_0 row.
template <int Type>
inline size_t offset_of(int d) {
  const size_t n = static_cast<size_t>(d);
  return Type == PL_CACHE_F32 ? 4 * n : Type == PL_CACHE_F16 ? 2 * n : n / 32 * 34;
}
// Elements [d, d + 16) of a row, d a multiple of 16.
template <int Type>
inline V read16(const uint8_t* row, int d) {
  if (Type == PL_CACHE_F32) return load(reinterpret_cast<const float*>(row) + d);
  if (Type == PL_CACHE_F16) return load_half(row + 2 * static_cast<size_t>(d));
  const uint8_t* block = row + static_cast<size_t>(d / 32) * 34;
  return mul(set1_half(block), load_int8(block + 2 + (d & 31)));
}
// The last n < 16 elements from d, zeros behind them. Never reads past the row.
template <int Type>
inline V read_tail(const uint8_t* row, int d, int n) {
  alignas(64) uint8_t t[64] = {};
  const size_t size = Type == PL_CACHE_F32 ? 4 : 2;
  std::memcpy(t, row + size * d, size * n);
  return read16<Type>(t, 0);
}
// Elements [from, to) of a row with `dim` elements, from a multiple of 16, as f32; zeros from dim to
// the next multiple of 16.
template <int Type>
inline void read_row(const uint8_t* row, int from, int to, int dim, float* out) {
  int d = from;
  for (; d + 16 <= dim && d < to; d += 16) store(out + d - from, read16<Type>(row, d));
  if (d < to && d < dim) store(out + d - from, read_tail<Type>(row, d, dim - d));
}
// Calls f with a compile-time type.
template <class F>
inline void by_type(int type, F f) {
  if (type == PL_CACHE_F16)
    f(std::integral_constant<int, PL_CACHE_F16>());
  else if (type == PL_CACHE_F32)
    f(std::integral_constant<int, PL_CACHE_F32>());
  else
    f(std::integral_constant<int, PL_CACHE_Q8_0>());
}
inline void read_row(int type, const uint8_t* row, int from, int to, int dim, float* out) {
  by_type(type, [&](auto t) { read_row<decltype(t)::value>(row, from, to, dim, out); });
}
// Cache rows of a block, of all KV heads of a unit: row j at base + j * stride.
struct Rows {
  const uint8_t* base;
  int64_t stride;
  size_t width;  // bytes of all the unit's heads
};
// Rows that are asked for while others are in work: row i at base + i * step.
struct Ahead {
  const uint8_t* base;
  int64_t step;
};

// Lines to ask for, one in every step of a loop.
struct Lines {
  const uint8_t* line;
  int64_t step;
  void next() {
    prefetch(line);
    line += step;
  }
};

// Asks for a unit's rows, position by position, keys and values in turn (two streams are read faster
// than one), a line in every step of the inner loops: a processor drops or waits for what is too much
// at once.
class Fetch {
 public:
  void start(const Unit& u, int64_t low, int64_t high) {
    rows_[0] = {u.k, u.k_stride, u.k_head_bytes * u.heads};
    rows_[1] = {u.v, u.v_stride, u.v_head_bytes * u.heads};
    for (int i = 0; i < 2; i++) lines_[i] = static_cast<int64_t>((rows_[i].width + 63) / 64);
    at_ = low;
    high_ = high;
    goal_ = low;
    rate_ = credit_ = part_ = 0;
    turn(0);
  }
  // Spreads what is missing up to some rows behind the block at b over this many calls of take().
  void aim(int64_t b, int64_t calls) {
    goal_ = b + kBlock + kLead < high_ ? b + kBlock + kLead : high_;
    const int64_t lines = goal_ > at_ ? (goal_ - at_) * (lines_[0] + lines_[1]) : 0;
    rate_ = kLine * lines / (calls > 0 ? calls : 1) + 1;
    credit_ = 0;
  }
  // What a loop of n steps is to ask for: some lines of a row or, with `idle`, nothing new.
  Lines take(int n, const void* idle) {
    credit_ += rate_;
    if (credit_ < 0 || at_ >= goal_) return {static_cast<const uint8_t*>(idle), 0};
    if (line_ == end_) turn(part_ ^ 1);
    const Lines result = {line_, 64};
    const int64_t left = (end_ - line_) / 64, own = left < n ? left : n;
    credit_ -= kLine * own;
    line_ += 64 * own;
    return result;
  }

 private:
  static constexpr int64_t kLead = 32, kLine = 256;
  void turn(int part) {
    if (part < part_) at_++;
    part_ = part;
    line_ = rows_[part].base + at_ * rows_[part].stride;
    end_ = line_ + 64 * lines_[part];
  }
  Rows rows_[2];
  int64_t lines_[2], at_, goal_, high_, rate_, credit_;
  const uint8_t *line_, *end_;
  int part_;
};

}  // namespace
}  // namespace attention
}  // namespace pl
