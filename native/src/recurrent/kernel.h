// The gated delta rule in one value head, written once over the 16 lanes of vec/lanes.h. A file of one path includes this, and
// gets `kOps`.
//
// Lanes are columns of the matrix, so that sums over its rows need no folding: a column's sum is two chains of
// multiply-adds, over even and over odd rows. That order never changes, and rows of the batch come one after the other, so
// however a text is split into passes its bytes are the same. A few blocks of columns stay in the first cache while up
// to 16 rows of the batch go over them.
#pragma once
#include <math.h>

#include "../attention/exp.h"
#include "../vec/lanes.h"
#include "delta_net.h"

namespace pl {
namespace recurrent {
namespace {

using attention::kLog2e;

constexpr int kTile = PL_LOGGED_ROWS;
// Blocks of columns that are in work together: as many chains as hide the latency of a multiply-add.
constexpr int kTogether = kRegisters == 1 ? 4 : kRegisters == 2 ? 2 : 1;

inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
inline float softplus(float x) { return x > 20.0f ? x : logf(1.0f + expf(x)); }
inline V silu(V x) {
  const V e = attention::exp2(min(set1(126.0f), mul(x, set1(-kLog2e))));
  return div(x, add(set1(1.0f), e));
}

// What one head computes with. Too much for the stack: threads that walk a graph may have little of it.
struct Buffers {
  float taps[3][kMostKernel][kMostDim];                           // weights of q, k and v
  float q[kTile][kMostDim], k[kTile][kMostDim], v[kTile][kMostDim];  // of some rows
  float keep[kTile], rate[kTile];                                 // factor of the matrix; of the correction
  float columns[kTogether * 16 * kMostDim];                       // what provisional rows make of some columns
};
static_assert(sizeof(Buffers) <= kWorkBytes, "");

struct HeadWork {
  const pl_delta_net& p;
  const pl_recurrent_slice& s;
  const Places at;
  const int64_t head, key_head;
  const int dim, blocks, tail;
  const float* const from_log;
  float* const to_log;
  float* const matrix;
  Buffers& own;

  HeadWork(const pl_delta_net& params, const pl_recurrent_slice& slice, int64_t r, void* work)
      : p(params),
        s(slice),
        at(params),
        head(r),
        key_head(r % params.key_heads),
        dim(static_cast<int>(params.dim)),
        blocks((dim + 15) / 16),
        tail(static_cast<int>(params.kernel - 1)),
        from_log(slice.from ? reinterpret_cast<const float*>(slice.from) + at.log : nullptr),
        to_log(reinterpret_cast<float*>(slice.to) + at.log),
        matrix(reinterpret_cast<float*>(slice.to) + r * at.head),
        own(*static_cast<Buffers*>(work)) {
    const auto* conv = reinterpret_cast<const float*>(p.conv);
    for (int part = 0; part < 3; part++)
      for (int c = 0; c < dim; c++)
        for (int j = 0; j <= tail; j++) own.taps[part][j][c] = conv[(channel(part) + c) * p.kernel + j];
  }
  // The first channel of this head's queries, keys or values.
  int64_t channel(int part) const {
    return part == 0 ? key_head * dim : part == 1 ? (p.key_heads + key_head) * dim : (2 * p.key_heads + head) * dim;
  }

  // Rows are counted from the first of the batch: those before it are in the log. Null: never seen, zeros.
  const float* channels_of(int64_t row) const {
    if (row < 0) return from_log ? from_log + (row + s.logged + tail) * at.width : nullptr;
    return reinterpret_cast<const float*>(p.mix + (s.first + row) * p.mix_stride);
  }
  float beta_of(int64_t row) const {
    if (row < 0) return from_log ? channels_of(row)[at.channels + head] : 0.0f;
    return reinterpret_cast<const float*>(p.beta + (s.first + row) * p.beta_stride)[head];
  }
  float alpha_of(int64_t row) const {
    if (row < 0) return from_log ? channels_of(row)[at.channels + p.value_heads + head] : 0.0f;
    return reinterpret_cast<const float*>(p.alpha + (s.first + row) * p.alpha_stride)[head];
  }

  void convolve(int64_t row, int part, float* out) const {
    const int64_t first = channel(part);
    for (int c = 0; c < dim; c += 16) {
      V sum = zero();
      for (int j = 0; j <= tail; j++) {
        const float* x = channels_of(row - tail + j);
        if (x) sum = fma(load(own.taps[part][j] + c), load_some(x + first + c, dim - c), sum);
      }
      store(out + c, silu(sum));
    }
  }
  void normalise(float* x) const {
    V squares = zero();
    for (int c = 0; c < dim; c += 16) {
      const V a = load(x + c);
      squares = fma(a, a, squares);
    }
    const V factor = set1(1.0f / sqrtf(sum(squares) + static_cast<float>(p.eps)));
    for (int c = 0; c < dim; c += 16) store(x + c, mul(load(x + c), factor));
  }
  void prepare(int64_t row, int count) {
    const float bias = reinterpret_cast<const float*>(p.bias)[head];
    const float decay = reinterpret_cast<const float*>(p.decay)[head];
    for (int i = 0; i < count; i++) {
      convolve(row + i, 0, own.q[i]);
      convolve(row + i, 1, own.k[i]);
      convolve(row + i, 2, own.v[i]);
      normalise(own.q[i]);
      normalise(own.k[i]);
      own.keep[i] = expf(softplus(alpha_of(row + i) + bias) * decay);
      own.rate[i] = sigmoid(beta_of(row + i));
    }
  }

