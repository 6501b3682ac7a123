// A pool for short parallel operations, one after the other.
//
// The parts of an operation are handed out by a counter. The caller takes parts like everybody else,
// so when the other threads sleep or have lost their core, it does all of them itself and waits for
// nobody. Threads spin for some tens of microseconds after their last part, which bridges the small
// operations between two large ones, and then sleep.
//
// A thread that loses its core in the middle of a part keeps the caller waiting until it gets it back, which
// takes milliseconds, many times the length of an operation. So where that costs more than the thread gains, fewer
// threads share in the operations of the next time, and one more after every quiet time (see Crowd).
//
// Threads that have slept for some seconds end, and are started again when there is work. So an environment that
// vanishes without freeing its pool (a worker of Node.js that is terminated) leaves none behind.
//
// Linux likes to wake a sleeper on the caller's own core, and where all cores are busy it does not even
// look for an idle one; both threads then take turns on one core for tens of milliseconds. So before
// sleepers are woken, the caller's core is taken out of their affinity mask.
#include <pthread.h>
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "../../include/paceline.h"
#include "old_glibc.h"

namespace {

constexpr int64_t kSpinNanoseconds = 50000;
constexpr int64_t kMostThreads = 256;
constexpr int64_t kMostParts = 4096;
constexpr int64_t kIdleSeconds = 2;  // after which a thread that sleeps ends

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

// How often the calling thread has lost its core to another; -1 where the system does not tell.
int64_t times_preempted() {
#if defined(__linux__)
  rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage) == 0) return usage.ru_nivcsw;
#endif
  return -1;
}

// How many threads share in operations while others use the machine. Knows only what the caller and the threads
// tell it: the caller waited long, and a thread that it waited for says that it had lost its core.
//
// n threads need T/n + W for what one does in T, where W is waited for lost cores; n - 1 need T/(n - 1). So one thread
// less is better where W (n - 1) > T/n, of the last tens of milliseconds. Something that wants a core for half a
// millisecond after every token, as a server's other process, is not worth a thread.
class Crowd {
 public:
  // Threads of the next operation, of `all`. Called by the caller alone.
  int64_t threads(int64_t all) {
    if (reported_.load(std::memory_order_relaxed)) {
      reported_.store(false, std::memory_order_relaxed);
      count_wait(all);
    }
    if (lost_ == 0) return all;
    const int64_t time = now();
    if (time - since_ > pause_) {
      --lost_;
      since_ = time;
    }
    const int64_t left = all - lost_;
    return left < 1 ? 1 : left;
  }
  // The caller has waited since `start` for parts of an operation that began at `begin`: whether that was too long
  // for parts that are computed all the time.
  static bool too_long(int64_t begin, int64_t start, int64_t time) {
    return time - start > kLongWait && time - start > (start - begin) / 4;
  }
  // How long that was in the end. Called by the caller alone.
  void waited(int64_t nanoseconds) { wait_ = nanoseconds; }
  // A thread that was waited for has lost its core meanwhile.
  void report() { reported_.store(true, std::memory_order_relaxed); }

 private:
  static constexpr int64_t kLongWait = 300000, kWindow = 40000000;  // ns
  static constexpr int64_t kLeastPause = 50000000, kMostPause = 1600000000;

  void count_wait(int64_t all) {
    const int64_t time = now();
    if (time - window_ > kWindow) {
      window_ = time - wait_ - kWindow / 4;  // what came before was quiet
      sum_ = 0;
    }
    sum_ += wait_;
    const int64_t others = all - lost_ - 1;
    if (others < 1 || sum_ * others <= time - window_ - sum_) return;
    // Soon after a thread was added again: others are still there.
    pause_ = time - since_ < pause_ + 2 * kWindow ? pause_ * 2 : kLeastPause;
    if (pause_ > kMostPause) pause_ = kMostPause;
    ++lost_;
    since_ = window_ = time;
    sum_ = 0;
  }

  std::atomic<bool> reported_{false};
  int64_t lost_ = 0;
  int64_t wait_ = 0;                 // of the last operation that was waited for
  int64_t window_ = 0, sum_ = 0;     // when counting began, and what was waited since
  int64_t since_ = 0, pause_ = kLeastPause;
};

struct Pool {
  // Number of the operation (32 bits), how many parts it has (16) and its next part (16), in one
  // word, so that a late thread cannot take a part of an operation that it has not looked at.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> done{0};
  std::atomic<Op> fn{nullptr};
  std::atomic<void*> params{nullptr};
  std::atomic<uint32_t> late{0};  // number of the operation that the caller has waited long for
  alignas(64) std::atomic<int64_t> sleepers{0};
  std::atomic<bool> ending{false};
  Crowd crowd;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake;
  int64_t threads = 1;
  int avoided = -1;  // the core that the other threads are kept off
  // The threads beside the caller; started and ended under the mutex.
  struct Other {
    Pool* pool;
    pthread_t thread;
    bool started, ended;  // ended: joining it hardly waits
  } others[kMostThreads];
  std::atomic<int64_t> running{0};

