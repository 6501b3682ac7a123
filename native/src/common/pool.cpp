// A pool for short parallel operations, one after the other.
//
// The parts of an operation are handed out by a counter. The caller takes parts like everybody else,
// so when the other threads sleep or have lost their core, it does all of them itself and waits for
// nobody. Threads spin for some tens of microseconds after their last part, which bridges the small
// operations between two large ones, and then sleep.
//
// Linux likes to wake a sleeper on the caller's own core, and where all cores are busy it does not even
// look for an idle one; both threads then take turns on one core for tens of milliseconds. So before
// sleepers are woken, the caller's core is taken out of their affinity mask.
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "../../include/paceline.h"
#include "old_glibc.h"

namespace {

constexpr int64_t kSpinNanoseconds = 50000;
constexpr int64_t kMostThreads = 256;

using Op = void (*)(void*, int, int, void*);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#if defined(__linux__)
// Restricts threads to the caller's cores without the one that it runs on. Returns that core; `avoided`
// is what the last call returned.
int keep_off_own_core(const pthread_t* threads, int64_t count, int avoided) {
  const int own = sched_getcpu();
  if (own < 0 || own == avoided || own >= CPU_SETSIZE) return avoided;
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return own;
  CPU_CLR(own, &cores);
  if (CPU_COUNT(&cores) == 0) return own;
  for (int64_t i = 0; i < count; ++i) pthread_setaffinity_np(threads[i], sizeof cores, &cores);
  return own;
}
#else
int keep_off_own_core(const pthread_t*, int64_t, int avoided) { return avoided; }
#endif

struct Pool {
  // Number of the operation (32 bits), how many parts it has (16) and its next part (16), in one
  // word, so that a late thread cannot take a part of an operation that it has not looked at.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> done{0};
  std::atomic<Op> fn{nullptr};
  std::atomic<void*> params{nullptr};
  alignas(64) std::atomic<int64_t> sleepers{0};
  std::atomic<bool> ending{false};
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
  int64_t threads = 1;
  int avoided = -1;  // the core that the other threads are kept off
  pthread_t others[kMostThreads];

  // Does parts of operation `number` until none is left.
  void help(uint32_t number) {
    for (;;) {
      uint64_t seen = ticket.load(std::memory_order_acquire);
      if (static_cast<uint32_t>(seen >> 32) != number) return;
      const uint32_t all = static_cast<uint32_t>(seen >> 16) & 0xffff;
      const uint32_t part = static_cast<uint32_t>(seen) & 0xffff;
      const Op op = fn.load(std::memory_order_relaxed);
      void* const p = params.load(std::memory_order_relaxed);
      if (part >= all) return;
      // Success proves that the operation is still the same, and so are the fields read before.
      if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      op(nullptr, static_cast<int>(part), static_cast<int>(all), p);
      done.fetch_add(1, std::memory_order_release);
    }
  }

  void run(Op op, void* p, uint32_t count) {
    fn.store(op, std::memory_order_relaxed);
    params.store(p, std::memory_order_relaxed);
    done.store(0, std::memory_order_relaxed);
    const uint32_t number = static_cast<uint32_t>(ticket.load() >> 32) + 1;
    ticket.store(static_cast<uint64_t>(number) << 32 | count << 16, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      avoided = keep_off_own_core(others + 1, threads - 1, avoided);
      pthread_mutex_lock(&mutex);
      pthread_cond_broadcast(&wake);
      pthread_mutex_unlock(&mutex);
    }
    help(number);
    // Only parts that somebody is computing right now are waited for.
    for (int spins = 0; done.load(std::memory_order_acquire) < count; ++spins) {
      if (spins < 4096) {
        relax();
      } else {
        sched_yield();
      }
    }
  }

  void work() {
    uint32_t last = 0;
    for (;;) {
      uint32_t number = wait(last);
      if (ending.load(std::memory_order_acquire)) return;
      help(number);
      last = number;
    }
  }

  // The number of an operation other than `last`.
  uint32_t wait(uint32_t last) {
    const auto current = [this] {
      return static_cast<uint32_t>(ticket.load(std::memory_order_seq_cst) >> 32);
    };
    const int64_t until = now() + kSpinNanoseconds;
    do {
      for (int i = 0; i < 64; ++i) {
        const uint32_t number = current();
        if (number != last || ending.load(std::memory_order_relaxed)) return number;
        relax();
      }
    } while (now() < until);
    pthread_mutex_lock(&mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (current() == last && !ending.load(std::memory_order_acquire)) {
      pthread_cond_wait(&wake, &mutex);
    }
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
    pthread_mutex_unlock(&mutex);
    return current();
  }

  static void* start(void* self) {
    static_cast<Pool*>(self)->work();
    return nullptr;
  }
};

}  // namespace

PL_API void* pl_pool_new(int64_t threads) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, sizeof(Pool)) != 0) return nullptr;
  Pool* pool = new (memory) Pool();
  if (threads > kMostThreads) threads = kMostThreads;
  while (pool->threads < threads &&
         pthread_create(&pool->others[pool->threads], nullptr, Pool::start, pool) == 0) {
    ++pool->threads;
  }
  return pool;
}

PL_API void pl_pool_free(void* p) {
  if (p == nullptr) return;
  Pool* pool = static_cast<Pool*>(p);
  pthread_mutex_lock(&pool->mutex);
  pool->ending.store(true, std::memory_order_release);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
  for (int64_t i = 1; i < pool->threads; ++i) pthread_join(pool->others[i], nullptr);
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->wake);
  pool->~Pool();
  std::free(pool);
}

PL_API void pl_op_pooled(void*, int ith, int nth, void* p) {
  const pl_pooled* task = static_cast<const pl_pooled*>(p);
  const Op op = reinterpret_cast<Op>(task->fn);
  void* const params = reinterpret_cast<void*>(task->params);
  Pool* const pool = reinterpret_cast<Pool*>(task->pool);
  if (nth > 1 || pool == nullptr) {
    op(nullptr, ith, nth, params);
    return;
  }
  int64_t parts = pool->threads;
  if (task->threads > 0 && task->threads < parts) parts = task->threads;
  if (parts == 1) {
    op(nullptr, 0, 1, params);
  } else {
    pool->run(op, params, static_cast<uint32_t>(parts));
  }
}
