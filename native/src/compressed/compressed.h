// What the threads' side of streams and compressed attention (streams.cpp, compressed.cpp) asks of a CPU path (<path>.cpp).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../../include/paceline.h"

namespace pl {
namespace compressed {

constexpr int kMostStreams = 8;
constexpr int kMostWidth = 1024;    // of a key
constexpr int kMostRatio = 128;
constexpr int kMostQuery = 32768;   // floats of an indexer's heads, padded
constexpr int kMostChosen = 16384;
constexpr int kHeads = 8;           // heads that a key is unpacked for
constexpr size_t kWorkBytes = size_t{208} << 10;

inline bool type_fits(int64_t type, int64_t width) {
  return type == PL_CACHE_F32 || type == PL_CACHE_F16 || (type == PL_CACHE_Q8_0 && width % 32 == 0);
}

struct Ops {
  // Columns [from, to) of a row.
  void (*join)(const pl_stream_join& p, int64_t row, int64_t from, int64_t to);
  void (*spread)(const pl_stream_spread& p, int64_t row, int64_t from, int64_t to);
  void (*gate)(const pl_clamped_gate& p, int64_t from, int64_t to);
  void (*rope_head)(const pl_tail_rope& p, int64_t row, int64_t head);
  // Whether all numbers fit the type.
  bool (*store)(const float* x, uint8_t* to, int64_t count, int type);
  // Where there is a `work`, it has kWorkBytes.
  bool (*block)(const pl_compress& p, const pl_compress_slice& slice, int64_t block, void* work);
  // Of keys [from, to); `row` counts from the first of the batch.
  void (*scores)(const pl_index_scores& p, const pl_compress_slice& slice, int64_t row, int64_t from, int64_t to,
                 float* out, void* work);
  // Up to kHeads heads from `head` on.
  void (*attend)(const pl_block_attention& p, const pl_compress_slice& slice, int64_t row, int64_t head, void* work);
};

// Of each path, where it is built.
const Ops& avx512_ops();  // of the amx path as well
const Ops& avx2_ops();    // of the avxvnni path as well
const Ops& neon_ops();
const Ops& scalar_ops();

}  // namespace compressed
}  // namespace pl
