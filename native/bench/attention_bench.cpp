// Times attention alone: attention_bench [threads] [path] [only cases whose line contains this]
// Passes of few rows read caches of several layers in turn, together far larger than the processor's
// caches, and are compared with the best plain read of the same memory in the same run. 512 rows are compared
// with the fused multiply-adds that a core can do.
// BENCH_MIN=1: best instead of median; BENCH_CPU=1: time on the processor, with 1 thread (both for a
// machine that others use too); BENCH_SMALL_PAGES=1: no huge pages.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../include/paceline.h"

namespace {

// Threads that spin between jobs, so that their start is not timed.
class Pool {
 public:
  explicit Pool(int n) : n_(n) {
    for (int i = 1; i < n; i++) threads_.emplace_back([this, i] { loop(i); });
  }
  ~Pool() {
    stop_ = true;
    generation_++;
    for (auto& t : threads_) t.join();
  }
  void run(const std::function<void(int, int)>& job) {
    job_ = &job;
    left_ = n_ - 1;
    generation_++;
    job(0, n_);
    while (left_ > 0) {
    }
  }

 private:
  void loop(int i) {
    int seen = 0;
    for (;;) {
      while (generation_ == seen) {
      }
      seen = generation_;
      if (stop_) return;
      (*job_)(i, n_);
      left_--;
    }
  }
  int n_;
  std::atomic<int> generation_{0}, left_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int, int)>* job_ = nullptr;
  std::vector<std::thread> threads_;
};

