// Mixture of experts: each token has its own matrices out of a stack. Tokens are grouped by expert, so
// that the rows of a chosen expert are read once for all its tokens, and gathered into tiles like those
// of one matrix: a token gives the same bytes as if it came alone.
#include <cstring>

#include "linear.h"
#include "../common/threads.h"
#include "../experts/cache.h"

namespace pl {
namespace {

thread_local Scratch list_memory, tile_memory, aux_memory[2];

// (token, slot) pairs by expert: entries[start[e]] to entries[start[e + 1]], in ascending order.
struct Groups {
  int64_t *start, *entries;
  int64_t *chosen;  // experts with any entry
  int64_t count;
};

int32_t expert_of(const pl_moe& m, int64_t entry) {
  const uint64_t row = m.ids + static_cast<uint64_t>(entry / m.slots * m.ids_stride);
  return pointer<const int32_t>(row)[entry % m.slots];
}

Groups group(const pl_moe& m) {
  const int64_t entries = m.tokens * m.slots;
  int64_t* memory = static_cast<int64_t*>(
      list_memory.get((2 * m.experts + 2 + entries) * static_cast<int64_t>(sizeof(int64_t))));
  Groups g{memory, memory + 2 * m.experts + 2, memory + m.experts + 2, 0};
  std::memset(g.start, 0, static_cast<size_t>(m.experts + 2) * sizeof(int64_t));
  // Counted two places ahead, so that placing the entries leaves the starts where they belong.
  for (int64_t i = 0; i < entries; ++i) {
    const int64_t e = expert_of(m, i);
    if (e >= 0 && e < m.experts) ++g.start[e + 2];
  }
  for (int64_t e = 0; e < m.experts; ++e) {
    if (g.start[e + 2] > 0) g.chosen[g.count++] = e;
    g.start[e + 2] += g.start[e + 1];
  }
  for (int64_t i = 0; i < entries; ++i) {
    const int64_t e = expert_of(m, i);
    if (e >= 0 && e < m.experts) g.entries[g.start[e + 1]++] = i;
  }
  return g;
}

// Where the panels of the chosen experts are.
class Panels {
 public:
  Panels(const pl_moe& m, const Matrix* matrices, int parts)
      : m_(m), matrices_(matrices), parts_(parts), cache_(pointer<experts::Cache>(m.cache)) {}
  // The order in which experts are computed; false: nothing can be.
  bool order(Groups& g) const {
    return cache_ == nullptr || experts::order_of(*cache_, m_.layer, g.count, g.chosen, m_.abort);
  }
  // Points `out` to those of the expert at a position, once they are there; false: computing stops.
  bool find(int64_t position, int64_t expert, Matrix* out) const {
    const int64_t strides[] = {m_.bytes0, m_.bytes1}, part[] = {m_.part0, m_.part1};
    const uint8_t* slot = nullptr;
    if (cache_ != nullptr) {
      const uint32_t mask = 1u << part[0] | (parts_ > 1 ? 1u << part[1] : 0u);
      slot = experts::slot_of(*cache_, m_.layer, position, part[0], mask, matrices_[0].count, m_.abort);
      if (slot == nullptr) return false;
    }
    for (int j = 0; j < parts_; ++j) {
      out[j] = matrices_[j];
      if (slot != nullptr) out[j].panels = slot + experts::place_of(*cache_, m_.layer, part[j]);
      else out[j].panels += expert * strides[j];
    }
    return true;
  }
  void computed(int64_t position, int64_t panels) const {
    if (cache_ != nullptr) experts::computed(*cache_, position, panels);
  }

