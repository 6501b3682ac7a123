// Rows on their way into caches: stores, rotation before them, and its table.
#include <cmath>
#include <cstring>

#include "../../include/paceline.h"
#include "../common/cpu.h"
#include "angles.h"
#include "attention.h"
#include "types.h"

namespace pl {
namespace attention {
namespace {

// False where a row cannot be stored: then nothing is.
bool storable(int64_t k_type, int64_t k_width, int64_t v_type, int64_t v_width, int64_t heads,
              const pl_cache_slice& slice) {
  return heads > 0 && k_width % heads == 0 && v_width % heads == 0 &&
         types_fit(k_type, k_width / heads, v_type, v_width / heads) &&
         rows_fit(k_type, k_width / heads, v_width / heads, heads, slice);
}

// Positions [first, first + count) of a slice's rows, of one KV head.
struct Part {
  const pl_cache_slice* slice;
  int64_t first, count, head;
};

// Calls f for a thread's share of all rows and KV heads. Integers of 16 positions share lines of memory, which one thread
// has to write: they are one part, other rows are parts of their own.
template <class F>
void share(uint64_t list, int64_t slice_count, int64_t heads, int64_t type, int ith, int nth, F f) {
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(list);
  const int64_t size = type == PL_CACHE_I16 ? kTileColumns : 1;
  const auto runs = [&](const pl_cache_slice& s) {
    return s.count > 0 ? (s.past + s.count - 1) / size - s.past / size + 1 : 0;
  };
  int64_t total = 0, index = 0;
  for (int64_t i = 0; i < slice_count; i++) total += runs(slices[i]) * heads;
  const int64_t begin = total * ith / nth, end = total * (ith + 1) / nth;
  for (int64_t i = 0; i < slice_count; i++) {
    const pl_cache_slice& s = slices[i];
    for (int64_t r = 0; r < runs(s); r++) {
      const int64_t from = (s.past / size + r) * size, to = from + size;
      const int64_t first = from > s.past ? from - s.past : 0, last = to - s.past < s.count ? to - s.past : s.count;
      for (int64_t head = 0; head < heads; head++, index++)
        if (index >= begin && index < end) f(Part{&s, first, last - first, head});
    }
  }
}

// KV heads of positions on their way into a cache.
struct HeadStore {
  const Ops& o;
  int64_t k_type, v_type, dim, v_dim;
  uint64_t overflow;

  // The part's rows of keys and of values, some floats apart.
  void put(const Part& part, const float* k, int64_t k_step, const float* v, int64_t v_step) const {
    const pl_cache_slice& c = *part.slice;
    if (k_type == PL_CACHE_I16) {
      const int at = static_cast<int>((c.past + part.first) % kTilePositions), count = static_cast<int>(part.count);
      uint8_t* keys = key_block(part);
      auto* scales = reinterpret_cast<float*>(keys + scales_of_keys(dim));
      o.store_keys(k, k_step, count, static_cast<int>(dim), at, keys, scales);
      o.store_values(v, v_step, count, static_cast<int>(v_dim), at, value_block(part), scales + kTilePositions);
      return;
    }
    const int64_t position = c.past + part.first;
    auto* keys = reinterpret_cast<uint8_t*>(c.k) + position * c.k_stride + part.head * bytes_of(k_type, dim);
    auto* values = reinterpret_cast<uint8_t*>(c.v) + position * c.v_stride + part.head * bytes_of(v_type, v_dim);
    for (int64_t r = 0; r < part.count; r++) {
      check(o.store(k + r * k_step, keys + r * c.k_stride, dim, static_cast<int>(k_type)), k_type);
      check(o.store(v + r * v_step, values + r * c.v_stride, v_dim, static_cast<int>(v_type)), v_type);
    }
  }

 private:
  void check(bool held, int64_t type) const {
    // Every thread would write the same, but for pairs of types, of which any will do.
    if (!held && overflow) __atomic_store_n(reinterpret_cast<int32_t*>(overflow), static_cast<int32_t>(type), __ATOMIC_RELAXED);
  }
  static int64_t block_of(const Part& part) {
    return (part.slice->past + part.first) / kTilePositions * kTilePositions;
  }
  uint8_t* key_block(const Part& part) const {
    const pl_cache_slice& c = *part.slice;
    return reinterpret_cast<uint8_t*>(c.k) + block_of(part) * c.k_stride + part.head * key_block_bytes(dim);
  }
  uint8_t* value_block(const Part& part) const {
    const pl_cache_slice& c = *part.slice;
    return reinterpret_cast<uint8_t*>(c.v) + block_of(part) * c.v_stride + part.head * value_block_bytes(v_dim);
  }
};

}  // namespace
}  // namespace attention
}  // namespace pl

