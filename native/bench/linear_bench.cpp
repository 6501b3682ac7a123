// Micro benchmark of the kernels at the shapes of Qwen3-0.6B: memory read bandwidth, then one pass of
// all matrix products for 1 to 512 rows, in ms, GB/s of weights, and the share of that bandwidth.
// Usage: linear_bench [type[,type]] [rows[,rows]] [threads]; PACELINE_CPU forces a path.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../include/paceline.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Threads that spin between jobs, like a compute graph's workers.
class Pool {
 public:
  explicit Pool(int n) : n_(n) {
    for (int i = 1; i < n; ++i) workers_.emplace_back([this, i] { work(i); });
  }
  ~Pool() {
    stop_ = true;
    job_.fetch_add(1);
    for (auto& w : workers_) w.join();
  }
  void run(const std::function<void(int, int)>& f) {
    f_ = &f;
    left_.store(n_ - 1);
    job_.fetch_add(1);
    f(0, n_);
    while (left_.load() > 0) {
    }
  }
  int size() const { return n_; }

 private:
  void work(int i) {
    int seen = 0;
    for (;;) {
      while (job_.load() == seen) {
      }
      seen = job_.load();
      if (stop_) return;
      (*f_)(i, n_);
      left_.fetch_sub(1);
    }
  }
  int n_;
  std::vector<std::thread> workers_;
  std::atomic<int> job_{0}, left_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int, int)>* f_ = nullptr;
};

double bandwidth(Pool& pool) {
  const int64_t bytes = int64_t{512} << 20;
  char* p = static_cast<char*>(pl_alloc(bytes));
  pl_fill_memory(p, bytes);
  double best = 0;
  std::atomic<int64_t> sink{0};
  for (int r = 0; r < 7; ++r) {
    const double t = now();
    pool.run([&](int i, int n) { sink += pl_read_memory(p + bytes / n * i, bytes / n); });
    best = std::max(best, static_cast<double>(bytes) / (now() - t) / 1e9);
  }
  pl_free(p, bytes);
  return best;
}

struct Type {
  const char* name;
  int id;
  int block, bytes;
};
const Type types[] = {{"f32", 0, 1, 4},       {"f16", 1, 1, 2},       {"bf16", 30, 1, 2},
                      {"q4_0", 2, 32, 18},    {"q4_1", 3, 32, 20},    {"q5_0", 6, 32, 22},
                      {"q5_1", 7, 32, 24},    {"q8_0", 8, 32, 34},    {"q2_k", 10, 256, 84},
                      {"q3_k", 11, 256, 110}, {"q4_k", 12, 256, 144}, {"q5_k", 13, 256, 176},
                      {"q6_k", 14, 256, 210}, {"iq4_nl", 20, 32, 18}, {"iq4_xs", 23, 256, 136},
                      {"mxfp4", 39, 32, 17},  {"nvfp4", 40, 64, 36},  {"q1_0", 41, 128, 18},
                      {"q2_0", 42, 64, 18},   {"tq1_0", 34, 256, 54}, {"tq2_0", 35, 256, 66},
                      {"iq2_xxs", 16, 256, 66}, {"iq2_xs", 17, 256, 74}, {"iq2_s", 22, 256, 82},
                      {"iq3_xxs", 18, 256, 98}, {"iq3_s", 21, 256, 110}, {"iq1_s", 19, 256, 50},
                      {"iq1_m", 29, 256, 56}};

std::vector<std::string> split(const char* s) {
  std::vector<std::string> out;
  for (const char* p = s;;) {
    const char* q = std::strchr(p, ',');
    out.emplace_back(p, q ? static_cast<size_t>(q - p) : std::strlen(p));
    if (!q) return out;
    p = q + 1;
  }
}

struct Op {
  pl_linear linear;
  int64_t quantize_k, bytes;
};

}  // namespace