  // N blocks of columns from block b on, one behind the other at `m`, over the rows of the tile; with outputs
  // where they are batch rows.
  template <int N, bool Out>
  void columns(float* m, int b, int count, int64_t row) const {
    const int64_t step = int64_t{16} * dim;
    const V scale = set1(1.0f / sqrtf(static_cast<float>(dim)));
    for (int t = 0; t < count; t++) {
      const float *q = own.q[t], *k = own.k[t];
      V even[N], odd[N];
      PL_UNROLL for (int n = 0; n < N; n++) even[n] = odd[n] = zero();
      int i = 0;
      for (; i + 1 < dim; i += 2) {
        const V k0 = set1(k[i]), k1 = set1(k[i + 1]);
        PL_UNROLL for (int n = 0; n < N; n++) {
          even[n] = fma(k0, load(m + n * step + i * 16), even[n]);
          odd[n] = fma(k1, load(m + n * step + i * 16 + 16), odd[n]);
        }
      }
      if (i < dim) {
        const V k0 = set1(k[i]);
        PL_UNROLL for (int n = 0; n < N; n++) even[n] = fma(k0, load(m + n * step + i * 16), even[n]);
      }
      const V keep = set1(own.keep[t]), rate = set1(own.rate[t]);
      V change[N];
      PL_UNROLL for (int n = 0; n < N; n++) {
        const V known = mul(keep, add(even[n], odd[n]));
        change[n] = mul(rate, sub(load(own.v[t] + 16 * (b + n)), known));
        even[n] = odd[n] = zero();
      }
      const auto advance = [&](int row_of_matrix, V (&sums)[N]) {
        const V ki = set1(k[row_of_matrix]), qi = set1(q[row_of_matrix]);
        PL_UNROLL for (int n = 0; n < N; n++) {
          float* cell = m + n * step + row_of_matrix * 16;
          const V now = fma(ki, change[n], mul(keep, load(cell)));
          store(cell, now);
          if (Out) sums[n] = fma(qi, now, sums[n]);
        }
      };
      for (i = 0; i + 1 < dim; i += 2) {
        advance(i, even);
        advance(i + 1, odd);
      }
      if (i < dim) advance(i, even);
      if (!Out) continue;
      float* out = reinterpret_cast<float*>(p.out + (s.first + row + t) * p.out_stride) + head * dim;
      PL_UNROLL for (int n = 0; n < N; n++)
        store_some(out + 16 * (b + n), mul(scale, add(even[n], odd[n])), dim - 16 * (b + n));
    }
  }
  // The rows [row, row + count) over the whole matrix; provisional: which then stays as it is.
  template <int N, bool Out>
  void run_columns(int b, int count, int64_t row, bool provisional) {
    const int64_t step = int64_t{16} * dim;
    float* some = matrix + b * step;
    if (!provisional) return columns<N, Out>(some, b, count, row);
    for (int64_t i = 0; i < N * step; i += 16) store(own.columns + i, load(some + i));
    columns<N, Out>(own.columns, b, count, row);
  }
  template <bool Out>
  void run(int64_t row, int count, bool provisional) {
    prepare(row, count);
    int b = 0;
    for (; b + kTogether <= blocks; b += kTogether) run_columns<kTogether, Out>(b, count, row, provisional);
    for (; b < blocks; b++) run_columns<1, Out>(b, count, row, provisional);
  }

  // This head's channels of a row of the log: those of a key head are the first of its value heads' business.
  void log(int64_t row, float* to) const {
    const float* x = channels_of(row);
    for (int part = head < p.key_heads ? 0 : 2; part < 3; part++) {
      const int64_t first = channel(part);
      for (int c = 0; c < dim; c++) to[first + c] = x ? x[first + c] : 0.0f;
    }
    to[at.channels + head] = beta_of(row);
    to[at.channels + p.value_heads + head] = alpha_of(row);
  }

  void all() {
    const auto* before = reinterpret_cast<const float*>(s.from);
    for (int64_t i = 0; i < at.head; i += 16)
      store(matrix + i, before ? load(before + head * at.head + i) : zero());
    if (s.logged > 0) run<false>(-s.logged, static_cast<int>(s.logged), false);
    const bool provisional = s.count <= kTile;
    for (int64_t row = 0; row < s.count; row += kTile) {
      const int64_t left = s.count - row;
      run<true>(row, static_cast<int>(left < kTile ? left : kTile), provisional);
    }
    const int64_t begin = (provisional ? 0 : s.count) - tail;
    for (int64_t row = begin; row < s.count; row++) log(row, to_log + (row - begin) * at.width);
  }
};

void delta_head(const pl_delta_net& p, const pl_recurrent_slice& slice, int64_t head, void* work) {
  HeadWork(p, slice, head, work).all();
}

const Ops kOps = {delta_head};

}  // namespace
}  // namespace recurrent
}  // namespace pl
