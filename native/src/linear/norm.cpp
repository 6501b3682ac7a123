// RMS norms that others than products read: the router of a mixture of experts, norms behind a network.
// (Those in front of products are computed while their results are quantised.)
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
