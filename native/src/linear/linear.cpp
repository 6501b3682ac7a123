// The C ABI of the matrix products: sizes, repacking, quantising activations, products, rows.
// The arithmetic is in kernel.h; here work is cut into tiles and shared among threads, and no
// cut changes a result.
#include "linear.h"

#include <cmath>
#include <cstring>

#include "../common/built.h"
#include "../common/threads.h"

namespace pl {

const LinearPath& linear_path() { return *built_linear(path()); }

ActLayout act_layout(int64_t k, int64_t rows) {
  const LinearPath& p = linear_path();
  const int64_t whole = rows / p.tile_rows * p.tile_rows;
  const int64_t padded = whole + p.padded[rows - whole];
  ActLayout a;
  a.scales = align_up(padded * k, 64);
  a.sums = a.scales + align_up(padded * (k / 32) * 4, 64);
  a.bytes = a.sums + align_up(padded * (k / 32) * 4, 64);
  return a;
}

Act act_at(uint64_t address, int64_t k, int64_t rows) {
  const ActLayout l = act_layout(k, rows);
  int8_t* base = reinterpret_cast<int8_t*>(address);
  return {base, reinterpret_cast<float*>(base + l.scales),
          reinterpret_cast<int16_t*>(base + l.sums)};
}

namespace {

// Rows that share one pass over the weights: few enough that their activations stay in the second
// level cache, in passes of about equal length.
int64_t rows_per_pass(int64_t k, int64_t rows) {
  const int64_t fit = (int64_t{512} << 10) / k;
  const int64_t most = fit < 64 ? 64 : fit;
  const int64_t passes = (rows + most - 1) / most;
  return align_up((rows + passes - 1) / passes, max_tile_rows);
}

thread_local Scratch aux_memory[4];

}  // namespace

Matrix make_matrix(uint64_t panels, int64_t type, int64_t k, int64_t n) {
  const int w = linear_path().width, format = format_index(type);
  return {format, pointer<const uint8_t>(panels), n, (n + w - 1) / w,
          panel_bytes(formats[format], w, k)};
}

namespace {
// Whether the path has a kernel for several tiles of the matrix, and so many rows are worth it: of fewer than
// four tiles, unpacking two panels' weights costs what it saves.
bool several_tiles(const Matrix& m, int64_t rows) {
  const LinearPath& p = linear_path();
  return p.two_tiles[m.format] != nullptr && rows >= 4 * p.tile_rows;
}
}  // namespace

int64_t least_panels(const Matrix& m, int64_t bytes, int64_t rows) {
  const int64_t fit = (int64_t{16} << 10) / bytes / rows, least = several_tiles(m, rows) ? 2 : 1;
  return fit < least ? least : fit;
}

int64_t panels_together(int64_t rows, int64_t in_chunk, int64_t in_matrix) {
  const LinearPath& p = linear_path();
  const int64_t most = rows > p.tile_rows ? 2 : run_floats / (p.padded[rows] * p.width);
  const int64_t left = in_chunk < in_matrix ? in_chunk : in_matrix;
  return most < left ? most : left;
}

int rows_at_once(const Matrix* m, int matrices, int64_t panels, int64_t left) {
  const LinearPath& p = linear_path();
  if (left < p.tile_rows) return static_cast<int>(left);
  bool several = panels == 2;
  for (int i = 0; i < matrices; ++i) several = several && several_tiles(m[i], left);
  if (!several) return p.tile_rows;
  const int64_t room = out_floats / (2 * p.tile_rows * p.width), tiles = left / p.tile_rows & ~int64_t{1};
  return static_cast<int>(tiles < room ? tiles : room) * p.tile_rows;
}

void multiply_panels(const Matrix& m, int64_t first, int64_t count, int64_t k, const Tile& tile,
                     float* out, int64_t out_size) {
  const LinearPath& p = linear_path();
  const uint8_t* panel = m.panels + first * m.bytes;
  const int64_t blocks = k / 32;
  if (formats[m.format].real()) {
    for (int64_t i = 0; i < count; ++i)
      p.real[m.format](panel + i * m.bytes, tile.x, tile.x_stride, k, tile.rows, out + i * out_size);
    return;
  }
  if (tile.rows > p.tile_rows) {
    p.two_tiles[m.format](panel, m.bytes, tile.act.q, tile.act.d, tile.aux, blocks, tile.rows / p.tile_rows,
                          out, out_size);
    return;
  }
  const int padded = p.padded[tile.rows];
  int64_t done = 0;
  if (const TileFn two = p.two[m.format][padded]) {
    const int64_t half = count / 2;
    for (int64_t i = 0; i < half; ++i)
      two(panel + i * m.bytes, half * m.bytes, tile.act.q, tile.act.d, tile.aux, blocks,
          out + i * out_size, half * out_size);
    done = 2 * half;
  }
  for (int64_t i = done; i < count; ++i)
    p.tile[m.format][padded](panel + i * m.bytes, 0, tile.act.q, tile.act.d, tile.aux, blocks,
                             out + i * out_size, 0);
}

int64_t make_pass_aux(int format, const Act& act, int64_t k, int64_t rows, int64_t first,
                      int64_t last, void* to) {
  const LinearPath& p = linear_path();
  const int64_t blocks = k / 32, unit = p.aux_bytes[format];
  if (unit == 0) return 0;
  for (int64_t r = first; r < last; r += p.tile_rows) {
    const int here = static_cast<int>(rows - r < p.tile_rows ? rows - r : p.tile_rows);
    p.make_aux[format](act.q + r * k, act.d + r * blocks, act.s + r * blocks * 2, blocks, p.padded[here],
                       static_cast<uint8_t*>(to) + (r - first) * blocks * unit);
  }
  return unit;
}

}  // namespace pl

