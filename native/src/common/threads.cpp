#include "threads.h"

#include <pthread.h>

#include <cstdlib>

#include "old_glibc.h"

#if defined(__linux__)
// The one function of the C++ runtime that thread-local objects need, in terms of the C library.
extern "C" int __cxa_thread_atexit_impl(void (*)(void*), void*, void*);
extern "C" __attribute__((visibility("hidden"))) int __cxa_thread_atexit(void (*destroy)(void*),
                                                                         void* object,
                                                                         void* library) {
  return __cxa_thread_atexit_impl(destroy, object, library);
}
#endif

namespace pl {

Scratch::~Scratch() { std::free(data_); }

void* Scratch::get(int64_t bytes) {
  if (bytes > bytes_) {
    std::free(data_);
    data_ = nullptr;
    bytes_ = (bytes + 4095) / 4096 * 4096;
    if (posix_memalign(&data_, 64, static_cast<size_t>(bytes_)) != 0) std::abort();
  }
  return data_;
}

namespace {
struct Job {
  int64_t count, next;
  void (*fn)(void*, int64_t);
  void* context;
};
void* work(void* p) {
  Job* job = static_cast<Job*>(p);
  for (;;) {
    const int64_t i = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
    if (i >= job->count) return nullptr;
    job->fn(job->context, i);
  }
}
}  // namespace

void parallel(int64_t count, int64_t threads, void (*fn)(void*, int64_t), void* context) {
  Job job{count, 0, fn, context};
  if (threads > count) threads = count;
  if (threads > 256) threads = 256;
  pthread_t others[256];
  int64_t started = 0;
  while (started + 1 < threads &&
         pthread_create(&others[started], nullptr, work, &job) == 0) {
    ++started;
  }
  work(&job);
  for (int64_t i = 0; i < started; ++i) pthread_join(others[i], nullptr);
}

}  // namespace pl
