// The pool: every part of every operation is done once, whoever frees or leaves it. Prints `ok`.
// Arguments: operations. Meant to be run under ThreadSanitizer as well.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../include/paceline.h"

namespace {

struct Work {
  std::vector<std::atomic<int>> done;
  std::atomic<int> parts{0};
  int64_t plain[64] = {};  // written by a part, read by the caller afterwards
  explicit Work(size_t n) : done(n) {}
};

void op(void*, int part, int parts, void* params) {
  Work& work = *static_cast<Work*>(params);
  work.parts.store(parts, std::memory_order_relaxed);
  work.done[static_cast<size_t>(part)].fetch_add(1, std::memory_order_relaxed);
  for (int i = 0; i < 200; ++i) work.plain[part % 64] += part;
}

bool run(void* pool, int64_t threads, int64_t shares) {
  Work work(256);
  pl_pooled task = {};
  task.pool = reinterpret_cast<uint64_t>(pool);
  task.fn = reinterpret_cast<uint64_t>(&op);
  task.params = reinterpret_cast<uint64_t>(&work);
  task.threads = threads;
  task.shares = shares;
  pl_op_pooled(nullptr, 0, 1, &task);
  const int parts = work.parts.load();
  if (parts < 1 || parts > 64) return false;
  for (int i = 0; i < 256; ++i) {
    if (work.done[static_cast<size_t>(i)].load() != (i < parts ? 1 : 0)) return false;
  }
  for (int i = 0; i < parts; ++i) {
    if (work.plain[i] != 200 * i) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 2000;
  for (const int threads : {1, 2, 5}) {
    void* pool = pl_pool_new(threads);
    if (pool == nullptr || pl_pool_threads(pool) != threads) return std::printf("no pool\n"), 1;
    for (int i = 0; i < count; ++i) {
      if (!run(pool, i % 3, i % 5)) return std::printf("operation %d of %d threads failed\n", i, threads), 1;
      if (i % 500 == 499) usleep(2000);  // they fall asleep
    }
    if (threads == 2) sleep(3);  // they end, and are started again
    for (int i = 0; i < 10; ++i) {
      if (!run(pool, 0, 4)) return std::printf("after a pause: operation %d failed\n", i), 1;
    }
    pl_pool_free(pool);
  }
  pl_pool_free(pl_pool_new(3));  // that never worked
  std::printf("ok\n");
  return 0;
}
