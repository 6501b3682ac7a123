// Memory: for panels, and how fast it can be read.
//
// Panels are aligned for vector loads, with huge pages where the system has them, because
// streaming hundreds of megabytes through 4 KiB pages costs a measurable share of the bandwidth.
#include <cstdlib>
#include <cstring>

#include "../../include/paceline.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

PL_API void* pl_alloc(int64_t bytes) {
  if (bytes <= 0) return nullptr;
  const size_t huge = size_t{2} << 20;
  const size_t alignment = static_cast<size_t>(bytes) >= 2 * huge ? huge : 64;
  void* pointer = nullptr;
  if (posix_memalign(&pointer, alignment, static_cast<size_t>(bytes)) != 0) return nullptr;
#if defined(__linux__)
  if (alignment == huge) madvise(pointer, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
  return pointer;
}

PL_API void pl_free(void* pointer, int64_t) { free(pointer); }

PL_API void pl_fill_memory(void* pointer, int64_t bytes) {
  std::memset(pointer, 0x55, static_cast<size_t>(bytes));
}

// One stream leaves a core's prefetchers idle at every page. With four, a Cascade Lake core reads 12.5
// GB/s instead of 11.
PL_API int64_t pl_read_memory(const void* pointer, int64_t bytes) {
  typedef int64_t Lanes __attribute__((vector_size(16), may_alias));
  constexpr int64_t streams = 4, line = 64, ahead = 2048;
  const char* base = static_cast<const char*>(pointer);
  const int64_t each = bytes / (streams * line) * line;
  Lanes sum[4] = {};
  for (int64_t at = 0; at < each; at += line) {
    for (int64_t s = 0; s < streams; ++s) {
      const char* p = base + s * each + at;
      __builtin_prefetch(p + ahead);
      for (int64_t i = 0; i < 4; ++i) {
        Lanes x;
        std::memcpy(&x, p + 16 * i, 16);
        sum[i] ^= x;
      }
    }
  }
  const Lanes all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
  return all[0] ^ all[1];
}

PL_API void pl_resolve(uint64_t* const* slots, int64_t count, int64_t offset) {
  for (int64_t i = 0; i < count; ++i)
    *slots[i] = *reinterpret_cast<const uint64_t*>(static_cast<uintptr_t>(*slots[i]) + offset);
}
