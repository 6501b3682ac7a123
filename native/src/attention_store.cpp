// Rows on their way into caches: stores, rotation before them, and its table.
#include <cmath>

#include "../include/paceline.h"
#include "attention.h"
#include "attention_types.h"

namespace pl {
namespace attention {
namespace {

// False where integers cannot be stored: then nothing is.
bool storable(int64_t k_type, int64_t k_width, int64_t v_type, int64_t v_width, int64_t heads,
              const pl_cache_slice& slice) {
  if (k_type != PL_CACHE_I16 && v_type != PL_CACHE_I16) return true;
  return heads > 0 && k_width % heads == 0 && v_width % heads == 0 &&
         types_fit(k_type, k_width / heads, v_type, v_width / heads) &&
         rows_fit(k_type, k_width / heads, heads, slice);
}
// A row of keys or values into its cache row, whose scales, if any, lie at `scales`.
void store_heads(const Ops& o, const float* x, uint8_t* out, int64_t width, int64_t heads, int64_t type,
                 uint8_t* scales) {
  if (type != PL_CACHE_I16) return o.store(x, out, width, static_cast<int>(type), nullptr);
  const int64_t dim = width / heads;
  for (int64_t h = 0; h < heads; h++)
    o.store(x + h * dim, out + 2 * h * dim, dim, PL_CACHE_I16, scales + 4 * h);
}

}  // namespace
}  // namespace attention
}  // namespace pl

using namespace pl;
using namespace pl::attention;

PL_API void pl_op_cache_store(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_cache_store*>(params);
  const Ops& o = ops();
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  const auto at = [](uint64_t base, int64_t offset) { return reinterpret_cast<uint8_t*>(base + offset); };
  int64_t total = 0;
  for (int64_t i = 0; i < p.slice_count; i++) total += slices[i].count > 0 ? 2 * slices[i].count : 0;
  const int64_t begin = total * ith / nth, end = total * (ith + 1) / nth;
  int64_t index = 0;
  for (int64_t i = 0; i < p.slice_count; i++) {
    const pl_cache_slice& c = slices[i];
    if (!storable(p.k_type, p.k_width, p.v_type, p.v_width, p.kv_heads, c)) return;
    for (int64_t r = 0; r < c.count; r++) {
      uint8_t* keys = at(c.k, (c.past + r) * c.k_stride);
      uint8_t* scales = keys + 2 * p.k_width;
      if (index >= begin && index < end)
        store_heads(o, reinterpret_cast<const float*>(at(p.k, (c.first + r) * p.k_row_stride)), keys, p.k_width,
                    p.kv_heads, p.k_type, scales);
      index++;
      if (index >= begin && index < end)
        store_heads(o, reinterpret_cast<const float*>(at(p.v, (c.first + r) * p.v_row_stride)),
                    at(c.v, (c.past + r) * c.v_stride), p.v_width, p.kv_heads, p.v_type, scales + 4 * p.kv_heads);
      index++;
    }
  }
}

PL_API void pl_op_rope_table(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_rope_table*>(params);
  const auto* positions = reinterpret_cast<const int32_t*>(p.positions);
  const auto* factors = reinterpret_cast<const float*>(p.factors);
  const int64_t half = p.dims / 2;
  // In f32 and step by step, as ggml does it, so that long contexts turn by the same angles.
  const float step = powf(static_cast<float>(p.base), -2.0f / static_cast<float>(p.dims));
  const float scale = static_cast<float>(p.scale), yarn = static_cast<float>(p.yarn);
  const float low = static_cast<float>(p.low), high = static_cast<float>(p.high);
  float magnitude = static_cast<float>(p.magnitude);
  if (yarn != 0.0f) magnitude *= 1.0f + 0.1f * logf(1.0f / scale);
  for (int64_t r = p.rows * ith / nth; r < p.rows * (ith + 1) / nth; r++) {
    float* cosine = reinterpret_cast<float*>(p.out) + r * p.dims;
    float* sine = cosine + half;
    float theta = static_cast<float>(positions[r]);
    for (int64_t i = 0; i < half; i++, theta *= step) {
      const float own = factors ? theta / factors[i] : theta;
      float angle = scale * own;
      if (yarn != 0.0f) {
        const float width = high - low > 0.001f ? high - low : 0.001f;
        float ramp = (static_cast<float>(i) - low) / width;
        ramp = 1.0f - (ramp < 0.0f ? 0.0f : ramp > 1.0f ? 1.0f : ramp);
        ramp *= yarn;
        angle = angle * (1.0f - ramp) + own * ramp;
      }
      cosine[i] = cosf(angle) * magnitude;
      sine[i] = sinf(angle) * magnitude;
    }
  }
}

PL_API void pl_op_rotate_store(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_rotate_store*>(params);
  const Ops& o = ops();
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  const auto* q_norm = reinterpret_cast<const float*>(p.q_norm);
  const auto* k_norm = reinterpret_cast<const float*>(p.k_norm);
  const int dim = static_cast<int>(p.head_dim);
  if (dim <= 0 || dim > 4096) return;
  const int rotated = p.table ? static_cast<int>(p.dims) : 0;
  const auto eps = static_cast<float>(p.eps);
  const int k_type = static_cast<int>(p.k_type), v_type = static_cast<int>(p.v_type);
  const int64_t head_bytes = bytes_of(k_type, p.head_dim);
  int64_t total = 0;
  for (int64_t i = 0; i < p.slice_count; i++) total += slices[i].count > 0 ? slices[i].count : 0;
  const int64_t begin = total * ith / nth, end = total * (ith + 1) / nth;
  alignas(64) float head[4096];
  int64_t index = 0;
  for (int64_t i = 0; i < p.slice_count; i++) {
    const pl_cache_slice& c = slices[i];
    if (!storable(k_type, p.head_dim * p.kv_heads, v_type, p.v_width, p.kv_heads, c)) return;
    for (int64_t r = 0; r < c.count; r++, index++) {
      if (index < begin || index >= end) continue;
      const int64_t row = c.first + r, position = c.past + r;
      const float* table = reinterpret_cast<const float*>(p.table) + (p.table ? row * p.dims : 0);
      const float* q = reinterpret_cast<const float*>(p.q + row * p.q_stride);
      float* q_out = reinterpret_cast<float*>(p.q_out) + row * p.heads * p.head_dim;
      for (int64_t h = 0; h < p.heads; h++)
        o.rotate(q + h * dim, q_norm, eps, table, dim, rotated, p.halves != 0, q_out + h * dim);
      const float* k = reinterpret_cast<const float*>(p.k + row * p.k_row_stride);
      auto* to = reinterpret_cast<uint8_t*>(c.k + position * c.k_stride);
      uint8_t* scales = to + 2 * p.kv_heads * p.head_dim;
      for (int64_t h = 0; h < p.kv_heads; h++) {
        o.rotate(k + h * dim, k_norm, eps, table, dim, rotated, p.halves != 0, head);
        o.store(head, to + h * head_bytes, dim, k_type, scales + 4 * h);
      }
      store_heads(o, reinterpret_cast<const float*>(p.v + row * p.v_row_stride),
                  reinterpret_cast<uint8_t*>(c.v + position * c.v_stride), p.v_width, p.kv_heads, v_type,
                  scales + 4 * p.kv_heads);
    }
  }
}
