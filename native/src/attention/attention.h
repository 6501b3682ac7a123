// What the threads' side of attention (attention.cpp) asks of a CPU path (<path>.cpp).
#pragma once
#include <cstddef>
#include <cstdint>

#include "block.h"

namespace pl {
namespace attention {

// Positions are handled in blocks, and blocks in chunks, at fixed absolute places. Inside a chunk
// one online softmax runs over the blocks in order; chunks are merged in order. Both numbers are
// part of the result's bits: changing them changes logits.
constexpr int kBlock = 64;
static_assert(kBlock == kTilePositions, "integers lie in whole blocks");
constexpr int kChunk = 128;
// Query rows (tokens x query heads of one KV head) that share one pass over K and V.
constexpr int kRows = 96;
// Query rows of a KV head up to which memory is what they wait for.
constexpr int kFewRows = 8;
// Query rows of all KV heads of a unit, where it has several.
constexpr int kUnitRows = 256;

// Query rows of some KV heads next to each other.
struct Unit {
  const float* q;         // first token's first query head of the first KV head
  int64_t q_stride;       // floats between tokens
  int64_t q_head_stride;  // floats between heads
  const uint8_t* k;       // position 0, already at the first KV head
  const uint8_t* v;
  int64_t k_stride, v_stride;        // bytes between positions
  size_t k_head_bytes, v_head_bytes;  // bytes between KV heads, of a position or of a block of integers
  int k_type, v_type;
  int heads;         // KV heads
  int tokens;        // tokens in this tile
  int group;         // query heads of a KV head
  int64_t position;  // of the first token
  int64_t end;       // non-causal: where the slice ends; causal: 0
  int64_t window;    // 0: none
  int64_t ahead;     // non-causal: positions from the row's own on that it sees; 0: up to the end
  int64_t first_chunk, end_chunk;  // the chunks that will be run, in order
  int dim, v_dim, v_pad;
  float scale, softcap;
};

// State of a row's softmax: v_pad floats of weighted values, 16 lanes of the sum, the maximum.
inline int state_floats(int v_pad) { return v_pad + 32; }
constexpr float kEmpty = -1e30f;  // maximum of a row that has seen nothing; exact zero when merged

// Where the positions end that a row at `own` sees.
inline int64_t seen_end(int64_t end, int64_t own, int64_t ahead) {
  if (end == 0) return own + 1;
  return ahead > 0 && own + ahead < end ? own + ahead : end;
}

struct Ops {
  // Puts the unit's queries into `work`, where every chunk() of the unit finds them.
  void (*prepare)(const Unit& unit, float* work);
  // Runs the unit's rows over one chunk, into rows of state (written, not added to): by KV head, then
  // token, then query head.
  void (*chunk)(const Unit& unit, int64_t chunk, float* state, float* work);
  // into = into merged with `count` states in order of chunks, row by row; the states are `step`
  // floats apart.
  void (*merge)(float* into, const float* next, int64_t step, int count, int rows, int v_pad);
  // out rows = values / sum, of one KV head; sink: per query head a logit, or null.
  void (*finish)(const float* state, int tokens, int group, int v_dim, int v_pad, const float* sink,
                 float* out, int64_t out_stride);
  // n floats into cache elements of a type other than integers; false where a number is beyond the type.
  bool (*store)(const float* x, uint8_t* out, int64_t n, int type);
  // Heads of `count` positions, rows of floats `step` apart, into a block of integers (block.h) from position
  // `at` on, all within 16, and their scales into those of the block.
  void (*store_keys)(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales);
  void (*store_values)(const float* x, int64_t step, int count, int dim, int at, uint8_t* block, float* scales);
  // One head: RMS norm unless `weight` is null, rotation of `rotated` dimensions unless 0.
  void (*rotate)(const float* x, const float* weight, float eps, const float* table, int dim,
                 int rotated, bool halves, float* out);
};

// Floats of keys or values that were converted: 16 whole keys, or 64 elements of a block of values.
inline size_t buffer_floats(int dim) {
  const size_t keys = 16 * ((static_cast<size_t>(dim) + 15) & ~static_cast<size_t>(15));
  return keys > 64 * kBlock ? keys : 64 * kBlock;
}
// Floats at the start of `work` that keep what was fetched, from chunk to chunk.
constexpr size_t kFetchFloats = 48;
// Floats of `work` that chunk() needs for query rows of all heads.
inline size_t work_floats(int dim, int rows) {
  const size_t padded = (static_cast<size_t>(dim) + 15) & ~static_cast<size_t>(15);
  return kFetchFloats + buffer_floats(dim) + static_cast<size_t>(rows) * (kBlock + padded + 1) + 16;
}

// The same with a cache of integers (integers*.h), where rows of a head take whole tiles.
inline size_t integer_floats(int dim, int rows) {
  return static_cast<size_t>(rows + 15) * (2 * static_cast<size_t>(dim) + 24 + 6 * kChunk) / 4 + 128;
}

// Of each path, where it is built.
const Ops& amx_ops();
const Ops& avx512_ops();
const Ops& avx2_ops();  // of the avxvnni path as well
const Ops& neon_ops();
const Ops& scalar_ops();
// Those of the chosen path.
const Ops& ops();

}  // namespace attention
}  // namespace pl
