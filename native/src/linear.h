// Shared by the matrix products' ops: the chosen path and the layout of quantised activations.
#pragma once
#include "../include/paceline.h"
#include "cpu.h"
#include "linear_path.h"

namespace pl {

const LinearPath& linear_path();

struct ActLayout {
  int64_t scales, sums, bytes;
};
ActLayout act_layout(int64_t k, int64_t rows);
Act act_at(uint64_t address, int64_t k, int64_t rows);

// Makes the aux of rows [first, last) (whole tiles, or to the end) for tile kernels of a format.
int64_t make_pass_aux(int format, const Act& act, int64_t k, int64_t rows, int64_t first,
                      int64_t last, void* to);

}  // namespace pl
