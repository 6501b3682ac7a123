#include "cpu.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../include/paceline.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace pl {
namespace {

Path chosen = Path::none;
char error_text[256] = "pl_init was not called";
char paths_text[128] = "";

#if defined(__x86_64__)
struct X86 {
  bool avx2 = false, avxvnni = false, avx512 = false;
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
  }
};
const X86& x86() {
  static const X86 facts;
  return facts;
}
#endif

const Path order[] = {Path::avx512, Path::avxvnni, Path::avx2, Path::neon, Path::scalar};

}  // namespace

bool supports(Path p) {
  switch (p) {
    case Path::scalar:
      return true;
#if defined(__x86_64__)
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

Path path() { return chosen; }

}  // namespace pl

using namespace pl;

PL_API int pl_init(const char* forced) {
  paths_text[0] = 0;
  for (Path p : order) {
    if (!supports(p)) continue;
    if (paths_text[0]) std::strcat(paths_text, ",");
    std::strcat(paths_text, path_name(p));
  }
  for (Path p : order) {
    if (forced && *forced && std::strcmp(forced, path_name(p)) != 0) continue;
    if (supports(p)) {
      chosen = p;
      error_text[0] = 0;
      return 0;
    }
    if (forced && *forced) {
      std::snprintf(error_text, sizeof error_text,
                    "PACELINE_CPU=%s is not supported by this machine (it can run: %s)", forced,
                    paths_text);
      return 1;
    }
  }
  std::snprintf(error_text, sizeof error_text, "PACELINE_CPU=%.32s is not a known path (known: %s)",
                forced ? forced : "", "avx512, avxvnni, avx2, neon, scalar");
  return 1;
}

PL_API const char* pl_error(void) { return error_text; }
PL_API const char* pl_path(void) { return path_name(chosen); }
PL_API const char* pl_paths(void) { return paths_text; }
PL_API bool pl_abort_flag(void* flag) {
  return __atomic_load_n(static_cast<const int*>(flag), __ATOMIC_RELAXED) != 0;
}