 private:
  const pl_moe& m_;
  const Matrix* matrices_;
  int parts_;
  experts::Cache* cache_;
};

// The activation rows of one expert's entries, as tiles of their own.
struct Gathered {
  Act act;
  float* x;
  int64_t rows;
};

Gathered gather(const pl_moe& m, const int64_t* entries, int64_t rows) {
  const LinearPath& p = linear_path();
  const int64_t blocks = m.k / 32, padded = rows + max_tile_rows;
  const int64_t q_bytes = align_up(padded * m.k, 64), d_bytes = align_up(padded * blocks * 4, 64);
  const int64_t quantized = m.act ? q_bytes + 2 * d_bytes : 0;
  uint8_t* memory = static_cast<uint8_t*>(tile_memory.get(quantized + (m.x ? rows * m.k * 4 : 0) + 64));
  Gathered g{};
  g.rows = rows;
  const bool shared = m.act_rows == m.tokens;
  if (m.x) {
    g.x = reinterpret_cast<float*>(memory + quantized);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = shared ? entries[i] / m.slots : entries[i];
      std::memcpy(g.x + i * m.k, pointer<const float>(m.x + static_cast<uint64_t>(row * m.x_stride)),
                  static_cast<size_t>(m.k) * 4);
    }
  }
  if (!m.act) return g;
  const Act from = act_at(m.act, m.k, m.act_rows);
  g.act = {reinterpret_cast<int8_t*>(memory), reinterpret_cast<float*>(memory + q_bytes),
           reinterpret_cast<int16_t*>(memory + q_bytes + d_bytes)};
  for (int64_t first = 0; first < rows; first += p.tile_rows) {
    const int real = static_cast<int>(rows - first < p.tile_rows ? rows - first : p.tile_rows);
    const int to = p.padded[real];
    for (int t = 0; t < to; ++t) {
      int8_t* q = g.act.q + first * m.k + t * 32;
      float* d = g.act.d + first * blocks + t;
      int16_t* s = g.act.s + first * blocks * 2 + t;
      if (t >= real) {
        for (int64_t b = 0; b < blocks; ++b) {
          std::memset(q + b * to * 32, 0, 32);
          d[b * to] = 0;
          s[b * 2 * to] = s[(b * 2 + 1) * to] = 0;
        }
        continue;
      }
      const int64_t row = shared ? entries[first + t] / m.slots : entries[first + t];
      const int64_t tile = row / p.tile_rows * p.tile_rows;
      const int64_t left = m.act_rows - tile;
      const int wide = left < p.tile_rows ? p.padded[left] : p.tile_rows;
      const int64_t at = row - tile;
      const int8_t* q0 = from.q + tile * m.k + at * 32;
      const float* d0 = from.d + tile * blocks + at;
      const int16_t* s0 = from.s + tile * blocks * 2 + at;
      for (int64_t b = 0; b < blocks; ++b) {
        std::memcpy(q + b * to * 32, q0 + b * wide * 32, 32);
        d[b * to] = d0[b * wide];
        s[b * 2 * to] = s0[b * 2 * wide];
        s[(b * 2 + 1) * to] = s0[(b * 2 + 1) * wide];
      }
    }
  }
  return g;
}

}  // namespace
}  // namespace pl

using namespace pl;

