// Work shared by threads: chunks handed out by a counter, so that a slow core takes fewer.
#pragma once
#include <stdint.h>

namespace pl {

// Hands out [0, total) in runs to the threads of one op: long ones first, since memory is read fastest
// in long runs, and short ones at the end, so that the threads finish together; all but the last are
// multiples of `least`. The two counters live in the op's parameters, are zero before the op, and are
// zero again when the last thread leaves.
class Chunks {
 public:
  Chunks(int64_t* next, int64_t* finished, int64_t total, int64_t least, int threads)
      : next_(next), finished_(finished), total_(total), least_(least), threads_(threads) {}
  ~Chunks() {
    if (threads_ > 1 && __atomic_add_fetch(finished_, 1, __ATOMIC_ACQ_REL) == threads_) {
      __atomic_store_n(next_, 0, __ATOMIC_RELAXED);
      __atomic_store_n(finished_, 0, __ATOMIC_RELEASE);
    }
  }
  Chunks(const Chunks&) = delete;
  Chunks& operator=(const Chunks&) = delete;
  // The next run [begin, end); false when there is none.
  bool take(int64_t& begin, int64_t& end) {
    if (threads_ == 1) {
      begin = own_;
      end = own_ = total_;
      return begin < end;
    }
    begin = __atomic_load_n(next_, __ATOMIC_RELAXED);
    do {
      if (begin >= total_) return false;
      const int64_t share = (total_ - begin) * 3 / (4 * threads_);
      end = begin + (share < least_ ? least_ : share - share % least_);
      if (end > total_) end = total_;
    } while (!__atomic_compare_exchange_n(next_, &begin, end, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
  }

 private:
  int64_t *next_, *finished_;
  int64_t total_, least_, own_ = 0;
  int threads_;
};

// Whether the int32 at an address is not zero: the caller wants the work to stop. Null: never.
inline bool aborted(uint64_t flag) {
  return flag != 0 &&
         __atomic_load_n(reinterpret_cast<const int32_t*>(flag), __ATOMIC_RELAXED) != 0;
}

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
