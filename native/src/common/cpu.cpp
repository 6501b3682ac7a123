// What this CPU and operating system can run.
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(PL_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace pl {
namespace {

#if defined(__x86_64__)
struct X86 {
  bool avx2 = false, avxvnni = false, avx512 = false, avx512vbmi = false, amx = false;
  X86() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29);
    if (!osxsave) return;
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    const bool ymm = (lo & 0x06) == 0x06, zmm = (lo & 0xe6) == 0xe6;
    unsigned b7, c7, d7, a71 = 0, b71, c71, d71;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return;
    if (a >= 1) __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
    const bool bmi2 = b7 & (1u << 8);
    avx2 = ymm && (b7 & (1u << 5)) && fma && f16c && bmi2;
    avxvnni = avx2 && (a71 & (1u << 4));
    const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    avx512 = avx2 && zmm && (b7 & f) && (b7 & dq) && (b7 & bw) && (b7 & vl) && (c7 & (1u << 11));
    avx512vbmi = avx512 && (c7 & (1u << 1)) && (c7 & (1u << 8));  // and GFNI
    const bool tiles = (lo & 0x60000) == 0x60000 && (d7 & (1u << 24)), int8 = d7 & (1u << 25);
    amx = avx512vbmi && tiles && int8 && large_tiles() && tiles_permitted();
  }
  // Palette 1 has the eight tiles of 16 rows of 64 bytes that the kernels configure.
  static bool large_tiles() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) return false;
    return (b >> 16) >= 8 && (b & 0xffff) >= 64 && (c & 0xffff) >= 16;
  }
  // Linux keeps room for the tiles only for processes that ask. It refuses when a thread's stack for
  // signals is too small for them, and older kernels do not know the request.
  static bool tiles_permitted() {
#if defined(PL_AMX)
    const long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
    return false;
#endif
  }
};
const X86& x86() {
  static const X86 facts;
  return facts;
}
#endif

}  // namespace

bool supports(Path p) {
  switch (p) {
    case Path::scalar:
      return true;
#if defined(__x86_64__)
    case Path::amx:
      return x86().amx;
    case Path::avx512vbmi:
      return x86().avx512vbmi;
    case Path::avx512:
      return x86().avx512;
    case Path::avxvnni:
      return x86().avxvnni;
    case Path::avx2:
      return x86().avx2;
#elif defined(__aarch64__)
    case Path::neon: {
#if defined(__linux__)
      return getauxval(AT_HWCAP) & (1ul << 20);  // HWCAP_ASIMDDP
#elif defined(__APPLE__)
      int has = 0;
      size_t size = sizeof has;
      return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has;
#else
      return false;
#endif
    }
#endif
    default:
      return false;
  }
}

const char* path_name(Path p) {
  switch (p) {
    case Path::amx:
      return "amx";
    case Path::avx512vbmi:
      return "avx512vbmi";
    case Path::avx512:
      return "avx512";
    case Path::avxvnni:
      return "avxvnni";
    case Path::avx2:
      return "avx2";
    case Path::neon:
      return "neon";
    case Path::scalar:
      return "scalar";
    default:
      return "none";
  }
}

}  // namespace pl