PL_API void pl_op_moe(void*, int ith, int nth, void* params) {
  pl_moe& m = *static_cast<pl_moe*>(params);
  const LinearPath& p = linear_path();
  const int64_t blocks = m.k / 32;
  const int parts = m.epilogue != 0 ? 2 : 1;
  Groups groups = group(m);
  const Matrix stacks[2] = {make_matrix(m.panels0, m.type0, m.k, m.n0),
                            parts > 1 ? make_matrix(m.panels1, m.type1, m.k, m.n1) : Matrix{}};
  const Matrix &first = stacks[0], &second = stacks[1];
  const Panels panels(m, stacks, parts);
  if (!panels.order(groups)) groups.count = 0;
  if (ith == 0) {
    for (int64_t i = 0; i < m.tokens * m.slots; ++i) {
      const int32_t e = expert_of(m, i);
      if (e >= 0 && e < m.experts) continue;
      std::memset(pointer<void>(m.dst + static_cast<uint64_t>(i * m.stride)), 0,
                  static_cast<size_t>(m.n0) * 4);
    }
  }
  const int64_t least = least_panels(first, first.bytes + (parts > 1 ? second.bytes : 0), 1);
  Chunks work(&m.next, &m.finished, groups.count * first.count, least, nth);
  int64_t held = -1;  // the expert whose rows are gathered
  Gathered rows{};
  uint8_t* aux[2] = {};
  alignas(64) float out[2][out_floats];
  for (int64_t unit = 0, end = 0; work.take(unit, end);) {
    bool fresh = true;
    for (int64_t together; unit < end; unit += together) {
      const int64_t position = unit / first.count, panel = unit % first.count;
      const int64_t expert = groups.chosen[position];
      const int64_t* entries = groups.entries + groups.start[expert];
      Matrix matrices[2];
      if (!panels.find(position, expert, matrices)) return;
      if (fresh) prefetch_panels(matrices[0], panel);
      fresh = false;
      if (expert != held) {
        held = expert;
        rows = gather(m, entries, groups.start[expert + 1] - groups.start[expert]);
        for (int j = 0; j < parts; ++j) {
          const int64_t bytes = p.aux_bytes[matrices[j].format];
          aux[j] = nullptr;
          if (bytes == 0) continue;
          aux[j] = static_cast<uint8_t*>(
              aux_memory[j].get((rows.rows + max_tile_rows) * blocks * bytes));
          make_pass_aux(matrices[j].format, rows.act, m.k, rows.rows, 0, rows.rows, aux[j]);
        }
      }
      together = panels_together(rows.rows, end - unit, first.count - panel);
      int here;
      for (int64_t r = 0; r < rows.rows; r += here) {
        if (aborted(m.abort)) return;
        here = rows_at_once(matrices, parts, together, rows.rows - r);
        const int64_t out_size = int64_t{here < p.tile_rows ? p.padded[here] : here} * p.width;
        Tile tile{{}, nullptr, nullptr, m.k, here};
        if (m.act) tile.act = {rows.act.q + r * m.k, rows.act.d + r * blocks, nullptr};
        if (m.x) tile.x = rows.x + r * m.k;
        for (int j = 0; j < parts; ++j) {
          if (aux[j]) tile.aux = aux[j] + r * blocks * p.aux_bytes[matrices[j].format];
          multiply_panels(matrices[j], panel, together, m.k, tile, out[j], out_size);
        }
        for (int64_t i = 0; i < together; ++i) {
          const int64_t column = (panel + i) * p.width;
          const int width = static_cast<int>(m.n0 - column < p.width ? m.n0 - column : p.width);
          for (int t = 0; t < here; ++t) {
            uint8_t* to = pointer<uint8_t>(m.dst) + entries[r + t] * m.stride + column * 4;
            const int64_t from = i * out_size + t * p.width;
            p.finish(static_cast<int>(m.epilogue), out[0] + from, out[1] + from, nullptr, 0, to, 0, 1,
                     width);
          }
        }
      }
      panels.computed(position, together);
    }
  }
}

PL_API void pl_op_expert_sum(void*, int ith, int nth, void* params) {
  const pl_expert_sum& e = *static_cast<const pl_expert_sum*>(params);
  // Tokens are shared out, or pieces of them when there are few.
  const int64_t pieces = e.tokens < 4 * nth ? nth : 1, piece = align_up((e.n + pieces - 1) / pieces, 64);
  for (int64_t i = ith; i < e.tokens * pieces; i += nth) {
    const int64_t token = i / pieces, first = i % pieces * piece;
    const int64_t count = e.n - first < piece ? e.n - first : piece;
    if (count <= 0) continue;
    const float* residual = row_at(e.residual, token, e.residual_stride);
    if (residual != nullptr) residual += first;
    linear_path().weighted_sum(pointer<const float>(e.parts) + token * e.slots * e.n + first, e.n, e.slots,
                               pointer<const float>(e.weights) + token * e.slots, residual,
                               pointer<float>(e.dst) + token * e.n + first, count);
  }
}