using namespace pl;
using namespace pl::attention;

PL_API void pl_op_cache_store(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_cache_store*>(params);
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++)
    if (!storable(p.k_type, p.k_width, p.v_type, p.v_width, p.kv_heads, slices[i])) return;
  const HeadStore to{ops(), p.k_type, p.v_type, p.k_width / p.kv_heads, p.v_width / p.kv_heads, p.overflow};
  share(p.slices, p.slice_count, p.kv_heads, p.k_type, ith, nth,
        [&](const Part& part) {
          const int64_t row = part.slice->first + part.first;
          const auto* k = reinterpret_cast<const float*>(p.k + row * p.k_row_stride) + part.head * to.dim;
          const auto* v = reinterpret_cast<const float*>(p.v + row * p.v_row_stride) + part.head * to.v_dim;
          to.put(part, k, p.k_row_stride / 4, v, p.v_row_stride / 4);
        });
}

PL_API void pl_op_rope_table(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_rope_table*>(params);
  const auto* positions = reinterpret_cast<const int32_t*>(p.positions);
  const auto* factors = reinterpret_cast<const float*>(p.factors);
  const int64_t half = p.dims / 2;
  // In f32 and step by step, as ggml does it, so that long contexts turn by the same angles.
  // The scalar path is the one whose bytes are the same on every machine: it asks no C library.
  const bool fixed = path() == Path::scalar;
  const float base = static_cast<float>(p.base), exponent = -2.0f / static_cast<float>(p.dims);
  const float step = fixed
                         ? static_cast<float>(power(static_cast<double>(base), static_cast<double>(exponent)))
                         : powf(base, exponent);
  const float scale = static_cast<float>(p.scale), yarn = static_cast<float>(p.yarn);
  const float low = static_cast<float>(p.low), high = static_cast<float>(p.high);
  float magnitude = static_cast<float>(p.magnitude);
  if (yarn != 0.0f) {
    const float stretch = 1.0f / scale;
    magnitude *=
        1.0f + 0.1f * (fixed ? static_cast<float>(logarithm(static_cast<double>(stretch))) : logf(stretch));
  }
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
      if (!fixed) {
        cosine[i] = cosf(angle) * magnitude;
        sine[i] = sinf(angle) * magnitude;
        continue;
      }
      const Angle turned = sine_cosine(static_cast<double>(angle));
      cosine[i] = static_cast<float>(turned.cosine) * magnitude;
      sine[i] = static_cast<float>(turned.sine) * magnitude;
    }
  }
}

PL_API void pl_op_rotate_store(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_rotate_store*>(params);
  const Ops& o = ops();
  const auto* q_norm = reinterpret_cast<const float*>(p.q_norm);
  const auto* k_norm = reinterpret_cast<const float*>(p.k_norm);
  const int dim = static_cast<int>(p.head_dim);
  if (dim <= 0 || dim > 4096 || p.kv_heads <= 0 || p.heads % p.kv_heads != 0) return;
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++)
    if (!storable(p.k_type, dim * p.kv_heads, p.v_type, p.v_width, p.kv_heads, slices[i])) return;
  const int rotated = p.table ? static_cast<int>(p.dims) : 0;
  const auto eps = static_cast<float>(p.eps);
  const int64_t group = p.heads / p.kv_heads;
  const HeadStore to{o, p.k_type, p.v_type, dim, p.v_width / p.kv_heads, p.overflow};
  share(p.slices, p.slice_count, p.kv_heads, p.k_type, ith, nth,
        [&](const Part& part) {
          alignas(64) float turned[4096];  // one row of any length, or 16 of integers
          const int64_t first = part.slice->first + part.first;
          for (int64_t i = 0; i < part.count; i++) {
            const int64_t row = first + i;
            const float* table = reinterpret_cast<const float*>(p.table) + (p.table ? row * p.dims : 0);
            const auto turn = [&](const float* x, const float* norm, float* out) {
              o.rotate(x, norm, eps, table, dim, rotated, p.halves != 0, out);
            };
            const auto* q = reinterpret_cast<const float*>(p.q + row * p.q_stride);
            auto* q_out = reinterpret_cast<float*>(p.q_out) + row * p.heads * dim;
            for (int64_t h = part.head * group; h < (part.head + 1) * group; h++)
              turn(q + h * dim, q_norm, q_out + h * dim);
            turn(reinterpret_cast<const float*>(p.k + row * p.k_row_stride) + part.head * dim, k_norm, turned + i * dim);
          }
          const auto* v = reinterpret_cast<const float*>(p.v + first * p.v_row_stride) + part.head * to.v_dim;
          to.put(part, turned, dim, v, p.v_row_stride / 4);
        });
}
