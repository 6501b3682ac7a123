// Reads pieces of experts from their files, checks them and repacks them into slots: threads of the cache, and
// whoever would wait for them.
//
// What the page cache has comes from there, which costs a copy. The rest may go past it, which saves the copy and
// leaves the page cache to files that fit into it; which of the two is faster depends on disk and system, so the
// first reads alternate and are measured.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "../../include/paceline.h"
#include "../common/threads.h"
#include "cache.h"

namespace pl {
namespace experts {
namespace {

constexpr int64_t page = 4096, trials = 16;
constexpr int64_t idle_seconds = 2;  // after which a thread ends

thread_local Scratch buffer_memory;

// Tells one piece's contents from others'; never 0.
uint64_t digest_of(const uint8_t* data, int64_t bytes) {
  constexpr uint64_t k = 0x9e3779b97f4a7c15u;
  uint64_t lane[4] = {1 * k, 2 * k, 3 * k, 4 * k};
  const auto mix = [](uint64_t h, uint64_t w) {
    h ^= w;
    h = h << 31 | h >> 33;
    return h * k;
  };
  int64_t at = 0;
  for (; at + 32 <= bytes; at += 32) {
    uint64_t w[4];
    std::memcpy(w, data + at, 32);
    for (int i = 0; i < 4; ++i) lane[i] = mix(lane[i], w[i]);
  }
  uint64_t rest[4] = {};
  std::memcpy(rest, data + at, static_cast<size_t>(bytes - at));
  uint64_t h = static_cast<uint64_t>(bytes);
  for (int i = 0; i < 4; ++i) h = mix(mix(h, lane[i]), rest[i]);
  return h == 0 ? 1 : h;
}

// Reads up to `bytes` at `offset`: as much as there is. -1 with errno.
int64_t read_whole(int file, uint8_t* to, int64_t bytes, int64_t offset) {
  int64_t done = 0;
  while (done < bytes) {
    const ssize_t n = pread(file, to + done, static_cast<size_t>(bytes - done), static_cast<off_t>(offset + done));
    if (n == 0) break;
    if (n > 0) done += n;
    else if (errno != EINTR) return -1;
  }
  return done;
}

#if defined(__linux__)
#if !defined(RWF_NOWAIT)
#define RWF_NOWAIT 8
#endif
// What of it the page cache has, from the beginning; -1: the system does not tell.
int64_t read_cached(int file, uint8_t* to, int64_t bytes, int64_t offset) {
  int64_t done = 0;
  while (done < bytes) {
    const iovec part = {to + done, static_cast<size_t>(bytes - done)};
    const ssize_t n = preadv2(file, &part, 1, static_cast<off_t>(offset + done), RWF_NOWAIT);
    if (n > 0) {
      done += n;
    } else if (n == 0 || errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return done;
}
#else
int64_t read_cached(int, uint8_t*, int64_t, int64_t) { return -1; }
#endif

struct Result {
  Failure failure;
  int64_t error, direct;  // bytes that were read directly
  int64_t trial_bytes[2], trial_nanoseconds[2];
};

// Reads [offset, offset + bytes) to a place that begins where `offset` begins in its page.
void read_piece(Cache& c, const File& file, uint8_t* to, int64_t bytes, int64_t offset, Result& r) {
  int64_t done = 0;
  if (file.direct >= 0 && !__atomic_load_n(&c.no_probe, __ATOMIC_RELAXED)) {
    done = read_cached(file.buffered, to, bytes, offset);
    if (done < 0) {
      __atomic_store_n(&c.no_probe, true, __ATOMIC_RELAXED);
      done = 0;
    }
  }
  if (done == bytes) return;
  int mode = file.direct < 0 ? 1 : __atomic_load_n(&c.trial.mode, __ATOMIC_RELAXED);
  const bool trial = mode == 0;
  if (trial) mode = 1 + static_cast<int>(__atomic_fetch_add(&c.trial.count, 1, __ATOMIC_RELAXED) & 1);
  const int64_t began = nanoseconds(), before = done;
  if (mode == 2) {
    const int64_t from = (offset + done) / page * page, end = (offset + bytes + page - 1) / page * page;
    const int64_t n = read_whole(file.direct, to + (from - offset), end - from, from);
    if (n < 0 && errno == EINVAL) {
      mode = 1;  // not on this file system
    } else if (n < 0) {
      r = {failed_read, errno, 0, {}, {}};
      return;
    } else {
      done = from + n - offset;
      if (done > bytes) done = bytes;
      r.direct = done - before;
    }
  }
  if (mode == 1) {
    const int64_t n = read_whole(file.buffered, to + done, bytes - done, offset + done);
    if (n < 0) {
      r = {failed_read, errno, 0, {}, {}};
      return;
    }
    done += n;
  }
  if (trial) {
    r.trial_bytes[mode - 1] += done - before;
    r.trial_nanoseconds[mode - 1] += nanoseconds() - began;
  }
  if (done < bytes) r.failure = too_short;
}

void add_trial(Cache& c, const Result& r) {
  Trial& t = c.trial;
  for (int i = 0; i < 2; ++i) {
    t.bytes[i] += r.trial_bytes[i];
    t.nanoseconds[i] += r.trial_nanoseconds[i];
  }
  if (t.mode != 0 || t.count < trials || t.nanoseconds[0] == 0 || t.nanoseconds[1] == 0) return;
  const double buffered = static_cast<double>(t.bytes[0]) / static_cast<double>(t.nanoseconds[0]);
  const double direct = static_cast<double>(t.bytes[1]) / static_cast<double>(t.nanoseconds[1]);
  // What was read through the page cache may be there next time.
  __atomic_store_n(&t.mode, direct > 1.1 * buffered ? 2 : 1, __ATOMIC_RELAXED);
}

bool pop(Queue& q, Job& job) {
  if (q.count == 0) return false;
  job = q.jobs[q.first];
  q.first = (q.first + 1) % q.room;
  --q.count;
  return true;
}

void push(Queue& q, const Job& job) {
  if (q.count == q.room) {
    const int64_t room = q.room == 0 ? 256 : 2 * q.room;
    Job* jobs = static_cast<Job*>(std::malloc(static_cast<size_t>(room) * sizeof(Job)));
    if (jobs == nullptr) std::abort();
    for (int64_t i = 0; i < q.count; ++i) jobs[i] = q.jobs[(q.first + i) % q.room];
    std::free(q.jobs);
    q = {jobs, 0, q.count, room};
  }
  q.jobs[(q.first + q.count++) % q.room] = job;
}

// Does one job with the mutex held, which is free while it reads.
bool run_one(Cache& c) {
  Job job;
  if (!pop(c.wanted, job) && !pop(c.likely, job)) return false;
  Layer& layer = c.layers[job.layer];
  Entry& entry = layer.entries[job.expert];
  const Part& part = layer.part[job.part];
  const File& file = c.files[part.file];
  ++c.in_flight;
  if (job.ring) ++c.ring_in_flight;
  uint64_t& known = layer.digests[job.expert * layer.pieces + part.first_piece + job.piece];
  const uint64_t expected = known;
  pthread_mutex_unlock(&c.mutex);

  const int64_t began = nanoseconds();
  const int64_t first = job.piece * part.piece_rows;
  const int64_t rows = part.n - first < part.piece_rows ? part.n - first : part.piece_rows;
  const int64_t bytes = rows * part.row_bytes;
  const int64_t offset = part.offset + layer.numbers[job.expert] * part.stride + first * part.row_bytes;
  const uintptr_t memory = reinterpret_cast<uintptr_t>(buffer_memory.get(bytes + 3 * page));
  uint8_t* const data = reinterpret_cast<uint8_t*>((memory + page - 1) / page * page + static_cast<uintptr_t>(offset % page));
  Result r{};
  read_piece(c, file, data, bytes, offset, r);
  uint64_t digest = 0;
  // The times of a file are looked at when its bytes are here: what came before a change is right.
  if (r.failure == none && changed(file)) r.failure = replaced;
  if (r.failure == none) {
    digest = digest_of(data, bytes);
    if (expected != 0 && digest != expected) r.failure = other_contents;
    if (expected == 0 && c.check != nullptr && !c.check(static_cast<int>(part.type), data, static_cast<size_t>(bytes))) {
      r.failure = not_finite;
    }
  }
  if (r.failure == none) {
    pl_repack(part.type, data, job.slot + part.at, part.k, part.n, first, rows, 1);
  }
  const int64_t took = nanoseconds() - began;

  pthread_mutex_lock(&c.mutex);
  --c.in_flight;
  if (job.ring) --c.ring_in_flight;
  --entry.jobs;
  c.stats.reading += took;
  add_trial(c, r);
  if (r.failure == none) {
    known = digest;
    c.stats.bytes += bytes;
    c.stats.direct += r.direct;
    if (--entry.left[job.part] == 0) {
      __atomic_store_n(&entry.ready, entry.ready | 1u << job.part, __ATOMIC_RELEASE);
    }
  } else {
    fail(c, r.failure, r.error, job.layer, job.expert, job.part);
  }
  pthread_cond_broadcast(&c.progress);
  return true;
}

void* work(void* p) {
  Reader& self = *static_cast<Reader*>(p);
  Cache& c = *self.cache;
  pthread_mutex_lock(&c.mutex);
  while (!c.ending) {
    if (c.failure[0] == none && run_one(c)) continue;
    timespec end = {};
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += idle_seconds;
    ++c.idle;
    const int result = pthread_cond_timedwait(&c.work, &c.mutex, &end);
    --c.idle;
    if (result == ETIMEDOUT && c.wanted.count + c.likely.count == 0) break;
  }
  self.ended = true;
  --c.running;
  pthread_mutex_unlock(&c.mutex);
  return nullptr;
}

template <class Keep>
void filter(Cache& c, Queue& q, const Keep& keep) {
  int64_t kept = 0;
  for (int64_t i = 0; i < q.count; ++i) {
    const Job job = q.jobs[(q.first + i) % q.room];
    if (keep(job)) {
      q.jobs[(q.first + kept++) % q.room] = job;
    } else {
      --c.layers[job.layer].entries[job.expert].jobs;
    }
  }
  q.count = kept;
}

bool none_of(const Job&) { return false; }

}  // namespace

int64_t nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void queue_part(Cache& c, int64_t layer, int64_t expert, int64_t part, uint8_t* slot, bool likely, bool ring) {
  Entry& entry = c.layers[layer].entries[expert];
  const Part& p = c.layers[layer].part[part];
  entry.left[part] = static_cast<int32_t>(p.pieces);
  entry.jobs += static_cast<int32_t>(p.pieces);
  for (int64_t piece = 0; piece < p.pieces; ++piece) {
    push(likely ? c.likely : c.wanted, {static_cast<int32_t>(layer), static_cast<int32_t>(expert), static_cast<int32_t>(part),
                                        static_cast<int32_t>(piece), slot, ring});
  }
}

void promote(Cache& c, int64_t layer, int64_t expert) {
  Queue& q = c.likely;
  int64_t kept = 0;
  for (int64_t i = 0; i < q.count; ++i) {
    const Job job = q.jobs[(q.first + i) % q.room];
    if (job.layer == layer && job.expert == expert) {
      push(c.wanted, job);
    } else {
      q.jobs[(q.first + kept++) % q.room] = job;
    }
  }
  q.count = kept;
}

void drop_jobs(Cache& c, bool ring_only) {
  filter(c, c.wanted, [=](const Job& job) { return ring_only && !job.ring; });
  if (!ring_only) drop_likely(c);
}

void drop_likely(Cache& c) { filter(c, c.likely, none_of); }

void drop_unforeseen(Cache& c, int64_t layer) {
  filter(c, c.likely, [&](const Job& job) {
    return job.layer != layer || c.counts[job.expert] > 0 || !c.layers[layer].entries[job.expert].early;
  });
}

void wake_readers(Cache& c) {
  const int64_t jobs = c.wanted.count + c.likely.count;
  if (jobs == 0) return;
  for (int64_t i = 0; i < c.reader_count && c.running < c.reader_count && c.idle < jobs; ++i) {
    Reader& reader = c.readers[i];
    if (reader.started && !reader.ended) continue;
    if (reader.started) pthread_join(reader.thread, nullptr);
    reader = {&c, {}, false, false};
    // A thread that the system refuses is done without: who waits reads.
    if (pthread_create(&reader.thread, nullptr, work, &reader) != 0) break;
    reader.started = true;
    ++c.running;
  }
  pthread_cond_broadcast(&c.work);
}

void stop_readers(Cache& c) {
  pthread_mutex_lock(&c.mutex);
  c.ending = true;
  pthread_cond_broadcast(&c.work);
  pthread_mutex_unlock(&c.mutex);
  for (int64_t i = 0; i < c.reader_count; ++i) {
    if (c.readers[i].started) pthread_join(c.readers[i].thread, nullptr);
  }
}

void read_or_wait(Cache& c) {
  if (run_one(c)) return;
  timespec end = {};
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_nsec += 5000000;  // whoever waits looks at the abort flag
  if (end.tv_nsec >= 1000000000) {
    end.tv_nsec -= 1000000000;
    ++end.tv_sec;
  }
  pthread_cond_timedwait(&c.progress, &c.mutex, &end);
}

void fail(Cache& c, Failure what, int64_t error, int64_t layer, int64_t expert, int64_t part) {
  if (c.failure[0] != none) return;
  const int64_t all[6] = {what, error, layer, expert, part, c.layers[layer].part[part].file};
  std::memcpy(c.failure, all, sizeof all);
  pthread_cond_broadcast(&c.progress);
}

static void facts_of(const struct stat& s, int64_t* facts) {
  facts[0] = static_cast<int64_t>(s.st_dev);
  facts[1] = static_cast<int64_t>(s.st_ino);
  facts[2] = static_cast<int64_t>(s.st_size);
#if defined(__APPLE__)
  facts[3] = s.st_mtimespec.tv_sec * 1000000000LL + s.st_mtimespec.tv_nsec;
  facts[4] = s.st_ctimespec.tv_sec * 1000000000LL + s.st_ctimespec.tv_nsec;
#else
  facts[3] = s.st_mtim.tv_sec * 1000000000LL + s.st_mtim.tv_nsec;
  facts[4] = s.st_ctim.tv_sec * 1000000000LL + s.st_ctim.tv_nsec;
#endif
}

bool changed(const File& file) {
  struct stat s;
  int64_t now[5];
  if (fstat(file.buffered, &s) != 0) return true;
  facts_of(s, now);
  return std::memcmp(now, file.facts, sizeof now) != 0;
}

bool moved(const File& file) {
  struct stat s;
  int64_t now[5];
  if (stat(file.path, &s) != 0) return true;
  facts_of(s, now);
  return std::memcmp(now, file.facts, sizeof now) != 0;
}

}  // namespace experts
}  // namespace pl

using namespace pl::experts;

PL_API int64_t pl_experts_file(void* cache, const char* path, void* facts) {
  Cache& c = *static_cast<Cache*>(cache);
  File file{strdup(path), open(path, O_RDONLY | O_CLOEXEC), -1, {}};
  struct stat s;
  if (file.path == nullptr || file.buffered < 0 || fstat(file.buffered, &s) != 0) {
    const int64_t error = errno;
    if (file.buffered >= 0) close(file.buffered);
    std::free(file.path);
    return -1 - error;
  }
  facts_of(s, file.facts);
  std::memcpy(facts, file.facts, sizeof file.facts);
#if defined(O_DIRECT)
  file.direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
#elif defined(F_NOCACHE)
  file.direct = open(path, O_RDONLY | O_CLOEXEC);
  if (file.direct >= 0 && fcntl(file.direct, F_NOCACHE, 1) != 0) {
    close(file.direct);
    file.direct = -1;
  }
#endif
  File* files = static_cast<File*>(std::realloc(c.files, static_cast<size_t>(c.file_count + 1) * sizeof(File)));
  if (files == nullptr) std::abort();
  c.files = files;
  c.files[c.file_count] = file;
  return c.file_count++;
}