int main(int argc, char** argv) {
  const auto names = split(argc > 1 ? argv[1] : "q4_0,q8_0,q4_k,q6_k");
  const auto counts = split(argc > 2 ? argv[2] : "1,2,4,8,16,512");
  const int threads = argc > 3 ? std::atoi(argv[3]) : 2;
  if (pl_init(std::getenv("PACELINE_CPU")) != 0) return std::fprintf(stderr, "%s\n", pl_error()), 1;
  Pool pool(threads);
  const double read = bandwidth(pool);
  std::printf("path %s, %d threads, memory reads %.1f GB/s\n", pl_path(), threads, read);
  const int layers = 28;
  const int64_t hidden = 1024, inner = 3072, heads = 2048, kv = 1024, most = 512;
  for (const auto& name : names) {
    const Type* type = nullptr;
    for (const Type& t : types)
      if (name == t.name) type = &t;
    if (!type) return std::fprintf(stderr, "unknown type %s\n", name.c_str()), 2;
    // Source blocks with small finite scales, repacked for every matrix.
    const int64_t source_bytes = inner * hidden / type->block * type->bytes;
    uint8_t* source = static_cast<uint8_t*>(pl_alloc(source_bytes));
    uint32_t seed = 1;
    for (int64_t i = 0; i < source_bytes; ++i) {
      seed = seed * 1664525u + 1013904223u;
      source[i] = (seed >> 24) & 0x2f;
    }
    // All matrices in one piece of memory, as the engine has them, so that the pages can be huge.
    const auto size = [&](int64_t k, int64_t n) { return pl_panel_bytes(type->id, k, n); };
    const int64_t store_bytes = layers * (size(hidden, heads) + 2 * size(hidden, kv) + size(heads, hidden) +
                                          2 * size(hidden, inner) + size(inner, hidden));
    uint8_t* store = static_cast<uint8_t*>(pl_alloc(store_bytes));
    std::memset(store, 0, static_cast<size_t>(store_bytes));  // touch the pages: not what is measured
    double packing = 0;
    int64_t total = 0, macs = 0, packed = 0;
    auto weights = [&](int64_t k, int64_t n) {
      const int64_t bytes = size(k, n);
      uint8_t* p = store + total;
      const double t = now();
      if (pl_repack(type->id, source, p, k, n, 0, n, threads) != 0) std::abort();
      packing += now() - t;
      packed += k * n / type->block * type->bytes;
      total += bytes;
      macs += k * n;
      return reinterpret_cast<uint64_t>(p);
    };
    float* x = static_cast<float*>(pl_alloc(most * inner * 4));
    for (int64_t i = 0; i < most * inner; ++i) x[i] = static_cast<float>((i * 7919) % 1000 - 500) / 500;
    float* y = static_cast<float*>(pl_alloc(most * inner * 3 * 4));
    void* act = pl_alloc(pl_act_bytes(inner, most));
    const uint64_t xa = reinterpret_cast<uint64_t>(x), ya = reinterpret_cast<uint64_t>(y),
                   aa = reinterpret_cast<uint64_t>(act);
    std::vector<Op> ops;
    auto add = [&](int64_t k, std::vector<int64_t> n, int epilogue) {
      Op op{};
      pl_linear& l = op.linear;
      l.act = aa, l.x = xa, l.x_stride = k * 4, l.k = k, l.count = static_cast<int64_t>(n.size());
      l.epilogue = epilogue;
      l.panels0 = weights(k, n[0]), l.type0 = type->id, l.n0 = n[0], l.dst0 = ya, l.stride0 = n[0] * 4;
      if (n.size() > 1)
        l.panels1 = weights(k, n[1]), l.type1 = type->id, l.n1 = n[1], l.dst1 = ya, l.stride1 = n[1] * 4;
      if (n.size() > 2)
        l.panels2 = weights(k, n[2]), l.type2 = type->id, l.n2 = n[2], l.dst2 = ya, l.stride2 = n[2] * 4;
      op.quantize_k = k;
      ops.push_back(op);
    };
    for (int i = 0; i < layers; ++i) {
      add(hidden, {heads, kv, kv}, 0);
      add(heads, {hidden}, 0);
      add(hidden, {inner, inner}, 1);
      add(inner, {hidden}, 0);
    }
    std::printf("%s: %.1f MB of panels, repacked at %.2f GB/s\n", type->name,
                static_cast<double>(total) / 1e6, static_cast<double>(packed) / packing / 1e9);
    double one = 0;
    for (const auto& count : counts) {
      const int64_t rows = std::atoi(count.c_str());
      const bool real = pl_needs_quantized(type->id) == 0;
      auto pass = [&] {
        for (Op& op : ops) {
          if (!real) {
            pl_quantize q{};
            q.x = xa, q.x_stride = op.quantize_k * 4, q.out = aa, q.k = op.quantize_k, q.rows = rows;
            pool.run([&](int i, int n) { pl_op_quantize(nullptr, i, n, &q); });
          }
          op.linear.rows = rows;
          pool.run([&](int i, int n) { pl_op_linear(nullptr, i, n, &op.linear); });
        }
      };
      pass();
      std::vector<double> times;
      const double begin = now();
      while (times.size() < 5 || (now() - begin < 1.0 && times.size() < 50)) {
        const double t = now();
        pass();
        times.push_back(now() - t);
      }
      std::sort(times.begin(), times.end());
      const double t = times[times.size() / 2];
      if (rows == 1) one = t;
      std::printf("  rows %4ld: %8.2f ms (best %.2f), %5.1f GB/s = %3.0f%%, %6.0f G MAC/s, %7.1f rows/s",
                  static_cast<long>(rows), t * 1e3, times[0] * 1e3, static_cast<double>(total) / t / 1e9,
                  static_cast<double>(total) / t / 1e9 / read * 100,
                  static_cast<double>(macs * rows) / t / 1e9, static_cast<double>(rows) / t);
      if (one > 0) std::printf(", %.2fx one row", t / one);
      std::printf("\n");
      std::fflush(stdout);
    }
    pl_free(store, store_bytes), pl_free(source, source_bytes), pl_free(act, pl_act_bytes(inner, most));
    pl_free(x, most * inner * 4), pl_free(y, most * inner * 3 * 4);
  }
  return 0;
}
