// Recurrent layers: checks, and splitting over threads.
#include "delta_net.h"

#include "../common/built.h"
#include "../common/cpu.h"

namespace pl {
namespace recurrent {
namespace {

alignas(64) thread_local unsigned char work[kWorkBytes];

bool sound(const pl_delta_net& p) {
  if (p.dim < 1 || p.dim > kMostDim || p.kernel < 1 || p.kernel > kMostKernel) return false;
  if (p.key_heads < 1 || p.value_heads < 1 || p.value_heads % p.key_heads != 0) return false;
  const auto* slices = reinterpret_cast<const pl_recurrent_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++) {
    const auto& s = slices[i];
    if (s.logged < 0 || s.logged > PL_LOGGED_ROWS || s.count < 0 || s.to == 0 || s.from == s.to) return false;
    if (s.from == 0 && s.logged > 0) return false;
  }
  return true;
}

}  // namespace
}  // namespace recurrent
}  // namespace pl

using namespace pl;
using namespace pl::recurrent;

PL_API void pl_op_delta_net(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_delta_net*>(params);
  if (!sound(p)) return;
  const Ops& ops = *built_recurrent(path());
  const auto* slices = reinterpret_cast<const pl_recurrent_slice*>(p.slices);
  const int64_t total = p.slice_count * p.value_heads;
  for (int64_t i = total * ith / nth; i < total * (ith + 1) / nth; i++)
    ops.delta_head(p, slices[i / p.value_heads], i % p.value_heads, work);
}
