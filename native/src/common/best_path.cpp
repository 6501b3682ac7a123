// Prints the best path that this machine can run: a program of the build, no part of the library.
#include <cstdio>

#include "cpu.h"

int main() {
  for (const pl::Path path : pl::best_first) {
    if (!pl::supports(path)) continue;
    std::puts(pl::path_name(path));
    return 0;
  }
  return 1;
}
