// What DeepSeek V4 adds to other models (arXiv 2412.19437 is what it came from): streams of the residual that are mixed
// anew before and behind every sublayer, and attention over a window of rows and over rows that stand for several
// positions each. Included by paceline.h. A row's bytes depend on the rows of its own text up to it alone, however
// they were split into calls.
#pragma once

// Hyper-connections. A residual has `streams` rows of `width`, one behind the other.

// How a residual is mixed, from its normed product with a matrix. For streams s (scale[0..2], base as mixes):
//   pre[s] = sigmoid(mixes[s] scale[0] + base[s]) + eps
// and, where there are more than `streams` mixes:
//   post[s] = 2 sigmoid(mixes[streams + s] scale[1] + base[streams + s])
//   C[to + streams from], from 2 streams on: a softmax over `to` of mixes scale[2] + base, plus eps, then divided by its sums
//   plus eps over `from`, and `iterations - 1` times over `to` and over `from` (Sinkhorn).
#define PL_STREAM_MIX_FIELDS(P, I, F, S) \
  P(mixes)        /* f32 [count, rows] */ \
  P(scale)        /* f32 [1 or 3] */ \
  P(base)         /* f32 [count] */ \
  I(count)        /* streams, or streams * (2 + streams) */ \
  I(streams)      /* 1 to 8 */ \
  I(rows) \
  I(iterations) \
  F(eps) \
  P(out)          /* f32 [count, rows]: pre, post, C */
PL_STRUCT(pl_stream_mix, PL_STREAM_MIX_FIELDS)
PL_API void pl_op_stream_mix(void*, int ith, int nth, void* params);

// The sum of the streams, each times its `pre`: [width, rows].
#define PL_STREAM_JOIN_FIELDS(P, I, F, S) \
  P(x)            /* f32 [width * streams, rows] */ \
  P(mix)          /* f32 [count, rows], from pl_stream_mix */ \
  I(count) \
  I(streams) \
  I(width) \
  I(rows) \
  P(out)          /* f32 [width, rows] */
PL_STRUCT(pl_stream_join, PL_STREAM_JOIN_FIELDS)
PL_API void pl_op_stream_join(void*, int ith, int nth, void* params);

// out[to] = y post[to] + sum over `from` of x[from] C[to, from].
#define PL_STREAM_SPREAD_FIELDS(P, I, F, S) \
  P(y)            /* f32 [width, rows] */ \
  P(x)            /* f32 [width * streams, rows] */ \
  P(mix) \
  I(count) \
  I(streams) \
  I(width) \
  I(rows) \
  P(out)          /* f32 [width * streams, rows] */
PL_STRUCT(pl_stream_spread, PL_STREAM_SPREAD_FIELDS)
PL_API void pl_op_stream_spread(void*, int ith, int nth, void* params);

// sqrt(ln(1 + e^x)): how experts are rated.
#define PL_ROOT_SOFTPLUS_FIELDS(P, I, F, S) \
  P(x)            /* f32 [count] */ \
  P(out) \
  I(count)
PL_STRUCT(pl_root_softplus, PL_ROOT_SOFTPLUS_FIELDS)
PL_API void pl_op_root_softplus(void*, int ith, int nth, void* params);

// silu(min(gate, limit)) * clamp(up, -limit, limit).
#define PL_CLAMPED_GATE_FIELDS(P, I, F, S) \
  P(gate)         /* f32 [count] */ \
  P(up) \
  P(out) \
  I(count) \
  F(limit)
PL_STRUCT(pl_clamped_gate, PL_CLAMPED_GATE_FIELDS)
PL_API void pl_op_clamped_gate(void*, int ith, int nth, void* params);

