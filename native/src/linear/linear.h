// Shared by the matrix products' ops: the chosen path and the layout of quantised activations.
#pragma once
#include "../../include/paceline.h"
#include "../common/cpu.h"
#include "path.h"

namespace pl {

// The chosen path. The first call for a path fills its tables: no other thread may call meanwhile.
const LinearPath& linear_path();

struct ActLayout {
  int64_t scales, sums, bytes;
};
ActLayout act_layout(int64_t k, int64_t rows);
Act act_at(uint64_t address, int64_t k, int64_t rows);

// Makes the aux of rows [first, last) (whole tiles, or to the end) for tile kernels of a format.
int64_t make_pass_aux(int format, const Act& act, int64_t k, int64_t rows, int64_t first,
                      int64_t last, void* to);

// One weight matrix in panels.
struct Matrix {
  int format;
  const uint8_t* panels;
  int64_t n, count, bytes;  // rows, panels, bytes of a panel
};
Matrix make_matrix(uint64_t panels, int64_t type, int64_t k, int64_t n);

// The fewest panels of that many bytes that are worth a thread's while, for so many rows.
int64_t least_panels(const Matrix& m, int64_t bytes, int64_t rows);

// Asks for the beginning of a run of panels; the kernels ask for the rest as they go.
inline void prefetch_panels(const Matrix& m, int64_t panel) {
  const uint8_t* p = m.panels + panel * m.bytes;
  for (int64_t at = 0; at < 4608 && at < m.bytes; at += 64) __builtin_prefetch(p + at, 0, 3);
}

// The activations of one tile: quantised with their aux, or f32 rows `x_stride` floats apart.
struct Tile {
  Act act;
  const void* aux;
  const float* x;
  int64_t x_stride;
  int rows;
};
// out[i][padded rows][width] = panel first + i times a tile, or times several full ones, for i < count;
// `out_size` floats from one panel's results to the next one's. Few rows wait for memory, which one core
// reads faster as two streams than as one: so they take a panel of each half at once.
void multiply_panels(const Matrix& m, int64_t first, int64_t count, int64_t k, const Tile& tile,
                     float* out, int64_t out_size);

// How many panels of a matrix are multiplied before what comes next reads their results: the other matrix
// of an epilogue, whose panels lie elsewhere, or the next tile. Few rows are bound by the memory, which is
// read fastest in long runs; of many rows, a tile and two panels fit the first level cache.
constexpr int64_t run_floats = 2048, out_floats = 8192;  // results of a tile; of several tiles of two panels
int64_t panels_together(int64_t rows, int64_t in_chunk, int64_t in_matrix);
// How many of the rows that are left one multiply_panels() takes for these matrices: a tile's, or, where the
// path has a kernel for two panels, those of as many pairs of full tiles as there is room for the results.
int rows_at_once(const Matrix* m, int matrices, int64_t panels, int64_t left);

template <class T>
T* pointer(uint64_t address) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}
// Row `row` of f32 at an address; null stays null.
inline const float* row_at(uint64_t address, int64_t row, int64_t stride) {
  return address == 0 ? nullptr : pointer<const float>(address + static_cast<uint64_t>(row * stride));
}

}  // namespace pl
