// The path that the kernels take: the best one that the machine can run, or the one that is forced.
#include <cstdio>
#include <cstring>

#include "../../include/paceline.h"
#include "built.h"
#include "cpu.h"
#include "threads.h"

namespace pl {
namespace {

Path chosen = Path::none;
char error_text[256] = "pl_init was not called";
char paths_text[128] = "";

bool usable(Path p) { return supports(p) && built(p); }

}  // namespace

Path path() { return chosen; }

}  // namespace pl

using namespace pl;

PL_API int pl_init(const char* forced) {
  paths_text[0] = 0;
  for (Path p : best_first) {
    if (!usable(p)) continue;
    if (paths_text[0]) std::strcat(paths_text, ",");
    std::strcat(paths_text, path_name(p));
  }
  for (Path p : best_first) {
    if (forced && *forced && std::strcmp(forced, path_name(p)) != 0) continue;
    if (usable(p)) {
      chosen = p;
      error_text[0] = 0;
      return 0;
    }
    if (forced && *forced) {
      std::snprintf(error_text, sizeof error_text,
                    supports(p) ? "PACELINE_CPU=%s is not in this build (it has: %s)"
                                : "PACELINE_CPU=%s is not supported by this machine (it can run: %s)",
                    forced, paths_text);
      return 1;
    }
  }
  if (!forced || !*forced) {
    std::snprintf(error_text, sizeof error_text, "The kernels were built for other processors than this one");
    return 1;
  }
  std::snprintf(error_text, sizeof error_text, "PACELINE_CPU=%.32s is not a known path (known: %s)",
                forced, "amx, avx512vbmi, avx512, avxvnni, avx2, neon, scalar");
  return 1;
}

PL_API const char* pl_error(void) { return error_text; }
PL_API const char* pl_path(void) { return path_name(chosen); }
PL_API const char* pl_paths(void) { return paths_text; }
PL_API bool pl_abort_flag(void* flag) {
  return aborted(reinterpret_cast<uintptr_t>(flag));
}