  // Does parts of operation `number` until none is left.
  // `other`: not the caller.
  void help(uint32_t number, bool other) {
    const int64_t preempted = other ? times_preempted() : 0;
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
      const bool waited_for = other && late.load(std::memory_order_relaxed) == number;
      done.fetch_add(1, std::memory_order_release);
      if (waited_for && (preempted < 0 || times_preempted() > preempted)) crowd.report();
    }
  }

  void run(Op op, void* p, uint32_t count) {
    fn.store(op, std::memory_order_relaxed);
    params.store(p, std::memory_order_relaxed);
    done.store(0, std::memory_order_relaxed);
    const uint32_t number = static_cast<uint32_t>(ticket.load() >> 32) + 1;
    const int64_t begin = now();
    ticket.store(static_cast<uint64_t>(number) << 32 | count << 16, std::memory_order_seq_cst);
    if (running.load(std::memory_order_relaxed) < threads - 1) start_others();
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      avoided = keep_off_own_core(avoided);
      pthread_mutex_lock(&mutex);
      pthread_cond_broadcast(&wake);
      pthread_mutex_unlock(&mutex);
    }
    help(number, false);
    // Only parts that somebody is computing right now are waited for.
    const int64_t start = now();
    for (int spins = 0; done.load(std::memory_order_acquire) < count; ++spins) {
      if (spins < 4096) {
        relax();
        continue;
      }
      if (late.load(std::memory_order_relaxed) != number && Crowd::too_long(begin, start, now())) {
        late.store(number, std::memory_order_relaxed);
      }
      sched_yield();
    }
    if (late.load(std::memory_order_relaxed) == number) crowd.waited(now() - start);
  }

  void work(Other& self) {
    uint32_t last = 0;
    while (wait(last, self)) {
      const auto number = static_cast<uint32_t>(ticket.load(std::memory_order_seq_cst) >> 32);
      help(number, true);
      last = number;
    }
  }

  // Waits for an operation other than `last`; false when the thread shall end, which it then counts as.
  bool wait(uint32_t last, Other& self) {
    const auto idle = [&] {
      return static_cast<uint32_t>(ticket.load(std::memory_order_seq_cst) >> 32) == last;
    };
    const int64_t until = now() + kSpinNanoseconds;
    do {
      for (int i = 0; i < 64; ++i) {
        if (ending.load(std::memory_order_relaxed)) break;
        if (!idle()) return true;
        relax();
      }
    } while (now() < until && !ending.load(std::memory_order_relaxed));
    timespec end = {};
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += kIdleSeconds;
    pthread_mutex_lock(&mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    int result = 0;
    while (idle() && !ending.load(std::memory_order_acquire) && result != ETIMEDOUT) {
      result = pthread_cond_timedwait(&wake, &mutex, &end);
    }
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
    const bool leave = ending.load(std::memory_order_acquire) || idle();
    if (leave) {
      self.ended = true;
      running.fetch_sub(1, std::memory_order_relaxed);
    }
    pthread_mutex_unlock(&mutex);
    return !leave;
  }

  // Starts the threads that are not there. Those that the system refuses are done without.
  void start_others() {
    pthread_mutex_lock(&mutex);
    for (int64_t i = 1; i < threads; ++i) {
      Other& other = others[i];
      if (other.started && !other.ended) continue;
      if (other.started) pthread_join(other.thread, nullptr);
      other = {this, {}, false, false};
      if (pthread_create(&other.thread, nullptr, start, &other) != 0) break;
      other.started = true;
      running.fetch_add(1, std::memory_order_relaxed);
      avoided = -1;
    }
    pthread_mutex_unlock(&mutex);
  }

  static void* start(void* self) {
    Other& other = *static_cast<Other*>(self);
    other.pool->work(other);
    return nullptr;
  }

  // Restricts the other threads to the caller's cores without the one that it runs on. Returns that core; `before`
  // is what the last call returned.
  int keep_off_own_core(int before) {
#if defined(__linux__)
    const int own = sched_getcpu();
    if (own < 0 || own == before || own >= CPU_SETSIZE) return before;
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return own;
    CPU_CLR(own, &cores);
    if (CPU_COUNT(&cores) == 0) return own;
    pthread_mutex_lock(&mutex);
    for (int64_t i = 1; i < threads; ++i) {
      if (others[i].started && !others[i].ended) pthread_setaffinity_np(others[i].thread, sizeof cores, &cores);
    }
    pthread_mutex_unlock(&mutex);
    return own;
#else
    return before;
#endif
  }
};

}  // namespace

PL_API void* pl_pool_new(int64_t threads) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, sizeof(Pool)) != 0) return nullptr;
  Pool* pool = new (memory) Pool();
  pthread_cond_init(&pool->wake, nullptr);
  pool->threads = threads < 1 ? 1 : threads > kMostThreads ? kMostThreads : threads;
  return pool;
}

PL_API void pl_pool_free(void* p) {
  if (p == nullptr) return;
  Pool* pool = static_cast<Pool*>(p);
  pthread_mutex_lock(&pool->mutex);
  pool->ending.store(true, std::memory_order_release);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
  for (int64_t i = 1; i < pool->threads; ++i) {
    if (pool->others[i].started) pthread_join(pool->others[i].thread, nullptr);
  }
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->wake);
  pool->~Pool();
  std::free(pool);
}

PL_API int64_t pl_pool_threads(void* p) {
  if (p == nullptr) return 1;
  Pool* pool = static_cast<Pool*>(p);
  return pool->crowd.threads(pool->threads);
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
  int64_t threads = pool->crowd.threads(pool->threads);
  if (task->threads > 0 && task->threads < threads) threads = task->threads;
  if (threads == 1) {
    op(nullptr, 0, 1, params);
  } else {
    const int64_t parts = task->shares > 1 ? threads * task->shares : threads;
    pool->run(op, params, static_cast<uint32_t>(parts < kMostParts ? parts : kMostParts));
  }
}
