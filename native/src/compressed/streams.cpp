// Streams of a residual, gates, ratings and rotations: checks, what is done in doubles, and splitting over threads. Exponentials and
// logarithms are our own (attention/angles.h), so that choices of experts do not depend on the machine's C library.
#include <cmath>

#include "../attention/angles.h"
#include "../common/built.h"
#include "../common/cpu.h"
#include "compressed.h"

namespace pl {
namespace compressed {
namespace {

inline double power_of_e(double x) { return attention::exponential(x < -690 ? -690 : x > 690 ? 690 : x); }
inline double sigmoid(double x) { return 1 / (1 + power_of_e(-x)); }

// Sinkhorn's normalisation of c[to + n from].
void balance(double* c, int64_t n, int64_t iterations, double eps) {
  for (int64_t from = 0; from < n; from++) {
    double* own = c + n * from;
    double top = own[0], total = 0;
    for (int64_t to = 1; to < n; to++) top = own[to] > top ? own[to] : top;
    for (int64_t to = 0; to < n; to++) total += own[to] = power_of_e(own[to] - top);
    for (int64_t to = 0; to < n; to++) own[to] = own[to] / total + eps;
  }
  for (int64_t i = 0; i < iterations; i++) {
    for (int64_t from = 0; i > 0 && from < n; from++) {
      double total = eps;
      for (int64_t to = 0; to < n; to++) total += c[to + n * from];
      for (int64_t to = 0; to < n; to++) c[to + n * from] /= total;
    }
    for (int64_t to = 0; to < n; to++) {
      double total = eps;
      for (int64_t from = 0; from < n; from++) total += c[to + n * from];
      for (int64_t from = 0; from < n; from++) c[to + n * from] /= total;
    }
  }
}

void mix_row(const pl_stream_mix& p, int64_t row) {
  const int64_t n = p.streams;
  const auto* x = reinterpret_cast<const float*>(p.mixes) + row * p.count;
  const auto* scale = reinterpret_cast<const float*>(p.scale);
  const auto* base = reinterpret_cast<const float*>(p.base);
  auto* out = reinterpret_cast<float*>(p.out) + row * p.count;
  const auto value = [&](int64_t at, int part) { return double{x[at]} * double{scale[part]} + double{base[at]}; };
  for (int64_t s = 0; s < n; s++) out[s] = static_cast<float>(sigmoid(value(s, 0)) + p.eps);
  if (p.count == n) return;
  for (int64_t s = 0; s < n; s++) out[n + s] = static_cast<float>(2 * sigmoid(value(n + s, 1)));
  double c[kMostStreams * kMostStreams];
  for (int64_t i = 0; i < n * n; i++) c[i] = value(2 * n + i, 2);
  balance(c, n, p.iterations, p.eps);
  for (int64_t i = 0; i < n * n; i++) out[2 * n + i] = static_cast<float>(c[i]);
}

// Columns in work together.
constexpr int64_t kSome = 1024;

// Calls `work` for this thread's share of the columns of all rows.
template <typename W>
void each_part(int64_t rows, int64_t width, int ith, int nth, const W& work) {
  const int64_t parts = (width + kSome - 1) / kSome, total = rows * parts;
  for (int64_t i = total * ith / nth; i < total * (ith + 1) / nth; i++) {
    const int64_t from = i % parts * kSome;
    work(i / parts, from, width - from < kSome ? width : from + kSome);
  }
}

bool streams_fit(int64_t streams, int64_t count) {
  return streams >= 1 && streams <= kMostStreams && (count == streams || count == streams * (2 + streams));
}

}  // namespace
}  // namespace compressed
}  // namespace pl

using namespace pl;
using namespace pl::compressed;

PL_API void pl_op_stream_mix(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_stream_mix*>(params);
  if (!streams_fit(p.streams, p.count)) return;
  for (int64_t row = p.rows * ith / nth; row < p.rows * (ith + 1) / nth; row++) mix_row(p, row);
}

PL_API void pl_op_stream_join(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_stream_join*>(params);
  if (!streams_fit(p.streams, p.count)) return;
  const Ops& ops = *built_compressed(path());
  each_part(p.rows, p.width, ith, nth, [&](int64_t row, int64_t from, int64_t to) { ops.join(p, row, from, to); });
}

PL_API void pl_op_stream_spread(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_stream_spread*>(params);
  if (!streams_fit(p.streams, p.count) || p.count == p.streams) return;
  const Ops& ops = *built_compressed(path());
  each_part(p.rows, p.width, ith, nth, [&](int64_t row, int64_t from, int64_t to) { ops.spread(p, row, from, to); });
}

PL_API void pl_op_root_softplus(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_root_softplus*>(params);
  const auto* x = reinterpret_cast<const float*>(p.x);
  auto* out = reinterpret_cast<float*>(p.out);
  for (int64_t i = p.count * ith / nth; i < p.count * (ith + 1) / nth; i++) {
    const double own = x[i];
    out[i] = static_cast<float>(std::sqrt(own > 20 ? own : attention::logarithm(1 + power_of_e(own))));
  }
}

PL_API void pl_op_clamped_gate(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_clamped_gate*>(params);
  const Ops& ops = *built_compressed(path());
  each_part(1, p.count, ith, nth, [&](int64_t, int64_t from, int64_t to) { ops.gate(p, from, to); });
}

PL_API void pl_op_tail_rope(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_tail_rope*>(params);
  if (p.dims < 0 || p.dims > p.head_dim || p.dims % 2 != 0) return;
  const Ops& ops = *built_compressed(path());
  const int64_t total = p.rows * p.heads;
  for (int64_t i = total * ith / nth; i < total * (ith + 1) / nth; i++) ops.rope_head(p, i / p.heads, i % p.heads);
}

PL_API void pl_op_block_start(void*, int ith, int, void* params) {
  const auto& p = *static_cast<const pl_block_start*>(params);
  if (ith != 0 || p.ratio < 1) return;
  const auto* positions = reinterpret_cast<const int32_t*>(p.positions);
  auto* out = reinterpret_cast<int32_t*>(p.out);
  for (int64_t i = 0; i < p.rows; i++) out[i] = static_cast<int32_t>(positions[i] / p.ratio * p.ratio);
}
