// Matrix products: panel weights times quantised activations. Included by paceline.h.
//
// Weight types carry ggml's numbers (GGUF tensor types). T tokens, K columns (inputs), N rows
// (outputs). A panel holds pl_panel_rows() rows of one weight matrix in an order of this library's
// own choice, which depends on the CPU path: panels are made when loading and never stored.
#pragma once

// Bytes of the panels of an N x K matrix; 0: this type or shape is not supported here.
PL_API int64_t pl_panel_bytes(int64_t type, int64_t k, int64_t n);
PL_API int64_t pl_panel_rows(void);
// Bytes of the activations of `rows` rows of K columns as pl_op_quantize writes them.
PL_API int64_t pl_act_bytes(int64_t k, int64_t rows);
// 1: products of this type read quantised activations; 0: they read f32; -1: not supported.
PL_API int64_t pl_needs_quantized(int64_t type);
// Rows [row0, row0 + rows) of GGUF blocks at `src` into the panels at `dst` (the whole matrix's).
// row0 is a multiple of pl_panel_rows(). Uses up to `threads` threads. 0: done; -1: bad argument.
PL_API int pl_repack(int64_t type, const void* src, void* dst, int64_t k, int64_t n, int64_t row0,
                     int64_t rows, int64_t threads);

// Rows of f32 -> int8 with a scale per 32 columns. Optional RMS norm in front (weight = null: none).
#define PL_QUANTIZE_FIELDS(P, I, F, S) \
  P(x)            /* f32 [K, rows] */ \
  I(x_stride)     /* bytes between rows */ \
  P(out)          /* pl_act_bytes(k, rows) */ \
  I(k) \
  I(rows) \
  P(norm_weight)  /* f32 [K] or null */ \
  F(eps)
PL_STRUCT(pl_quantize, PL_QUANTIZE_FIELDS)
PL_API void pl_op_quantize(void*, int ith, int nth, void* params);

// Up to 4 matrices of equal K times the same activations, each into its own f32 output at dst + offset
// bytes, with `stride` bytes from row to row.
#define PL_LINEAR_FIELDS(P, I, F, S) \
  P(act)          /* from pl_op_quantize, or null when all types read f32 */ \
  P(x)            /* f32 [K, rows], for types that read f32 */ \
  I(x_stride) \
  I(k) \
  I(rows) \
  I(count)        /* matrices used, 1 to 4 */ \
  I(epilogue)     /* 0 none, 1 silu(y0)*y1, 2 gelu(y0)*y1 into dst0 */ \
  P(residual)     /* f32 added to dst0, or null */ \
  I(residual_stride) \
  P(panels0) I(type0) I(n0) P(dst0) I(offset0) I(stride0) \
  P(panels1) I(type1) I(n1) P(dst1) I(offset1) I(stride1) \
  P(panels2) I(type2) I(n2) P(dst2) I(offset2) I(stride2) \
  P(panels3) I(type3) I(n3) P(dst3) I(offset3) I(stride3) \
  P(abort)        /* int32: work stops, with output left unwritten, once not zero; or null */ \
  S(next) S(finished)
PL_STRUCT(pl_linear, PL_LINEAR_FIELDS)
PL_API void pl_op_linear(void*, int ith, int nth, void* params);

// Rows of a panel matrix as f32: dst[i] = row ids[i]; an id outside [0, n) gives zeros.
#define PL_GET_ROWS_FIELDS(P, I, F, S) \
  P(panels) I(type) I(k) I(n) \
  P(ids)          /* int32 [count] */ \
  I(count) \
  P(dst) I(stride)
PL_STRUCT(pl_get_rows, PL_GET_ROWS_FIELDS)
PL_API void pl_op_get_rows(void*, int ith, int nth, void* params);

// Mixture of experts: matrix ids[s, t] of a stack times activation row (t, or t * slots + s).
#define PL_MOE_FIELDS(P, I, F, S) \
  P(act) P(x) I(x_stride) \
  I(k) I(tokens) I(slots) \
  I(act_rows)     /* tokens: shared by the slots; tokens * slots: one each */ \
  P(ids)          /* int32 [slots, tokens] */ \
  I(ids_stride)   /* bytes between tokens */ \
  I(experts) \
  I(count)        /* 1, or 2 with an epilogue */ \
  I(epilogue)     /* as in pl_linear */ \
  P(panels0) I(type0) I(n0) \
  I(bytes0)       /* of one expert: pl_panel_bytes(type0, k, n0) */ \
  P(panels1) I(type1) I(n1) I(bytes1) \
  P(cache)        /* from pl_experts_new, which has the experts in place of panels; or null */ \
  I(layer) I(part0) I(part1) \
  P(dst)          /* f32 [n, slots, tokens] */ \
  I(stride)       /* bytes between (slot, token) rows */ \
  P(abort)        /* as in pl_linear */ \
  S(next) S(finished)
PL_STRUCT(pl_moe, PL_MOE_FIELDS)
PL_API void pl_op_moe(void*, int ith, int nth, void* params);

// Sums of the experts' products, weighted: dst[t] = sum over s of weights[s, t] parts[s, t], in ascending
// order, and the residual.
#define PL_EXPERT_SUM_FIELDS(P, I, F, S) \
  P(parts)        /* f32 [n, slots, tokens], from pl_op_moe */ \
  P(weights)      /* f32 [slots, tokens] */ \
  I(n) I(slots) I(tokens) \
  P(residual)     /* f32 added to dst, or null */ \
  I(residual_stride) \
  P(dst)          /* f32 [n, tokens] */
PL_STRUCT(pl_expert_sum, PL_EXPERT_SUM_FIELDS)
PL_API void pl_op_expert_sum(void*, int ith, int nth, void* params);

// RMS norm of rows that others than products read: dst = x weight / sqrt(mean(x^2) + eps), and the residual.
#define PL_RMS_NORM_FIELDS(P, I, F, S) \
  P(x)            /* f32 [K, rows] */ \
  I(x_stride)     /* bytes between rows */ \
  I(k) I(rows) \
  P(weight)       /* f32 [K] */ \
  F(eps) \
  P(residual)     /* f32 added to dst, or null */ \
  I(residual_stride) \
  P(dst)          /* f32 [K, rows] */
PL_STRUCT(pl_rms_norm, PL_RMS_NORM_FIELDS)
PL_API void pl_op_rms_norm(void*, int ith, int nth, void* params);

// Activations of elements: 1 silu(a) b, 2 gelu(a) b, 3 sigmoid(a) b, 4 cap tanh(a / cap), 5 g sigmoid(1.702 g)
// (y + 1) of g = min(a, 7) and y = b within +-7.
#define PL_GATE_FIELDS(P, I, F, S) \
  P(a)            /* f32 [count] */ \
  P(b)            /* f32 [count]; not read by 4 */ \
  P(dst)          /* f32 [count] */ \
  I(count) \
  I(kind) \
  F(cap)
PL_STRUCT(pl_gate, PL_GATE_FIELDS)
PL_API void pl_op_gate(void*, int ith, int nth, void* params);

#define PL_LINEAR_STRUCTS(X)             \
  X(pl_quantize, PL_QUANTIZE_FIELDS)     \
  X(pl_linear, PL_LINEAR_FIELDS)         \
  X(pl_get_rows, PL_GET_ROWS_FIELDS)     \
  X(pl_moe, PL_MOE_FIELDS)               \
  X(pl_expert_sum, PL_EXPERT_SUM_FIELDS) \
  X(pl_rms_norm, PL_RMS_NORM_FIELDS)     \
  X(pl_gate, PL_GATE_FIELDS)