using namespace pl;

PL_API int64_t pl_panel_rows(void) { return linear_path().width; }

PL_API int64_t pl_panel_bytes(int64_t type, int64_t k, int64_t n) {
  const int i = format_index(type);
  if (i < 0 || k <= 0 || n <= 0 || k > (int64_t{1} << 24) || n > (int64_t{1} << 31)) return 0;
  const Format& f = formats[i];
  if (k % f.block != 0 || (!f.real() && k % 32 != 0)) return 0;
  const int w = linear_path().width;
  return align_up((n + w - 1) / w * panel_bytes(f, w, k), 64);
}

PL_API int64_t pl_act_bytes(int64_t k, int64_t rows) { return act_layout(k, rows).bytes; }

PL_API int64_t pl_needs_quantized(int64_t type) {
  const int i = format_index(type);
  return i < 0 ? -1 : formats[i].real() ? 0 : 1;
}

namespace {
struct Repack {
  const Format* f;
  const uint8_t* source;
  uint8_t* dst;
  int64_t k, row_bytes, panel_size, row0, rows;
  int width;
};
void repack_panel(void* context, int64_t i) {
  const Repack& r = *static_cast<Repack*>(context);
  const int64_t first = i * r.width;
  uint8_t* panel = r.dst + (r.row0 / r.width + i) * r.panel_size;
  if (r.rows - first < r.width) std::memset(panel, 0, static_cast<size_t>(r.panel_size));
  for (int row = 0; row < r.width && first + row < r.rows; ++row)
    pack_row(*r.f, r.source + (first + row) * r.row_bytes, panel, r.width, row, r.k);
}
}  // namespace

PL_API int pl_repack(int64_t type, const void* src, void* dst, int64_t k, int64_t n, int64_t row0,
                     int64_t rows, int64_t threads) {
  const int64_t bytes = pl_panel_bytes(type, k, n);
  const int w = linear_path().width;
  if (bytes == 0 || row0 < 0 || rows < 0 || row0 + rows > n || row0 % w != 0) return -1;
  if (rows % w != 0 && row0 + rows != n) return -1;
  const Format& f = formats[format_index(type)];
  Repack r{&f,  static_cast<const uint8_t*>(src), static_cast<uint8_t*>(dst), k, k / f.block * f.block_bytes,
           panel_bytes(f, w, k), row0, rows, w};
  parallel((rows + w - 1) / w, threads, repack_panel, &r);
  return 0;
}

PL_API void pl_op_quantize(void*, int ith, int nth, void* params) {
  const pl_quantize& q = *static_cast<const pl_quantize*>(params);
  const LinearPath& p = linear_path();
  const Act act = act_at(q.out, q.k, q.rows);
  const float* norm = pointer<const float>(q.norm_weight);
  // Whole tiles, or a range of columns of each when there are few: in the memory of a tile all rows lie
  // side by side, and cores that write to one cache line wait for each other.
  const int64_t tiles = (q.rows + p.tile_rows - 1) / p.tile_rows, blocks = q.k / 32;
  const int ranges = tiles < 4 * nth ? nth : 1;
  for (int64_t i = ith; i < tiles * ranges; i += nth) {
    const int64_t first = i / ranges * p.tile_rows, range = i % ranges;
    const int rows = static_cast<int>(q.rows - first < p.tile_rows ? q.rows - first : p.tile_rows);
    const Act tile{act.q + first * q.k, act.d + first * blocks, act.s + first * blocks * 2};
    for (int t = 0; t < p.padded[rows]; ++t) {
      const uint64_t x = q.x + static_cast<uint64_t>((first + t) * q.x_stride);
      p.quantize(t < rows ? pointer<const float>(x) : nullptr, t, p.padded[rows], q.k,
                 blocks * range / ranges, blocks * (range + 1) / ranges, norm,
                 static_cast<float>(q.eps), tile);
    }
  }
}

