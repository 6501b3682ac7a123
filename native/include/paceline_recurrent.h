// Layers that fold what they have seen into a state that does not grow. Included by paceline.h.
//
// A state is a piece of f32s: the folded part, as it was after some position, and behind it the log: inputs of the
// `tail` rows before that position, which a convolution looks back on, and of the rows after it. A pass reads one
// state and writes another, so that one that fails has spoiled nothing, and whoever undoes rows of a short pass cuts
// them off the log.
#pragma once

// Most rows that a log holds behind the folded part.
#define PL_LOGGED_ROWS 16

#define PL_RECURRENT_SLICE_FIELDS(P, I, F, S) \
  P(from)         /* the state before, or null: nothing was seen */ \
  P(to)           /* the state after; another piece of memory */ \
  I(logged)       /* rows behind the folded part of `from` that belong to the sequence, 0 to PL_LOGGED_ROWS */ \
  I(first)        /* first batch row */ \
  I(count)        /* batch rows, >= 0 */
PL_STRUCT(pl_recurrent_slice, PL_RECURRENT_SLICE_FIELDS)

// Gated delta rule behind a causal convolution (arXiv 2412.06464). For every value head r, with key head r mod key_heads, a
// matrix M [dim, dim], and every row:
//   q, k, v = silu(convolution of the channels of `mix`); q and k divided by sqrt(their sum of squares + eps)
//   M = exp(softplus(alpha + bias) decay) M;  M += k (sigmoid(beta) (v - M^T k))^T;  out = M^T q / sqrt(dim)
// Channels: queries [dim * key_heads], keys [dim * key_heads], values [dim * value_heads].
// The folded part is M of every head in blocks of 16 columns, columns padded with zeros: [16, dim, blocks, heads]; a row
// of the log is the channels, then beta and alpha of every head. Of up to PL_LOGGED_ROWS rows `to` has the folded part before
// them and the rows in its log; of more it has the folded part behind all of them.
// A row's bytes depend on the rows before it alone, however they were split into calls.
#define PL_DELTA_NET_FIELDS(P, I, F, S) \
  P(mix)          /* f32 [channels, rows] */ \
  I(mix_stride)   /* bytes between batch rows */ \
  P(beta)         /* f32 [value_heads, rows] */ \
  I(beta_stride) \
  P(alpha)        /* f32 [value_heads, rows] */ \
  I(alpha_stride) \
  P(conv)         /* f32 [kernel, channels]: the last weight is that of the row itself */ \
  I(kernel)       /* 1 to 8 */ \
  P(bias)         /* f32 [value_heads] */ \
  P(decay)        /* f32 [value_heads], not positive */ \
  I(key_heads) \
  I(value_heads)  /* a multiple of key_heads */ \
  I(dim)          /* 1 to 256 */ \
  F(eps) \
  P(out)          /* f32 [dim * value_heads, rows] */ \
  I(out_stride)   /* bytes between batch rows */ \
  P(slices)       /* pl_recurrent_slice [slice_count] */ \
  I(slice_count)
PL_STRUCT(pl_delta_net, PL_DELTA_NET_FIELDS)
PL_API void pl_op_delta_net(void*, int ith, int nth, void* params);

// Short gated convolution (LFM2, arXiv 2511.23404). For every channel and row, with the inputs u = in x:
//   out = gate (sum over taps j of conv[j] u[row - kernel + 1 + j])
// `mix` has in, gate and x of all channels, one behind the other. There is no folded part; a row of the log is u. Of up to
// PL_LOGGED_ROWS rows `to` has them in its log, behind the tail; of more it has the tail behind all of them.
// A row's bytes depend on the rows before it alone, however they were split into calls.
#define PL_SHORT_CONV_FIELDS(P, I, F, S) \
  P(mix)          /* f32 [3 * channels, rows] */ \
  I(mix_stride)   /* bytes between batch rows */ \
  P(conv)         /* f32 [kernel, channels]: the last weight is that of the row itself */ \
  I(kernel)       /* 1 to 8 */ \
  I(channels) \
  P(out)          /* f32 [channels, rows] */ \
  I(out_stride)   /* bytes between batch rows */ \
  P(slices)       /* pl_recurrent_slice [slice_count] */ \
  I(slice_count)
PL_STRUCT(pl_short_conv, PL_SHORT_CONV_FIELDS)
PL_API void pl_op_short_conv(void*, int ith, int nth, void* params);

#define PL_RECURRENT_STRUCTS(X)                   \
  X(pl_recurrent_slice, PL_RECURRENT_SLICE_FIELDS) \
  X(pl_delta_net, PL_DELTA_NET_FIELDS)           \
  X(pl_short_conv, PL_SHORT_CONV_FIELDS)
