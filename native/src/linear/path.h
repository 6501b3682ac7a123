// What each CPU path gives to the matrix products: a table of functions.
#pragma once
#include <stdint.h>

#include "panels.h"

namespace pl {

// Quantised activations of `rows` rows, in tiles of up to tile_rows rows; the last tile is padded with
// zero rows to a size that has a kernel (`padded`). A tile of R rows that begins at row r0:
//   quants  int8  [K/32][R][32]     at q + r0 K
//   scales  f32   [K/32][R]         at d + r0 K/32
//   sums    int16 [K/32][2][R]      at s + r0 K/16: sums of 16 quants
struct Act {
  int8_t* q;
  float* d;
  int16_t* s;
};

constexpr int max_tile_rows = 16;

// out[R][W] = W rows of a panel times R activation rows.
// One or two panels, `step` bytes apart, their results `out_step` floats apart.
using TileFn = void (*)(const uint8_t* panel, int64_t step, const int8_t* q, const float* d,
                        const void* aux, int64_t blocks, float* out, int64_t out_step);
// Two panels and an even `count` of tiles of tile_rows rows, one behind the other: out[count][tile_rows][W]
// of each.
using TilesFn = void (*)(const uint8_t* panel, int64_t step, const int8_t* q, const float* d,
                         const void* aux, int64_t blocks, int count, float* out, int64_t out_step);
// The same for f32 activations; `rows` up to max_tile_rows, `stride` in floats.
using RealTileFn = void (*)(const uint8_t* panel, const float* x, int64_t stride, int64_t k,
                            int rows, float* out);

struct LinearPath {
  int width;      // rows of a panel
  int tile_rows;  // rows of a full tile
  const int* padded;  // [max_tile_rows + 1]: rows of the kernel that serves n rows
  TileFn tile[format_count][max_tile_rows + 1];  // null where there is none
  TileFn two[format_count][max_tile_rows + 1];   // two panels at once; null where that does not pay
  TilesFn two_tiles[format_count];  // with the same results; null: one after the other
  RealTileFn real[format_count];
  // What a tile kernel needs beside quants and scales, made of these and the sums: see kernel.h.
  // Bytes per row and block; 0: nothing.
  int aux_bytes[format_count];
  void (*make_aux[format_count])(const int8_t* q, const float* d, const int16_t* s, int64_t blocks, int rows,
                                 void* aux);
  // Quantises blocks [first, last) of a row (null = zeros) of K columns into place `t` of a tile of
  // `count` rows. With a norm weight: of y = x w / rms(x).
  void (*quantize)(const float* x, int t, int count, int64_t k, int64_t first, int64_t last,
                   const float* norm, float eps, const Act& tile);
  // For each of `rows` rows and i < width: dst[i] = act(a[i]) b[i] (epilogue 1 silu, 2 gelu; 0: a[i]),
  // plus residual[i] when not null. Rows of a and b are a panel wide; strides are in bytes.
  void (*finish)(int epilogue, const float* a, const float* b, const uint8_t* residual,
                 int64_t residual_stride, uint8_t* dst, int64_t stride, int rows, int width);
  // out[i] = sum over s < slots of weights[s] parts[s stride + i], plus residual[i] when not null.
  void (*weighted_sum)(const float* parts, int64_t stride, int64_t slots, const float* weights,
                       const float* residual, float* out, int64_t count);
  // out[i] = x[i] weight[i] / rms(x), plus residual[i] when not null.
  void (*norm)(const float* x, int64_t k, const float* weight, float eps, const float* residual,
               float* out);
  // out[i] = f(a[i]) b[i], or f(a[i]) alone: see pl_gate.
  void (*elementwise)(int kind, const float* a, const float* b, float cap, float* out, int64_t count);
};

const LinearPath* linear_amx();
const LinearPath* linear_avx512vbmi();
const LinearPath* linear_avx512();
const LinearPath* linear_avxvnni();
const LinearPath* linear_avx2();
const LinearPath* linear_neon();
const LinearPath* linear_scalar();

}  // namespace pl
