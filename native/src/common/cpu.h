// Which instruction sets this CPU and operating system can run, and the one chosen.
#pragma once

namespace pl {

enum class Path { scalar = 0, neon, avx2, avxvnni, avx512, avx512vbmi, amx, none };
constexpr Path best_first[] = {Path::amx,  Path::avx512vbmi, Path::avx512, Path::avxvnni,
                               Path::avx2, Path::neon,       Path::scalar};

// The chosen path; valid after pl_init().
Path path();
// Whether CPU and operating system can run it.
bool supports(Path path);
const char* path_name(Path path);

}  // namespace pl
