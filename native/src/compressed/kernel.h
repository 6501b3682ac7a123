// Streams of a residual and compressed attention, written once over the 16 lanes of vec/lanes.h. A file of one path includes
// this, and gets `kOps`. Keys of any type are unpacked to f32 a few at a time, for several heads together; a row goes over its
// keys in their order, in blocks that begin with the first one, so that its bytes depend on nothing else.
#pragma once
#include <math.h>
#include <string.h>

#include "../attention/exp.h"
#include "../attention/rows.h"
#include "../vec/half.h"
#include "../vec/lanes.h"
#include "compressed.h"

namespace pl {
namespace compressed {
namespace {

using attention::kLog2e;

constexpr int kKeys = 32;  // unpacked at a time

inline int64_t padded(int64_t n) { return (n + 15) & ~int64_t{15}; }

// ---- streams --------------------------------------------------------------------------------------------
void join(const pl_stream_join& p, int64_t row, int64_t from, int64_t to) {
  const auto* x = reinterpret_cast<const float*>(p.x) + row * p.width * p.streams;
  const auto* pre = reinterpret_cast<const float*>(p.mix) + row * p.count;
  auto* out = reinterpret_cast<float*>(p.out) + row * p.width;
  for (int64_t d = from; d < to; d += 16) {
    V sum = zero();
    for (int64_t s = 0; s < p.streams; s++) sum = fma(set1(pre[s]), load_some(x + s * p.width + d, to - d), sum);
    store_some(out + d, sum, to - d);
  }
}

void spread(const pl_stream_spread& p, int64_t row, int64_t from, int64_t to) {
  const int64_t n = p.streams;
  const auto* y = reinterpret_cast<const float*>(p.y) + row * p.width;
  const auto* x = reinterpret_cast<const float*>(p.x) + row * p.width * n;
  const auto* post = reinterpret_cast<const float*>(p.mix) + row * p.count + n;
  const float* c = post + n;
  auto* out = reinterpret_cast<float*>(p.out) + row * p.width * n;
  for (int64_t d = from; d < to; d += 16) {
    const V own = load_some(y + d, to - d);
    V streams[kMostStreams];
    for (int64_t s = 0; s < n; s++) streams[s] = load_some(x + s * p.width + d, to - d);
    for (int64_t s = 0; s < n; s++) {
      V sum = mul(own, set1(post[s]));
      for (int64_t other = 0; other < n; other++) sum = fma(streams[other], set1(c[s + n * other]), sum);
      store_some(out + s * p.width + d, sum, to - d);
    }
  }
}

// ---- gates ----------------------------------------------------------------------------------------------
void gate(const pl_clamped_gate& p, int64_t from, int64_t to) {
  const auto* g = reinterpret_cast<const float*>(p.gate);
  const auto* u = reinterpret_cast<const float*>(p.up);
  auto* out = reinterpret_cast<float*>(p.out);
  const V limit = set1(static_cast<float>(p.limit)), least = set1(-static_cast<float>(p.limit)), one = set1(1.0f);
  for (int64_t i = from; i < to; i += 16) {
    const V a = min(limit, load_some(g + i, to - i));
    const V b = max(least, min(limit, load_some(u + i, to - i)));
    const V e = attention::exp2(min(set1(126.0f), mul(a, set1(-kLog2e))));
    store_some(out + i, mul(div(a, add(one, e)), b), to - i);
  }
}

// ---- rows -----------------------------------------------------------------------------------------------
// The factor of an RMS norm.
inline float norm_of(const float* x, int64_t n, double eps) {
  V squares = zero();
  for (int64_t d = 0; d < n; d += 16) {
    const V a = load_some(x + d, n - d);
    squares = fma(a, a, squares);
  }
  return 1.0f / sqrtf(sum(squares) / static_cast<float>(n) + static_cast<float>(eps));
}
// Pairs of the last elements; `table` has their cosines, then their sines.
inline void rotate_tail(float* x, int64_t n, const float* table, int64_t dims, bool back) {
  float* tail = x + n - dims;
  const int64_t half = dims / 2;
  for (int64_t i = 0; i < half; i++) {
    const float a = tail[2 * i], b = tail[2 * i + 1], c = table[i], s = back ? -table[half + i] : table[half + i];
    tail[2 * i] = a * c - b * s;
    tail[2 * i + 1] = a * s + b * c;
  }
}

void rope_head(const pl_tail_rope& p, int64_t row, int64_t head) {
  const int64_t n = p.head_dim;
  const auto* x = reinterpret_cast<const float*>(p.x + row * p.x_stride) + head * n;
  auto* out = reinterpret_cast<float*>(p.out) + (row * p.heads + head) * n;
  const auto* weight = reinterpret_cast<const float*>(p.weight);
  if (p.norm) {
    const V factor = set1(norm_of(x, n, p.eps));
    for (int64_t d = 0; d < n; d += 16) {
      V a = mul(load_some(x + d, n - d), factor);
      if (weight) a = mul(a, load_some(weight + d, n - d));
      store_some(out + d, a, n - d);
    }
  } else {
    memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
  }
  rotate_tail(out, n, reinterpret_cast<const float*>(p.table) + row * p.dims, p.dims, p.back != 0);
}

bool store_one(const float* x, uint8_t* to, int64_t count, int type) { return attention::store_row(x, to, count, type); }

// A stored row as f32, padded with zeros to whole vectors.
inline void unpack(const uint8_t* row, int64_t type, int64_t n, float* out) {
  int64_t i = 0;
  if (type == PL_CACHE_F16) {
    for (; i + 16 <= n; i += 16) store(out + i, load_half(row + 2 * i));
    for (; i < n; i++) {
      uint16_t h;
      memcpy(&h, row + 2 * i, 2);
      out[i] = half_to_float(h);
    }
  } else if (type == PL_CACHE_F32) {
    memcpy(out, row, static_cast<size_t>(n) * sizeof(float));
    i = n;
  } else {
    for (; i < n; i += 32, row += 34) {
      const V scale = set1_half(row);
      store(out + i, mul(scale, load_int8(row + 2)));
      store(out + i + 16, mul(scale, load_int8(row + 18)));
    }
  }
  for (; i < padded(n); i++) out[i] = 0.0f;
}

// q . keys[0..3], of n floats in whole vectors.
inline void dots(const float* q, const float* const (&keys)[4], int64_t n, float* out) {
  V s[4];
  PL_UNROLL for (int i = 0; i < 4; i++) s[i] = zero();
  for (int64_t d = 0; d < n; d += 16) {
    const V own = load(q + d);
    PL_UNROLL for (int i = 0; i < 4; i++) s[i] = fma(own, load(keys[i] + d), s[i]);
  }
  Own::V t[kRegisters][4];
  PL_UNROLL for (int i = 0; i < 4; i++) {
    PL_UNROLL for (int r = 0; r < kRegisters; r++) t[r][i] = s[i].x[r];
  }
  fold4(t, out);
}

// ---- blocks ---------------------------------------------------------------------------------------------
bool block(const pl_compress& p, const pl_compress_slice& s, int64_t number, void* work) {
  auto* row = static_cast<float*>(work);
  const int64_t span = p.overlap ? 2 * p.ratio : p.ratio, channels = p.overlap ? 2 * p.width : p.width;
  const int64_t tail = span - 1, last = (number + 1) * p.ratio - 1;
  const auto* ape = reinterpret_cast<const float*>(p.ape);
  const auto* from = reinterpret_cast<const float*>(s.from);
  const float* values[2 * kMostRatio];
  const float* gates[2 * kMostRatio];
  const float* apes[2 * kMostRatio];  // null where the gate has it already
  int count = 0;
  for (int64_t position = last - tail; position <= last; position++) {
    if (position < 0) continue;
    const int64_t at = position - s.past;  // in the slice
    const int64_t half = p.overlap && position > last - p.ratio ? p.width : 0;
    if (at >= 0) {
      values[count] = reinterpret_cast<const float*>(p.kv + (s.first + at) * p.kv_stride) + half;
      gates[count] = reinterpret_cast<const float*>(p.gate + (s.first + at) * p.gate_stride) + half;
      apes[count] = ape + position % p.ratio * channels + half;
    } else {
      const float* logged = from + (at + s.logged + tail) * p.row + p.offset;
      values[count] = logged + half;
      gates[count] = logged + channels + half;
      apes[count] = nullptr;
    }
    count++;
  }
  for (int64_t c = 0; c < p.width; c += 16) {
    const int64_t left = p.width - c;
    const auto gate_of = [&](int i) {
      const V own = load_some(gates[i] + c, left);
      return apes[i] ? add(own, load_some(apes[i] + c, left)) : own;
    };
    V top = gate_of(0);
    for (int i = 1; i < count; i++) top = max(gate_of(i), top);
    V total = zero(), sums = zero();
    for (int i = 0; i < count; i++) {
      const V weight = attention::exp2(mul(sub(gate_of(i), top), set1(kLog2e)));
      total = add(total, weight);
      sums = fma(weight, load_some(values[i] + c, left), sums);
    }
    store_some(row + c, div(sums, total), left);
  }
  const V factor = set1(norm_of(row, p.width, p.eps));
  const auto* norm = reinterpret_cast<const float*>(p.norm);
  for (int64_t c = 0; c < p.width; c += 16)
    store_some(row + c, mul(mul(load_some(row + c, p.width - c), factor), load_some(norm + c, p.width - c)), p.width - c);
  const auto* table = reinterpret_cast<const float*>(p.table) + (s.first + last - s.past) * p.dims;
  rotate_tail(row, p.width, table, p.dims, false);
  return attention::store_row(row, reinterpret_cast<uint8_t*>(s.blocks) + number * s.block_stride, p.width,
                              static_cast<int>(p.type));
}

// ---- scores ---------------------------------------------------------------------------------------------
struct ScoreWork {
  float q[kMostQuery];
  float key[kMostWidth];
};
static_assert(sizeof(ScoreWork) <= kWorkBytes, "");

void scores(const pl_index_scores& p, const pl_compress_slice& s, int64_t row, int64_t from, int64_t to, float* out,
            void* work) {
  auto& own = *static_cast<ScoreWork*>(work);
  const int64_t wide = padded(p.dim), heads = (p.heads + 3) & ~int64_t{3};
  const auto* q = reinterpret_cast<const float*>(p.q) + row * p.dim * p.heads;
  const auto* weights = reinterpret_cast<const float*>(p.weights) + row * p.heads;
  for (int64_t h = 0; h < heads; h++)
    for (int64_t d = 0; d < wide; d++) own.q[h * wide + d] = h < p.heads && d < p.dim ? q[h * p.dim + d] : 0.0f;
  for (int64_t key = from; key < to; key++) {
    unpack(reinterpret_cast<const uint8_t*>(s.blocks) + key * s.block_stride, p.type, p.dim, own.key);
    float total = 0.0f;
    for (int64_t h = 0; h < heads; h += 4) {
      const float* const four[4] = {own.q + h * wide, own.q + (h + 1) * wide, own.q + (h + 2) * wide,
                                    own.q + (h + 3) * wide};
      float found[4];
      dots(own.key, four, wide, found);
      for (int64_t i = 0; i < 4 && h + i < p.heads; i++)
        total += (found[i] > 0.0f ? found[i] : 0.0f) * weights[h + i];
    }
    out[key - from] = total;
  }
}

// ---- attention ------------------------------------------------------------------------------------------
struct AttentionWork {
  float keys[kKeys * kMostWidth];
  float q[kHeads * kMostWidth];
  float sums[kHeads * kMostWidth];
  float scores[kKeys];
};
static_assert(sizeof(AttentionWork) <= kWorkBytes, "");

void attend(const pl_block_attention& p, const pl_compress_slice& s, int64_t row, int64_t head, void* work) {
  auto& own = *static_cast<AttentionWork*>(work);
  const int64_t n = p.dim, wide = padded(n), left = p.heads - head, heads = left < kHeads ? left : kHeads;
  const int64_t position = s.past + row - s.first;
  const int64_t first = position - p.window + 1 > 0 ? position - p.window + 1 : 0;
  const int64_t seen = (p.causal ? position + 1 : s.past + s.count) - first;
  const int64_t all = p.ratio > 0 ? (position + 1) / p.ratio : 0;
  const int32_t* chosen = p.chosen ? reinterpret_cast<const int32_t*>(p.chosen) + row * (1 + p.most) : nullptr;
  if (chosen && *chosen < 0) chosen = nullptr;
  const int64_t total = seen + (chosen ? *chosen : all);

  const auto* sinks = reinterpret_cast<const float*>(p.sinks) + head;
  float top[kHeads], mass[kHeads];
  const V scale = set1(static_cast<float>(p.scale) * kLog2e);
  for (int64_t h = 0; h < heads; h++) {
    const auto* q = reinterpret_cast<const float*>(p.q) + (row * p.heads + head + h) * n;
    for (int64_t d = 0; d < wide; d += 16) {
      store(own.q + h * wide + d, mul(scale, load_some(q + d, n - d)));
      store(own.sums + h * wide + d, zero());
    }
    top[h] = sinks[h] * kLog2e;
    mass[h] = 1.0f;
  }
  for (int64_t begin = 0; begin < total; begin += kKeys) {
    const int count = static_cast<int>(total - begin < kKeys ? total - begin : kKeys);
    for (int k = 0; k < count; k++) {
      const int64_t at = begin + k;
      const uint8_t* key;
      if (at < seen) {
        key = reinterpret_cast<const uint8_t*>(s.window) + (first + at) * s.window_stride;
      } else {
        const int64_t b = chosen ? chosen[1 + at - seen] : at - seen;
        key = reinterpret_cast<const uint8_t*>(s.blocks) + b * s.block_stride;
      }
      unpack(key, p.type, n, own.keys + k * wide);
    }
    for (int64_t h = 0; h < heads; h++) {
      const float* q = own.q + h * wide;
      for (int k = 0; k < count; k += 4) {
        // Behind the last key stands an older one: what is found there is not used.
        const float* const four[4] = {own.keys + k * wide, own.keys + (k + 1) * wide, own.keys + (k + 2) * wide,
                                      own.keys + (k + 3) * wide};
        dots(q, four, wide, own.scores + k);
      }
      const float before = top[h];
      for (int k = 0; k < count; k++) top[h] = own.scores[k] > top[h] ? own.scores[k] : top[h];
      const V shift = set1(top[h]);
      const V low = in_range(attention::exp2(sub(load(own.scores), shift)), zero(), 0, count);
      const V high = in_range(attention::exp2(sub(load(own.scores + 16), shift)), zero(), 0, count - 16);
      store(own.scores, low);
      store(own.scores + 16, high);
      const float kept = attention::exp2(before - top[h]);
      mass[h] = mass[h] * kept + sum(add(low, high));
      float* sums = own.sums + h * wide;
      for (int64_t d = 0; d < wide; d += 16) {
        V a = mul(set1(kept), load(sums + d));
        for (int k = 0; k < count; k++) a = fma(set1(own.scores[k]), load(own.keys + k * wide + d), a);
        store(sums + d, a);
      }
    }
  }
  for (int64_t h = 0; h < heads; h++) {
    auto* out = reinterpret_cast<float*>(p.out) + (row * p.heads + head + h) * n;
    const V factor = set1(1.0f / mass[h]);
    for (int64_t d = 0; d < n; d += 16) store_some(out + d, mul(factor, load(own.sums + h * wide + d)), n - d);
  }
}

const Ops kOps = {join, spread, gate, rope_head, store_one, block, scores, attend};

}  // namespace
}  // namespace compressed
}  // namespace pl