double seconds() {
  timespec t;
  clock_gettime(std::getenv("BENCH_CPU") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
double timed(const std::function<void()>& f) {
  const double t = seconds();
  f();
  return seconds() - t;
}
double typical(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[std::getenv("BENCH_MIN") ? 0 : times.size() / 2];
}

// Reads memory on all threads.
void read_all(Pool& pool, const uint8_t* memory, int64_t size) {
  static std::atomic<int64_t> sink{0};
  pool.run([&](int i, int n) { sink += pl_read_memory(memory + size / n * i, size / n); });
}

int64_t row_bytes(int type, int64_t n) { return type == 0 ? 4 * n : type == 1 || type == PL_CACHE_I16 ? 2 * n : n / 32 * 34; }

struct Setup {
  pl_attention p{};
  std::vector<pl_cache_slice> slices;
  std::vector<float> q, out;
  uint8_t* scratch = nullptr;
};

double run(Pool& pool, int threads, int heads, int kv_heads, int dim, int type, int past, int rows, int layers,
           int runs, double* bytes, double* read_time = nullptr) {
  const int64_t v_stride = row_bytes(type, kv_heads * dim), positions = (past + rows + 63) / 64 * 64;
  const int64_t stride = v_stride + (type == PL_CACHE_I16 ? 8 * kv_heads : 0);
  std::vector<Setup> all(static_cast<size_t>(layers));
  const int64_t size = (2 * stride * positions * layers + 4095) & ~4095;
  auto* memory = static_cast<uint8_t*>(std::getenv("BENCH_SMALL_PAGES") ? std::aligned_alloc(4096, static_cast<size_t>(size))
                                                                        : pl_alloc(size));
  // Small random cache values: 0.25 .. 1 as f16 patterns, or harmless bytes in other types.
  uint32_t seed = 1;
  for (int64_t i = 0; i + 2 <= 2 * stride * positions * layers; i += 2) {
    seed = seed * 1664525 + 1013904223;
    const uint16_t h = static_cast<uint16_t>(0x3400 + (seed >> 20 & 0x7ff));
    std::memcpy(memory + i, &h, 2);
  }
  // Behind the keys of a head in a block of 64 positions are scales.
  if (type == PL_CACHE_I16)
    for (int64_t i = 0; i < layers * positions / 64 * kv_heads; i++) {
      uint8_t* layer = memory + i / (positions / 64 * kv_heads) * 2 * stride * positions;
      auto* scales = reinterpret_cast<float*>(layer + (i % (positions / 64 * kv_heads) + 1) * (128 * dim + 512) - 512);
      std::fill(scales, scales + 128, 1e-5f);
    }
  for (int l = 0; l < layers; l++) {
    Setup& s = all[static_cast<size_t>(l)];
    s.q.assign(static_cast<size_t>(rows) * heads * dim, 0.01f);
    s.out.resize(s.q.size());
    const auto base = reinterpret_cast<uint64_t>(memory) + 2 * static_cast<uint64_t>(stride * positions) * l;
    s.slices.push_back({base, base + static_cast<uint64_t>(stride * positions), stride, v_stride, 0, rows, past});
    auto& p = s.p;
    p.q = reinterpret_cast<uint64_t>(s.q.data());
    p.q_head_stride = 4 * dim;
    p.q_stride = 4 * dim * heads;
    p.out = reinterpret_cast<uint64_t>(s.out.data());
    p.out_stride = p.q_stride;
    p.slices = reinterpret_cast<uint64_t>(s.slices.data());
    p.slice_count = 1;
    p.heads = heads;
    p.kv_heads = kv_heads;
    p.head_dim = p.v_dim = dim;
    p.k_type = p.v_type = type;
    p.scale = 0.1;
    p.causal = 1;
    p.scratch_bytes = pl_attention_scratch(&p, rows, past + rows, threads);
    if (l == 0) {
      s.scratch = static_cast<uint8_t*>(std::aligned_alloc(64, static_cast<size_t>(p.scratch_bytes)));
      std::memset(s.scratch, 0, static_cast<size_t>(p.scratch_bytes));
    }
    p.scratch = reinterpret_cast<uint64_t>(all[0].scratch);
  }
  const auto pass = [&] {
    for (auto& s : all) pool.run([&](int i, int n) { pl_op_attention(nullptr, i, n, &s.p); });
  };
  pass();
  // Alternating, because other users of the memory come and go.
  std::vector<double> times, reads;
  for (int i = 0; i < runs; i++) {
    times.push_back(timed(pass) / layers);
    if (read_time)
      reads.push_back(timed([&] { read_all(pool, memory, 2 * stride * positions * layers); }) / layers);
  }
  const double time = typical(times);
  if (read_time) *read_time = typical(reads);
  if (bytes) *bytes = static_cast<double>((stride + v_stride) * (past + rows));
  pl_free(memory, size);
  std::free(all[0].scratch);
  return time;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  if (pl_init(argc > 2 && *argv[2] ? argv[2] : nullptr)) return std::printf("%s\n", pl_error()), 1;
  const char* only = argc > 3 ? argv[3] : "";
  Pool pool(threads);
  std::printf("path %s, %d threads\n", pl_path(), threads);
  const auto measure = [&](int rows, int context, int heads, int kv, int dim, int type) {
    char name[80];
    std::snprintf(name, sizeof name, "%d at %d, %d/%d x %d %s", rows, context, heads, kv, dim,
                  type == 1 ? "f16" : type == PL_CACHE_I16 ? "i16" : type == 8 ? "q8_0" : "f32");
    if (!std::strstr(name, only)) return;
    double bytes, read;
    const int64_t layer = 2 * row_bytes(type, kv * dim) * context;
    const bool few = rows < 64;
    const int layers = few ? static_cast<int>(std::max<int64_t>(2, (int64_t{256} << 20) / layer)) : 2;
    const double t = run(pool, threads, heads, kv, dim, type, context - rows, rows, layers, few ? 11 : 5, &bytes, few ? &read : nullptr);
    const double work = 2.0 * heads * dim * (rows * (context - rows + (rows + 1) / 2.0));
    std::printf("%-32s %9.3f ms a layer %6.1f G MAC/s", name, t * 1e3, work / t * 1e-9);
    if (few) std::printf("  %5.1f GB/s  %3.0f%% of %.1f GB/s", bytes / t * 1e-9, 100 * read / t, bytes / read * 1e-9);
    std::printf("\n");
  };
  for (const int type : {PL_CACHE_F16, PL_CACHE_I16}) {
    for (const int rows : {1, 8, 16})
      for (const int context : {512, 2048, 8192, 32768}) measure(rows, context, 16, 8, 128, type);
    for (const int context : {512, 2048, 8192}) measure(512, context, 16, 8, 128, type);
    for (const int rows : {1, 8}) {
      measure(rows, 8192, 16, 16, 128, type);
      measure(rows, 8192, 32, 8, 128, type);
      measure(rows, 8192, 8, 1, 256, type);
      measure(rows, 8192, 32, 8, 64, type);
    }
  }
  for (const int type : {8, 0}) measure(1, 8192, 16, 8, 128, type);
  measure(8, 8192, 16, 8, 128, 8);
  return 0;
}
