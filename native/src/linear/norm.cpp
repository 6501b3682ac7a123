// RMS norms that others than products read: the router of a mixture of experts, norms behind a network.
// (Those in front of products are computed while their results are quantised.) And activations that come
// behind no product of ours.
#include "linear.h"

using namespace pl;

PL_API void pl_op_rms_norm(void*, int ith, int nth, void* params) {
  const pl_rms_norm& n = *static_cast<const pl_rms_norm*>(params);
  for (int64_t row = n.rows * ith / nth; row < n.rows * (ith + 1) / nth; ++row) {
    linear_path().norm(row_at(n.x, row, n.x_stride), n.k, pointer<const float>(n.weight),
                       static_cast<float>(n.eps), row_at(n.residual, row, n.residual_stride),
                       pointer<float>(n.dst) + row * n.k);
  }
}

PL_API void pl_op_gate(void*, int ith, int nth, void* params) {
  const pl_gate& g = *static_cast<const pl_gate*>(params);
  // Whole vectors of every path, so that an element is always computed alike.
  constexpr int64_t piece = 64;
  const int64_t pieces = (g.count + piece - 1) / piece;
  const int64_t from = pieces * ith / nth * piece;
  const int64_t end = pieces * (ith + 1) / nth * piece;
  const int64_t count = (end < g.count ? end : g.count) - from;
  if (count <= 0) return;
  const float* b = pointer<const float>(g.b);
  linear_path().elementwise(static_cast<int>(g.kind), pointer<const float>(g.a) + from,
                            b == nullptr ? nullptr : b + from, static_cast<float>(g.cap),
                            pointer<float>(g.dst) + from, count);
}