// Heads with an RMS norm that may have weights, and the pairs (2i, 2i + 1) of their last `dims` elements rotated.
#define PL_TAIL_ROPE_FIELDS(P, I, F, S) \
  P(x)            /* f32 [head_dim * heads, rows] */ \
  I(x_stride)     /* bytes between rows */ \
  I(head_dim) \
  I(heads) \
  I(rows) \
  I(norm)         /* 0: none; 1: each head by itself */ \
  P(weight)       /* f32 [head_dim], or null */ \
  F(eps) \
  P(table)        /* from pl_op_rope_table */ \
  I(dims) \
  I(back)         /* 1: by the angles' negatives */ \
  P(out)          /* f32 [head_dim * heads, rows], may not be x */
PL_STRUCT(pl_tail_rope, PL_TAIL_ROPE_FIELDS)
PL_API void pl_op_tail_rope(void*, int ith, int nth, void* params);

// The first position of each position's block: positions / ratio * ratio.
#define PL_BLOCK_START_FIELDS(P, I, F, S) \
  P(positions)    /* int32 [rows] */ \
  P(out)          /* int32 [rows] */ \
  I(ratio) \
  I(rows)
PL_STRUCT(pl_block_start, PL_BLOCK_START_FIELDS)
PL_API void pl_op_block_start(void*, int ith, int nth, void* params);

// The rows of one sequence, and where a layer's memory of it lies.
#define PL_COMPRESS_SLICE_FIELDS(P, I, F, S) \
  P(from)         /* the frontier before, as a pl_recurrent_slice without a folded part; or null: nothing was seen */ \
  P(to)           /* the frontier after; another piece of memory */ \
  I(logged)       /* rows of `from` behind its tail */ \
  P(window)       /* cache row of position 0, [head_dim] */ \
  I(window_stride) \
  P(blocks)       /* row of block 0 */ \
  I(block_stride) \
  I(first)        /* first batch row */ \
  I(count) \
  I(past)         /* position of the first batch row */
PL_STRUCT(pl_compress_slice, PL_COMPRESS_SLICE_FIELDS)

// Writes x of every batch row into its slice's `window`.
#define PL_WINDOW_STORE_FIELDS(P, I, F, S) \
  P(x)            /* f32 [width, rows] */ \
  I(width) \
  I(type)         /* f32, f16 or q8_0 */ \
  P(slices)       /* pl_compress_slice [slice_count] */ \
  I(slice_count) \
  P(overflow)     /* as in pl_cache_store */
PL_STRUCT(pl_window_store, PL_WINDOW_STORE_FIELDS)
PL_API void pl_op_window_store(void*, int ith, int nth, void* params);

// One row for every `ratio` positions. For block b, channel by channel, the sum of `kv` weighed by a softmax of gate + ape
// over the block's positions; with overlap, over the 2 * ratio positions that end with the block, of which the older
// half gives its channels [0, width) and the newer one [width, 2 * width), and where positions before 0 do not count. Then an
// RMS norm with weights, and a rotation as in pl_tail_rope by the row of `table` of the block's last position.
// Complete blocks are written to the slice's `blocks`. A row of the frontier has at `offset` kv, and behind it gate + ape;
// its tail has (overlap ? 2 : 1) * ratio - 1 rows.
#define PL_COMPRESS_FIELDS(P, I, F, S) \
  P(kv)           /* f32 [channels, rows], channels = width, or 2 * width with overlap */ \
  I(kv_stride) \
  P(gate)         /* f32 [channels, rows] */ \
  I(gate_stride) \
  P(ape)          /* f32 [channels, ratio] */ \
  P(norm)         /* f32 [width] */ \
  F(eps) \
  I(width)        /* 1 to 1024 */ \
  I(ratio)        /* 1 to 128 */ \
  I(overlap)      /* 0 or 1 */ \
  P(table)        /* f32 [dims, rows] */ \
  I(dims) \
  I(row)          /* floats of a row of the frontier */ \
  I(offset) \
  I(type)         /* of blocks */ \
  P(slices)       /* pl_compress_slice [slice_count] */ \
  I(slice_count) \
  P(overflow)
