// Short gated convolutions. Each thread takes some channels of all rows; every product and sum is by itself, in the order
// of the taps, so that bytes depend neither on the split nor on the machine.
#include <string.h>

#include "../../include/paceline.h"

namespace {

constexpr int64_t kMostKernel = 8;
// Channels in work together: their inputs of a few rows stay in the first cache.
constexpr int64_t kSome = 256;

bool sound(const pl_short_conv& p) {
  if (p.channels < 1 || p.kernel < 1 || p.kernel > kMostKernel) return false;
  const auto* slices = reinterpret_cast<const pl_recurrent_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++) {
    const auto& s = slices[i];
    if (s.logged < 0 || s.logged > PL_LOGGED_ROWS || s.count < 0 || s.to == 0 || s.from == s.to) return false;
    if (s.from == 0 && s.logged > 0) return false;
  }
  return true;
}

// Channels [c, c + n) of a slice.
struct Part {
  const pl_short_conv& p;
  const pl_recurrent_slice& s;
  int64_t c, n;

  const float* batch_row(int64_t row) const {
    return reinterpret_cast<const float*>(p.mix + (s.first + row) * p.mix_stride);
  }
  // What the convolution reads of a row, counted from the first of the batch: those before it are in the log.
  void input(int64_t row, float* to) const {
    if (row >= 0) {
      const float *gate = batch_row(row) + c, *x = gate + 2 * p.channels;
      for (int64_t i = 0; i < n; i++) to[i] = gate[i] * x[i];
    } else if (s.from) {
      const auto* log = reinterpret_cast<const float*>(s.from);
      memcpy(to, log + (row + s.logged + p.kernel - 1) * p.channels + c, static_cast<size_t>(n) * sizeof(float));
    } else {
      memset(to, 0, static_cast<size_t>(n) * sizeof(float));
    }
  }
  void run() const {
    const int64_t tail = p.kernel - 1;
    const int64_t begin = (s.count <= PL_LOGGED_ROWS ? 0 : s.count) - tail;
    const auto* taps = reinterpret_cast<const float*>(p.conv) + c * p.kernel;
    auto* log = reinterpret_cast<float*>(s.to) + c;
    float inputs[kMostKernel][kSome];  // of the row and those before it, in a ring
    float sum[kSome];
    for (int64_t row = -tail; row < s.count; row++) {
      float* own = inputs[(row + tail) % p.kernel];
      input(row, own);
      if (row >= begin) memcpy(log + (row - begin) * p.channels, own, static_cast<size_t>(n) * sizeof(float));
      if (row < 0) continue;
      for (int64_t i = 0; i < n; i++) sum[i] = 0.0f;
      for (int64_t j = 0; j <= tail; j++) {
        const float* x = inputs[(row + j) % p.kernel];
        for (int64_t i = 0; i < n; i++) sum[i] += taps[i * p.kernel + j] * x[i];
      }
      const float* gate = batch_row(row) + p.channels + c;
      auto* out = reinterpret_cast<float*>(p.out + (s.first + row) * p.out_stride) + c;
      for (int64_t i = 0; i < n; i++) out[i] = gate[i] * sum[i];
    }
  }
};

}  // namespace

PL_API void pl_op_short_conv(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_short_conv*>(params);
  if (!sound(p)) return;
  const auto* slices = reinterpret_cast<const pl_recurrent_slice*>(p.slices);
  const int64_t parts = (p.channels + kSome - 1) / kSome, total = p.slice_count * parts;
  for (int64_t i = total * ith / nth; i < total * (ith + 1) / nth; i++) {
    const int64_t c = i % parts * kSome, left = p.channels - c;
    Part{p, slices[i / parts], c, left < kSome ? left : kSome}.run();
  }
}
