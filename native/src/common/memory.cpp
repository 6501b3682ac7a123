// Memory: for panels, and how fast it can be read.
//
// Panels are aligned for vector loads, with huge pages where the system has them, because
// streaming hundreds of megabytes through 4 KiB pages costs a measurable share of the bandwidth.
//
// Large blocks come right from the system and go right back to it. In the C library's heap they would leave gaps
// that the next model's blocks do not fit, so that a process that loads one model after another grows.
#include <cstdlib>
#include <cstring>

#include "../../include/paceline.h"

#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {
constexpr size_t kHuge = size_t{2} << 20, kLarge = size_t{1} << 20, kPage = size_t{1} << 14;

size_t whole(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }
}  // namespace

#if defined(__linux__) || defined(__APPLE__)
PL_API void* pl_alloc(int64_t bytes) {
  if (bytes <= 0) return nullptr;
  const size_t size = static_cast<size_t>(bytes);
  void* pointer = nullptr;
  if (size < kLarge) return posix_memalign(&pointer, 64, size) == 0 ? pointer : nullptr;
  const size_t own = whole(size, kPage), spare = size >= 2 * kHuge ? kHuge : 0;
  pointer = mmap(nullptr, own + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (pointer == MAP_FAILED) return nullptr;
  if (spare == 0) return pointer;
  // What lies before and behind the aligned part goes back.
  char* const first = static_cast<char*>(pointer);
  const size_t before = whole(reinterpret_cast<uintptr_t>(first), kHuge) - reinterpret_cast<uintptr_t>(first);
  if (before > 0) munmap(first, before);
  if (before < spare) munmap(first + before + own, spare - before);
#if defined(__linux__)
  madvise(first + before, own, MADV_HUGEPAGE);
#endif
  return first + before;
}

PL_API void pl_free(void* pointer, int64_t bytes) {
  if (pointer == nullptr) return;
  const size_t size = static_cast<size_t>(bytes);
  if (size < kLarge)
    free(pointer);
  else
    munmap(pointer, whole(size, kPage));
}
#else
#error "this platform has no pl_alloc"
#endif

PL_API void pl_large_blocks_apart(void) {
#if defined(__GLIBC__)
  // Without it the limit grows with every block that is freed, up to 32 MiB.
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLarge));
#endif
}

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