PL_STRUCT(pl_compress, PL_COMPRESS_FIELDS)
PL_API void pl_op_compress(void*, int ith, int nth, void* params);

// Scores of blocks for every row at position p, of the blocks before (p + 1) / ratio:
//   sum over heads of max(0, q[head] . key[block]) weight[head]
#define PL_INDEX_SCORES_FIELDS(P, I, F, S) \
  P(q)            /* f32 [dim * heads, rows] */ \
  P(weights)      /* f32 [heads, rows] */ \
  I(dim)          /* 1 to 1024 */ \
  I(heads) \
  I(rows) \
  I(ratio) \
  I(type)         /* of the keys, which are the slices' blocks */ \
  P(slices) \
  I(slice_count) \
  I(most)         /* blocks that a row has scores for */ \
  P(out)          /* f32 [most, rows] */
PL_STRUCT(pl_index_scores, PL_INDEX_SCORES_FIELDS)
PL_API void pl_op_index_scores(void*, int ith, int nth, void* params);

// The `most` blocks of every row that have the highest scores, of equal ones the earlier ones: their number, and then theirs, in
// order. -1: all that there are, as there are not more.
#define PL_INDEX_CHOICE_FIELDS(P, I, F, S) \
  P(scores)       /* pl_index_scores, whose `out` was computed; without `out`, scores are computed here */ \
  I(most) \
  P(out)          /* int32 [1 + most, rows] */
PL_STRUCT(pl_index_choice, PL_INDEX_CHOICE_FIELDS)
PL_API void pl_op_index_choice(void*, int ith, int nth, void* params);

// softmax(scale q . k) k per head, with an online softmax over the keys of a row in order: those of the window that ends with it,
// then the blocks before (p + 1) / ratio, or the chosen ones of these. Keys are values, all heads share them, and a head's
// sink takes part in its softmax.
#define PL_BLOCK_ATTENTION_FIELDS(P, I, F, S) \
  P(q)            /* f32 [dim * heads, rows] */ \
  I(heads) \
  I(dim)          /* 1 to 1024 */ \
  I(rows) \
  I(window) \
  I(ratio)        /* 0: no blocks */ \
  I(causal)       /* 0: rows also see the later rows of their slice that are near enough */ \
  P(chosen)       /* int32 [1 + most, rows], from pl_index_choice, or null: all blocks */ \
  I(most) \
  F(scale) \
  P(sinks)        /* f32 [heads] */ \
  I(type) \
  P(slices) \
  I(slice_count) \
  P(abort)        /* as in pl_attention */ \
  P(out)          /* f32 [dim * heads, rows] */
PL_STRUCT(pl_block_attention, PL_BLOCK_ATTENTION_FIELDS)
PL_API void pl_op_block_attention(void*, int ith, int nth, void* params);

#define PL_COMPRESSED_STRUCTS(X)                   \
  X(pl_stream_mix, PL_STREAM_MIX_FIELDS)           \
  X(pl_stream_join, PL_STREAM_JOIN_FIELDS)         \
  X(pl_stream_spread, PL_STREAM_SPREAD_FIELDS)     \
  X(pl_root_softplus, PL_ROOT_SOFTPLUS_FIELDS)     \
  X(pl_clamped_gate, PL_CLAMPED_GATE_FIELDS)       \
  X(pl_tail_rope, PL_TAIL_ROPE_FIELDS)             \
  X(pl_block_start, PL_BLOCK_START_FIELDS)         \
  X(pl_compress_slice, PL_COMPRESS_SLICE_FIELDS)   \
  X(pl_window_store, PL_WINDOW_STORE_FIELDS)       \
  X(pl_compress, PL_COMPRESS_FIELDS)               \
  X(pl_index_scores, PL_INDEX_SCORES_FIELDS)       \
  X(pl_index_choice, PL_INDEX_CHOICE_FIELDS)       \
  X(pl_block_attention, PL_BLOCK_ATTENTION_FIELDS)
