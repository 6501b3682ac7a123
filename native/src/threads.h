// Work shared by threads: chunks handed out by a counter, so that a slow core takes fewer.
#pragma once
#include <stdint.h>

namespace pl {

// Hands out [0, total) to the threads of one op. The two counters live in the op's parameters, are
// zero before the op, and are zero again when the last thread leaves.
class Chunks {
 public:
  Chunks(int64_t* next, int64_t* finished, int64_t total, int threads)
      : next_(next), finished_(finished), total_(total), threads_(threads) {}
  ~Chunks() {
    if (threads_ > 1 && __atomic_add_fetch(finished_, 1, __ATOMIC_ACQ_REL) == threads_) {
      __atomic_store_n(next_, 0, __ATOMIC_RELAXED);
      __atomic_store_n(finished_, 0, __ATOMIC_RELEASE);
    }
  }
  Chunks(const Chunks&) = delete;
  Chunks& operator=(const Chunks&) = delete;
  // The next chunk, or -1.
  int64_t take() {
    const int64_t i =
        threads_ > 1 ? __atomic_fetch_add(next_, 1, __ATOMIC_RELAXED) : own_++;
    return i < total_ ? i : -1;
  }

 private:
  int64_t *next_, *finished_;
  int64_t total_, own_ = 0;
  int threads_;
};

// Memory that a thread keeps from op to op, grown as needed. Contents do not survive growth.
class Scratch {
 public:
  ~Scratch();
  void* get(int64_t bytes);

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Runs fn(context, i) for i in [0, count) on up to `threads` threads, the caller's among them.
void parallel(int64_t count, int64_t threads, void (*fn)(void*, int64_t), void* context);

}  // namespace pl
