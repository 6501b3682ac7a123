// Element types of caches: which heads they take, and how long rows are.
#pragma once
#include <cstdint>

#include "../../include/paceline.h"
#include "block.h"

namespace pl {
namespace attention {

inline bool type_fits(int64_t type, int64_t dim) {
  if (type == PL_CACHE_I16) return dim > 0 && dim % 64 == 0 && dim <= 256;
  return type == PL_CACHE_F32 || type == PL_CACHE_F16 || (type == PL_CACHE_Q8_0 && dim % 32 == 0);
}

// Scales of integer values lie behind integer keys.
inline bool types_fit(int64_t k_type, int64_t k_dim, int64_t v_type, int64_t v_dim) {
  return type_fits(k_type, k_dim) && type_fits(v_type, v_dim) && (k_type == PL_CACHE_I16) == (v_type == PL_CACHE_I16);
}
// Whether blocks of integers have room for all heads, and scales lie at whole floats.
inline bool rows_fit(int64_t k_type, int64_t k_dim, int64_t v_dim, int64_t kv_heads, const pl_cache_slice& slice) {
  if (k_type != PL_CACHE_I16) return true;
  return (slice.k | static_cast<uint64_t>(slice.k_stride)) % 4 == 0 &&
         kTilePositions * slice.k_stride >= kv_heads * key_block_bytes(k_dim) &&
         kTilePositions * slice.v_stride >= kv_heads * value_block_bytes(v_dim);
}
// Bytes of n elements of a cache row.
inline int64_t bytes_of(int64_t type, int64_t n) {
  return type == PL_CACHE_F32 ? 4 * n : type == PL_CACHE_Q8_0 ? n / 32 * 34 : 2 * n;
}

}  // namespace attention
}  // namespace pl
