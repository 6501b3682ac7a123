// What the threads' side of attention (attention.cpp) asks of a CPU path (attention_<path>.cpp).
#pragma once
#include <cstddef>
#include <cstdint>

namespace pl {
namespace attention {

// Positions are handled in blocks, and blocks in chunks, at fixed absolute places. Inside a chunk
// one online softmax runs over the blocks in order; chunks are merged in order. Both numbers are
// part of the result's bits: changing them changes logits.
constexpr int kBlock = 64;
constexpr int kChunk = 512;
// Query rows (tokens x query heads of one KV head) that share one pass over K and V.
constexpr int kRows = 96;

// Query rows of one KV head over a range of chunks.
struct Unit {
  const float* q;         // first token's first query head of this KV head
  int64_t q_stride;       // floats between tokens
  int64_t q_head_stride;  // floats between heads
  const uint8_t* k;       // position 0, already at this KV head
  const uint8_t* v;
  int64_t k_stride, v_stride;  // bytes between positions
  int k_type, v_type;
  int tokens;       // tokens in this tile
  int group;        // query heads of this KV head
  int64_t position;  // of the first token
  int64_t end;       // non-causal: every row sees [low, end); causal: 0
  int64_t window;    // 0: none
  int dim, v_dim, v_pad;
  float scale, softcap;
};

// State of a row's softmax: v_pad floats of weighted values, 16 lanes of the sum, the maximum.
inline int state_floats(int v_pad) { return v_pad + 32; }
constexpr float kEmpty = -1e30f;  // maximum of a row that has seen nothing; exact zero when merged

struct Ops {
  // Runs the unit's rows over one chunk, into rows of state (written, not added to).
  void (*chunk)(const Unit& unit, int64_t chunk, float* state, float* work);
  // into = into merged with next, row by row (later chunk second).
  void (*merge)(float* into, const float* next, int rows, int v_pad);
  // out rows = values / sum; sink: per query head a logit, or null.
  void (*finish)(const float* state, int tokens, int group, int v_dim, int v_pad, const float* sink,
                 float* out, int64_t out_stride);
  // n floats into cache elements of a type.
  void (*store)(const float* x, uint8_t* out, int64_t n, int type);
  // One head: RMS norm unless `weight` is null, rotation of `rotated` dimensions unless 0.
  void (*rotate)(const float* x, const float* weight, float eps, const float* table, int dim,
                 int rotated, bool halves, float* out);
};

// Floats of `work` that chunk() needs.
inline size_t work_floats(int dim, int v_pad, int rows) {
  return static_cast<size_t>(kBlock) * (dim + v_pad + rows) + static_cast<size_t>(rows) * (dim + 16) +
         64;
}

const Ops& scalar_ops();
#if defined(__x86_64__)
const Ops& avx2_ops();
const Ops& avx512_ops();
#elif defined(__aarch64__)
const Ops& neon_ops();
#endif
const Ops& ops();

}  // namespace attention
}  // namespace pl
