// What the threads' side of recurrent layers (delta_net.cpp) asks of a CPU path (<path>.cpp).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../../include/paceline.h"

namespace pl {
namespace recurrent {

constexpr int kMostDim = 256;
constexpr int kMostKernel = 8;
constexpr size_t kWorkBytes = size_t{140} << 10;

// Floats of things in a state of the delta net.
struct Places {
  int64_t channels, width;  // of a row's convolution, and of a row of the log
  int64_t head;             // of a head's matrix
  int64_t log;              // where it begins
  explicit Places(const pl_delta_net& p)
      : channels(p.dim * (2 * p.key_heads + p.value_heads)),
        width(channels + 2 * p.value_heads),
        head(((p.dim + 15) & ~int64_t{15}) * p.dim),
        log(head * p.value_heads) {}
};

struct Ops {
  // All rows of a slice in one value head: its outputs, and its part of the state; `work` has kWorkBytes.
  void (*delta_head)(const pl_delta_net& p, const pl_recurrent_slice& slice, int64_t head, void* work);
};

// Of each path, where it is built.
const Ops& avx512_ops();  // of the amx path as well
const Ops& avx2_ops();    // of the avxvnni path as well
const Ops& neon_ops();
const Ops& scalar_ops();

}  // namespace recurrent
}  // namespace pl
