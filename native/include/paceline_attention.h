// Attention over a KV cache, and storing rows into it. Included by paceline.h.
//
// A cache tensor holds one row per position: [head_dim * kv_heads] elements, rows `stride` bytes
// apart, position 0 at the base pointer. A slice is a run of consecutive batch rows that belong to
// one sequence: batch row first + i stands at position past + i. Rows outside the positions that a
// query sees are never read, so a base pointer may point before memory that was dropped.
#pragma once

// Element types of a cache, with ggml's numbers.
#define PL_CACHE_F32 0
#define PL_CACHE_F16 1
#define PL_CACHE_Q8_0 8
// Two bytes an element and a scale a head, see src/attention/block.h: keys and values both or neither, heads of 64, 128,
// 192 or 256 elements. Positions lie in blocks of 64, so that a cache has whole ones, 64 strides each; a stride has two
// bytes an element, that of keys 8 bytes a head more for scales, and is a multiple of 4. Of the last block all bytes may be read,
// and mean nothing where no position was stored.
#define PL_CACHE_I16 25

#define PL_CACHE_SLICE_FIELDS(P, I, F, S) \
  P(k)            /* row of position 0 */ \
  P(v) \
  I(k_stride)     /* bytes between positions */ \
  I(v_stride) \
  I(first)        /* first batch row */ \
  I(count)        /* batch rows, >= 0 */ \
  I(past)         /* position of the first batch row */
PL_STRUCT(pl_cache_slice, PL_CACHE_SLICE_FIELDS)

// softmax(scale * q.k) v, per query head, with an online softmax over fixed blocks of positions.
// Every row's bytes depend only on its own query, position and visible cache rows.
#define PL_ATTENTION_FIELDS(P, I, F, S) \
  P(q)            /* f32 [head_dim, heads, rows] */ \
  I(q_stride)     /* bytes between batch rows */ \
  I(q_head_stride)/* bytes between heads */ \
  P(out)          /* f32 [v_dim * heads, rows] */ \
  I(out_stride)   /* bytes between batch rows */ \
  P(slices)       /* pl_cache_slice [slice_count] */ \
  I(slice_count) \
  I(heads) \
  I(kv_heads)     /* divides heads */ \
  I(head_dim) \
  I(v_dim) \
  I(k_type) \
  I(v_type) \
  F(scale) \
  F(softcap)      /* scores become cap * tanh(score / cap); 0: none */ \
  I(window)       /* sees position j iff own position - j < window; 0: no limit */ \
  I(causal)       /* 0: also sees the later rows of its own slice */ \
  I(ahead)        /* of these, sees position j iff j - own position < ahead; 0: no limit */ \
  P(sinks)        /* f32 [heads], a logit each that has no value; or null */ \
  P(scratch)      /* pl_attention_scratch() bytes, 64-byte aligned, zeroed once; ops that never run
                     at the same time may share it */ \
  I(scratch_bytes) \
  P(abort)        /* int32: work stops, with output left unwritten, once not zero; or null */ \
  S(next) S(finished)
PL_STRUCT(pl_attention, PL_ATTENTION_FIELDS)
PL_API void pl_op_attention(void*, int ith, int nth, void* params);
// Bytes of scratch for these params on up to `threads` threads; -1: this shape is not supported.
// `slices` is not read: `rows` is the number of batch rows and `positions` the longest context.
PL_API int64_t pl_attention_scratch(const void* params, int64_t rows, int64_t positions,
                                    int64_t threads);

// Writes k and v of every batch row into its slice's cache rows, converted to the cache's types. A finite number that
// a type cannot hold (f16 ends at 65504, the scale of q8_0 too) becomes infinite, and `overflow` says so.
#define PL_CACHE_STORE_FIELDS(P, I, F, S) \
  P(k)            /* f32 [k_width, rows] */ \
  I(k_row_stride) /* bytes between batch rows */ \
  I(k_width) \
  I(k_type) \
  P(v)            /* f32 [v_width, rows] */ \
  I(v_row_stride) \
  I(v_width) \
  I(v_type) \
  P(slices)       /* pl_cache_slice [slice_count] */ \
  I(slice_count) \
  I(kv_heads)     /* heads of a row, for types with a scale a head */ \
  P(overflow)     /* int32: set to the type that cannot hold a key or value; or null */
PL_STRUCT(pl_cache_store, PL_CACHE_STORE_FIELDS)
PL_API void pl_op_cache_store(void*, int ith, int nth, void* params);

// Cosines and sines of rotary embedding for a batch: out f32 [dims, rows], a row's cosines first.
// theta_i = position * base^(-2i/dims) / factors[i], scaled and, with YaRN, mixed.
#define PL_ROPE_TABLE_FIELDS(P, I, F, S) \
  P(positions)    /* int32 [rows] */ \
  I(rows) \
  I(dims)         /* rotated dimensions, even */ \
  F(base) \
  F(scale)        /* positions are multiplied by it */ \
  F(yarn)         /* 0: none; 1: below `low` unscaled, above `high` scaled, between mixed */ \
  F(low) \
  F(high) \
  F(magnitude)    /* multiplies both */ \
  P(factors)      /* f32 [dims / 2], or null */ \
  P(out)
PL_STRUCT(pl_rope_table, PL_ROPE_TABLE_FIELDS)
PL_API void pl_op_rope_table(void*, int ith, int nth, void* params);

// For every batch row: q and k normalised per head (RMS, when there are weights) and rotated; q goes
// to q_out, k and v into the row's cache row. Rows of q, k and v have no gaps inside.
#define PL_ROTATE_STORE_FIELDS(P, I, F, S) \
  P(q)            /* f32 [head_dim * heads, rows] */ \
  I(q_stride)     /* bytes between batch rows */ \
  P(q_out)        /* f32 [head_dim * heads, rows], no gaps; may not be q */ \
  P(k)            /* f32 [head_dim * kv_heads, rows] */ \
  I(k_row_stride) \
  P(v)            /* f32 [v_width, rows] */ \
  I(v_row_stride) \
  I(v_width) \
  I(heads) \
  I(kv_heads) \
  I(head_dim)     /* a multiple of 32 for a q8_0 cache */ \
  P(q_norm)       /* f32 [head_dim], or null */ \
  P(k_norm) \
  F(eps) \
  P(table)        /* from pl_op_rope_table, or null: no rotation */ \
  I(dims)         /* leading dimensions of a head that are rotated, even */ \
  I(halves)       /* 1: pairs (i, i + dims/2); 0: pairs (2i, 2i + 1) */ \
  I(k_type) \
  I(v_type) \
  P(slices)       /* pl_cache_slice [slice_count] */ \
  I(slice_count) \
  P(overflow)     /* as in pl_cache_store */
PL_STRUCT(pl_rotate_store, PL_ROTATE_STORE_FIELDS)
PL_API void pl_op_rotate_store(void*, int ith, int nth, void* params);

#define PL_ATTENTION_STRUCTS(X)              \
  X(pl_cache_slice, PL_CACHE_SLICE_FIELDS)   \
  X(pl_attention, PL_ATTENTION_FIELDS)       \
  X(pl_cache_store, PL_CACHE_STORE_FIELDS)   \
  X(pl_rope_table, PL_ROPE_TABLE_FIELDS)     \
  X(pl_rotate_store, PL_ROTATE_STORE_FIELDS)