PL_API void pl_op_linear(void*, int ith, int nth, void* params) {
  pl_linear& l = *static_cast<pl_linear*>(params);
  const LinearPath& p = linear_path();
  const int64_t blocks = l.k / 32;
  const Matrix m[4] = {
      make_matrix(l.panels0, l.type0, l.k, l.n0),
      l.count > 1 ? make_matrix(l.panels1, l.type1, l.k, l.n1) : Matrix{},
      l.count > 2 ? make_matrix(l.panels2, l.type2, l.k, l.n2) : Matrix{},
      l.count > 3 ? make_matrix(l.panels3, l.type3, l.k, l.n3) : Matrix{},
  };
  uint8_t* const dst[4] = {
      pointer<uint8_t>(l.dst0) + l.offset0, pointer<uint8_t>(l.dst1) + l.offset1,
      pointer<uint8_t>(l.dst2) + l.offset2, pointer<uint8_t>(l.dst3) + l.offset3};
  const int64_t stride[4] = {l.stride0, l.stride1, l.stride2, l.stride3};
  const int parts = l.epilogue != 0 ? 2 : 1;
  const int outputs = l.epilogue != 0 ? 1 : static_cast<int>(l.count);
  const Act act = l.act ? act_at(l.act, l.k, l.rows) : Act{};
  const int64_t pass = rows_per_pass(l.k, l.rows), passes = (l.rows + pass - 1) / pass;

  // Units of work: the panels of all outputs, side by side, for the rows of each pass.
  int64_t in_pass = 0;
  for (int i = 0; i < outputs; ++i) in_pass += m[i].count;
  const int64_t least = least_panels(m[0], m[0].bytes + (parts > 1 ? m[1].bytes : 0), l.rows);
  Chunks work(&l.next, &l.finished, in_pass * passes, least, nth);
  int64_t aux_first[4] = {-1, -1, -1, -1};  // the pass that a matrix's aux was made for
  uint8_t* aux[4] = {};
  alignas(64) float out[2][out_floats];
  for (int64_t unit = 0, end = 0; work.take(unit, end);) {
    bool fresh = true;
    for (int64_t together; unit < end; unit += together) {
      const int64_t first = unit / in_pass * pass;
      const int64_t last = first + pass < l.rows ? first + pass : l.rows;
      int64_t begin = unit % in_pass;
      int i = 0;
      while (begin >= m[i].count) begin -= m[i++].count;
      if (fresh) prefetch_panels(m[i], begin);
      fresh = false;
      for (int j = i; j < i + parts; ++j) {
        const int64_t bytes = p.aux_bytes[m[j].format];
        if (bytes == 0 || aux_first[j] == first) continue;
        aux_first[j] = first;
        aux[j] = static_cast<uint8_t*>(
            aux_memory[j].get((last - first + max_tile_rows) * blocks * bytes));
        make_pass_aux(m[j].format, act, l.k, l.rows, first, last, aux[j]);
      }
      together = panels_together(last - first, end - unit, m[i].count - begin);
      int rows;
      for (int64_t r = first; r < last; r += rows) {
        if (aborted(l.abort)) return;
        rows = rows_at_once(m + i, parts, together, last - r);
        const int64_t out_size = int64_t{rows < p.tile_rows ? p.padded[rows] : rows} * p.width;
        Tile tile{{}, nullptr, nullptr, l.x_stride / 4, rows};
        if (l.act) tile.act = {act.q + r * l.k, act.d + r * blocks, nullptr};
        if (l.x) tile.x = pointer<const float>(l.x + static_cast<uint64_t>(r * l.x_stride));
        for (int j = 0; j < parts; ++j) {
          if (aux[i + j]) tile.aux = aux[i + j] + (r - first) * blocks * p.aux_bytes[m[i + j].format];
          multiply_panels(m[i + j], begin, together, l.k, tile, out[j], out_size);
        }
        for (int64_t panel = 0; panel < together; ++panel) {
          const int64_t column = (begin + panel) * p.width;
          const int width = static_cast<int>(m[i].n - column < p.width ? m[i].n - column : p.width);
          const uint8_t* residual = nullptr;
          if (l.residual && i == 0) {
            residual = pointer<const uint8_t>(l.residual) + r * l.residual_stride + column * 4;
          }
          p.finish(static_cast<int>(l.epilogue), out[0] + panel * out_size, out[1] + panel * out_size,
                   residual, l.residual_stride, dst[i] + r * stride[i] + column * 4, stride[i], rows,
                   width);
        }
      }
    }
  }
}

PL_API void pl_op_get_rows(void*, int ith, int nth, void* params) {
  const pl_get_rows& g = *static_cast<const pl_get_rows*>(params);
  const int w = linear_path().width;
  const Format& f = formats[format_index(g.type)];
  const int64_t bytes = panel_bytes(f, w, g.k);
  const int32_t* ids = pointer<const int32_t>(g.ids);
  for (int64_t i = ith; i < g.count; i += nth) {
    float* dst = pointer<float>(g.dst + static_cast<uint64_t>(i * g.stride));
    if (ids[i] < 0 || ids[i] >= g.n) {
      std::memset(dst, 0, static_cast<size_t>(g.k) * sizeof(float));
    } else {
      unpack_row(f, pointer<const uint8_t>(g.panels) + ids[i] / w * bytes, w, ids[i] % w, g.k, dst);
    }
  }
}
