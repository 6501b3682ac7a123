// A block with few query rows: memory is what they wait for, so they are multiplied right out of cache
// rows, in the order of memory.
#pragma once
#include "work.h"

namespace pl {
namespace attention {
namespace {

struct FewRows : Work {
  static constexpr int kStep = 8;  // positions of a head between those of other heads
  static constexpr int kFarBytes = 32768;
  using Work::Work;

  // Four positions of all heads at a time. Values follow in memory order.
  template <int Type>
  void scores_in_place(int low, int high, const Rows& k, const Rows& v) const {
    for (int j = low & ~3; j < high; j += 4) {
      const uint8_t* four[4];
      for (int i = 0; i < 4; i++) {
        const int own = j + i < low ? low : j + i < high ? j + i : high - 1;
        four[i] = k.base + own * k.stride;
      }
      for (int head = 0; head < u.heads; head++) {
        const uint8_t* keys[4];
        for (int i = 0; i < 4; i++) keys[i] = four[i] + head * u.k_head_bytes;
        const Ahead ahead = ahead_of(k, v, j, 4, high, head, u.k_head_bytes);
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          const size_t row = static_cast<size_t>(head) * rows + r;
          score_tile<R, Type>(q + row * padded, padded, keys, ahead, scores + row * kBlock + j);
        });
      }
    }
  }
  // What a step of n positions, one of a step per head, asks for: its share of the n rows that lie
  // some KiB on, in the order of memory. Behind a block's rows come those of `next`.
  Ahead ahead_of(const Rows& own, const Rows& next, int j, int n, int high, int head,
                 size_t head_bytes) const {
    const int far = static_cast<int>(kFarBytes / own.width) / n * n;
    j += far < n ? n : far > kBlock / 2 ? kBlock / 2 : far;
    const uint8_t* from = j < high ? own.base + j * own.stride
                                   : next.base + (j - high) * next.stride;
    const auto bytes = static_cast<int64_t>(head_bytes);
    if (own.stride == static_cast<int64_t>(own.width)) return {from + head * n * bytes, bytes};
    return {from + head * bytes, own.stride};
  }
  // Some positions of all heads at a time. Keys follow in memory order.
  template <int Type>
  void values_in_place(int64_t b, int low, int high, const Rows& v, const Rows& next) const {
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    for (int j = low; j < high; j += kStep) {
      const int to = j + kStep < high ? j + kStep : high;
      for (int head = 0; head < u.heads; head++) {
        const uint8_t* values = v.base + head * u.v_head_bytes;
        const Stored<Type> side = {ahead_of(v, next, j, kStep, high, head, u.v_head_bytes), nullptr};
        by_rows(rows, [&](auto count, int r) {
          constexpr int R = decltype(count)::value;
          constexpr int N = R <= Own::wide_rows ? Own::wide_vectors : Own::value_vectors;
          // Probabilities are there only where one of these rows sees something.
          int first, last;
          seen_in(r, R, b, low, high, &first, &last);
          const int from = first > j ? first : j, end = last < to ? last : to;
          if (from < end)
            value_head<R, N, Type>(head, r, 0, 0, u.v_pad,
                                   from == first ? shrink + head * rows + r : ones, values, v.stride,
                                   from, end, side);
        });
      }
    }
  }
  void block(int64_t b, int low, int high) const {
    const Rows k = {u.k + b * u.k_stride, u.k_stride, u.k_head_bytes * u.heads};
    const Rows v = {u.v + b * u.v_stride, u.v_stride, u.v_head_bytes * u.heads};
    const Rows next = {k.base + kBlock * k.stride, k.stride, k.width};
    by_type(u.k_type, [&](auto type) { scores_in_place<decltype(type)::value>(low, high, k, v); });
    for (int head = 0; head < u.heads; head++) soften_head(head, b, low, high);
    by_type(u.v_type, [&](auto type) { values_in_place<decltype(type)::value>(b, low, high, v, next); });
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl
