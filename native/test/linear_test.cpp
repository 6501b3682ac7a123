// Matrix products against a double-precision reference and against themselves:
//   linear_test [path]    every path that the machine can run, unless one is named
// Random blocks of every type; rows read back from the panels are the reference's weights. The same
// bytes are asked for every number of rows, threads (real ones) and from the expert product.
// An aborted product leaves its output alone and its parameters ready for the next run.
// Prints a line a path; exit 1 on a failure.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../include/paceline.h"
#include "weights.h"

namespace {

template <class P>
void run(void (*op)(void*, int, int, void*), P& params, int threads) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; i++) others.emplace_back([&, i] { op(nullptr, i, threads, &params); });
  op(nullptr, 0, threads, &params);
  for (auto& t : others) t.join();
}

std::vector<float> product(const Type& t, const Memory& panels, int64_t k, int64_t n, const float* x,
                           int64_t rows, int threads) {
  std::vector<float> y(static_cast<size_t>(n * rows), NAN);
  Memory act(pl_act_bytes(k, rows) + 64);
  pl_linear l{};
  l.x = address(x), l.x_stride = k * 4, l.k = k, l.rows = rows, l.count = 1;
  l.panels0 = address(panels.data), l.type0 = t.id, l.n0 = n, l.dst0 = address(y.data()), l.stride0 = n * 4;
  if (pl_needs_quantized(t.id)) {
    pl_quantize q{};
    q.x = l.x, q.x_stride = l.x_stride, q.out = address(act.data), q.k = k, q.rows = rows;
    run(pl_op_quantize, q, threads);
    l.act = q.out;
  }
  run(pl_op_linear, l, threads);
  return y;
}

int failures = 0;
void check(bool ok, const Type& t, const char* what, double value = 0) {
  if (ok) return;
  failures++;
  std::printf("  FAIL %s %s: %s (%g)\n", pl_path(), t.name, what, value);
}

std::vector<float> weights_of(const Type& t, const Memory& panels, int64_t k, int64_t n) {
  std::vector<float> w(static_cast<size_t>(k * n));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; i++) ids.push_back(static_cast<int32_t>(i));
  pl_get_rows g{};
  g.panels = address(panels.data), g.type = t.id, g.k = k, g.n = n, g.ids = address(ids.data());
  g.count = n, g.dst = address(w.data()), g.stride = k * 4;
  run(pl_op_get_rows, g, 2);
  return w;
}

// Nothing overflows where all weights, and all activations, lie at the ends of their ranges.
void test_extremes(const Type& t) {
  const int64_t k = 256, n = 16, rows = 16;
  const std::vector<float> ones(static_cast<size_t>(k * rows), 1), minus(ones.size(), -1);
  for (int fill : {0x00, 0x77, 0x7f, 0x80, 0x88, 0xff}) {
    const auto blocks = equal_rows(t, k, n, static_cast<uint8_t>(fill));
    Memory panels(pl_panel_bytes(t.id, k, n));
    pl_repack(t.id, blocks.data(), panels.data, k, n, 0, n, 1);
    const auto w = weights_of(t, panels, k, n);
    for (const auto* x : {&ones, &minus}) {
      const auto y = product(t, panels, k, n, x->data(), rows, 1);
      double most = 0, error = 0;
      for (int64_t i = 0; i < n * rows; i++) {
        double sum = 0, size = 0;
        for (int64_t c = 0; c < k; c++) {
          const double own = static_cast<double>(w[static_cast<size_t>(i % n * k + c)]);
          sum += own, size += std::fabs(own);
        }
        const double d = static_cast<double>(y[static_cast<size_t>(i)]) - sum * static_cast<double>((*x)[0]);
        error = std::max(error, std::fabs(d));
        most = std::max(most, size);
      }
      check(error <= 3e-6 * most, t, "at the ends of the ranges", error / most);
    }
  }
}

void test_type(const Type& t, int64_t k, int64_t n) {
  const int64_t most = 37;
  const auto blocks = random_rows(t, k, n);
  Memory panels(pl_panel_bytes(t.id, k, n));
  check(pl_repack(t.id, blocks.data(), panels.data, k, n, 0, n, 2) == 0, t, "repack");
  const auto w = weights_of(t, panels, k, n);
  std::vector<float> x(static_cast<size_t>(k * most));
  for (auto& v : x) v = normal();
  const auto whole = product(t, panels, k, n, x.data(), most, 2);
  double difference = 0, norm = 0;
  for (int64_t r = 0; r < most; r++) {
    for (int64_t i = 0; i < n; i++) {
      double sum = 0;
      for (int64_t c = 0; c < k; c++)
        sum += static_cast<double>(w[static_cast<size_t>(i * k + c)]) *
               static_cast<double>(x[static_cast<size_t>(r * k + c)]);
      const double d = static_cast<double>(whole[static_cast<size_t>(r * n + i)]) - sum;
      difference += d * d;
      norm += sum * sum;
    }
  }
  const double error = std::sqrt(difference / norm);
  check(error < (pl_needs_quantized(t.id) ? 0.012 : 1e-6), t, "error", error);
  for (int64_t rows : {1, 2, 3, 5, 8, 16, 20}) {
    for (int threads : {1, 2, 3}) {
      const int64_t start = static_cast<int64_t>(next_random() % static_cast<uint64_t>(most - rows + 1));
      const auto part = product(t, panels, k, n, x.data() + start * k, rows, threads);
      check(std::memcmp(part.data(), whole.data() + start * n, part.size() * 4) == 0, t, "bytes",
            static_cast<double>(rows));
    }
  }
  // The matrix as a stack of one expert, chosen by the only slot of every token.
  std::vector<int32_t> chosen(static_cast<size_t>(most), 0);
  std::vector<float> y(whole.size(), NAN);
  Memory act(pl_act_bytes(k, most) + 64);
  pl_moe m{};
  m.k = k, m.tokens = m.act_rows = most, m.slots = m.experts = m.count = 1;
  m.ids = address(chosen.data()), m.ids_stride = 4, m.dst = address(y.data()), m.stride = n * 4;
  m.panels0 = address(panels.data), m.type0 = t.id, m.n0 = n, m.bytes0 = panels.bytes;
  if (pl_needs_quantized(t.id)) {
    pl_quantize q{};
    q.x = address(x.data()), q.x_stride = k * 4, q.out = address(act.data), q.k = k, q.rows = most;
    run(pl_op_quantize, q, 1);
    m.act = q.out;
  } else {
    m.x = address(x.data()), m.x_stride = k * 4;
  }
  run(pl_op_moe, m, 2);
  check(std::memcmp(y.data(), whole.data(), y.size() * 4) == 0, t, "experts");
}

// The flag lies in the output, where the first tile's results raise it while the product runs.
template <class P>
void stopped(const Type& t, void (*op)(void*, int, int, void*), P& params, std::vector<float>& y,
             const std::vector<float>& whole) {
  for (int threads : {1, 2, 3}) {
    std::fill(y.begin(), y.end(), NAN);
    int32_t raised = 1;
    params.abort = address(&raised);
    run(op, params, threads);
    check(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }), t, "aborted before");
    y[0] = 0;
    params.abort = address(y.data());
    run(op, params, threads);
    check(y[0] == whole[0], t, "begun");
    check(threads > 1 || std::isnan(y.back()), t, "aborted on the way");
    check(params.next == 0 && params.finished == 0, t, "counters");
    raised = 0;
    params.abort = address(&raised);
    run(op, params, threads);
    check(std::memcmp(y.data(), whole.data(), y.size() * 4) == 0, t, "bytes after an abort", threads);
  }
}

void test_abort(const Type& t) {
  const int64_t k = 512, n = 100, rows = 40;
  const auto blocks = random_rows(t, k, n);
  Memory panels(pl_panel_bytes(t.id, k, n)), act(pl_act_bytes(k, rows) + 64);
  pl_repack(t.id, blocks.data(), panels.data, k, n, 0, n, 1);
  std::vector<float> x(static_cast<size_t>(k * rows)), y(static_cast<size_t>(n * rows));
  for (auto& v : x) v = normal();
  const auto whole = product(t, panels, k, n, x.data(), rows, 1);
  pl_linear l{};
  l.x = address(x.data()), l.x_stride = k * 4, l.k = k, l.rows = rows, l.count = 1;
  l.panels0 = address(panels.data), l.type0 = t.id, l.n0 = n, l.dst0 = address(y.data()), l.stride0 = n * 4;
  std::vector<int32_t> chosen(static_cast<size_t>(rows), 0);
  pl_moe m{};
  m.x = l.x, m.x_stride = l.x_stride, m.k = k, m.tokens = m.act_rows = rows;
  m.slots = m.experts = m.count = 1, m.ids = address(chosen.data()), m.ids_stride = 4;
  m.panels0 = l.panels0, m.type0 = t.id, m.n0 = n, m.bytes0 = panels.bytes;
  m.dst = l.dst0, m.stride = n * 4;
  if (pl_needs_quantized(t.id)) {
    pl_quantize q{};
    q.x = l.x, q.x_stride = l.x_stride, q.out = address(act.data), q.k = k, q.rows = rows;
    run(pl_op_quantize, q, 1);
    l.act = m.act = q.out;
    m.x = 0;
  }
  stopped(t, pl_op_linear, l, y, whole);
  stopped(t, pl_op_moe, m, y, whole);
}

}  // namespace

// The flag that stops a product on its way is in its own output here, so reading it races by design.
extern "C" const char* __tsan_default_suppressions() { return "race:pl::aborted\n"; }

int main(int argc, char** argv) {
  if (pl_init(argc > 1 ? argv[1] : nullptr) != 0) return std::fprintf(stderr, "%s\n", pl_error()), 1;
  std::string paths = argc > 1 ? argv[1] : pl_paths();
  for (size_t at = 0; at < paths.size();) {
    const size_t end = std::min(paths.find(',', at), paths.size());
    const std::string path = paths.substr(at, end - at);
    at = end + 1;
    pl_init(path.c_str());
    const int before = failures;
    for (const Type& t : types) {
      test_abort(t);
      test_extremes(t);
      for (int64_t n : {1, 19, 50}) {
        test_type(t, 256, n);
        test_type(t, 1024 + (t.block <= 32 ? 96 : 0), n);
        if (t.block == 1) test_type(t, 77, n);
      }
    }
    std::printf("%s: %s\n", path.c_str(), failures == before ? "ok" : "FAILED");
  }
  return failures ? 1 : 0;
}
