// Memory for panels: aligned for vector loads, with huge pages where the system has them, because
// streaming hundreds of megabytes through 4 KiB pages costs a measurable share of the bandwidth.
#include <cstdlib>

#include "../include/paceline.h"

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

PL_API void pl_resolve(uint64_t* const* slots, int64_t count, int64_t offset) {
  for (int64_t i = 0; i < count; ++i)
    *slots[i] = *reinterpret_cast<const uint64_t*>(static_cast<uintptr_t>(*slots[i]) + offset);
}
