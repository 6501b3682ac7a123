// A residual of several streams, what rates and limits experts, and rotated tails, with everything again in double precision.
#pragma once
#include "compressed_case.h"

namespace {

class Streams {
 public:
  Streams()
      : n(pick({1, 2, 4, 8})), width(pick({1, 40, 257, 2100})), rows(pick({1, 3, 7})), iterations(pick({1, 2, 20})),
        whole(below(4) != 0), dims(width / 4 * 2), count(whole ? n * (2 + n) : n) {
    mixes = list(count * rows, 2), scale = list(3, 1), base = list(count, 1);
    x = list(width * n * rows, 1), y = list(width * rows, 1), far = list(width * rows, 30), weight = list(width, 1);
    table = list(dims * rows, 1);
  }

  // Adds what is computed to `out`.
  bool check(double* worst, std::vector<float>& out) {
    std::vector<float> one, more;
    compute(1, one);
    compute(3, more);
    if (!same_bytes(one, more, "3 threads")) return false;
    out.insert(out.end(), one.begin(), one.end());
    const double error = error_of(one, reference());
    *worst = std::max(*worst, error);
    if (error < 1e-5) return true;
    std::printf("FAILED: error %g (%d streams of %d, %d rows, %d iterations)\n", error, n, width, rows, iterations);
    return false;
  }

  void compute(int threads, std::vector<float>& out) const {
    const auto add = [&](const std::vector<float>& made) { out.insert(out.end(), made.begin(), made.end()); };
    std::vector<float> mix(mixes.size()), joined(y.size()), spread(x.size()), rated(far.size()), gated(far.size()), turned(y.size());
    pl_stream_mix m{};
    m.mixes = at(mixes.data()), m.scale = at(scale.data()), m.base = at(base.data()), m.count = count, m.streams = n;
    m.rows = rows, m.iterations = iterations, m.eps = 1e-6, m.out = at(mix.data());
    run(pl_op_stream_mix, &m, threads);
    add(mix);
    pl_stream_join j{};
    j.x = at(x.data()), j.mix = at(mix.data()), j.count = count, j.streams = n, j.width = width, j.rows = rows;
    j.out = at(joined.data());
    run(pl_op_stream_join, &j, threads);
    add(joined);
    if (whole) {
      pl_stream_spread s{};
      s.y = at(y.data()), s.x = at(x.data()), s.mix = at(mix.data()), s.count = count, s.streams = n, s.width = width;
      s.rows = rows, s.out = at(spread.data());
      run(pl_op_stream_spread, &s, threads);
      add(spread);
    }
    pl_root_softplus r{};
    r.x = at(far.data()), r.out = at(rated.data()), r.count = static_cast<int64_t>(far.size());
    run(pl_op_root_softplus, &r, threads);
    add(rated);
    pl_clamped_gate g{};
    g.gate = at(far.data()), g.up = at(y.data()), g.out = at(gated.data()), g.count = static_cast<int64_t>(far.size());
    g.limit = kLimit;
    run(pl_op_clamped_gate, &g, threads);
    add(gated);
    for (int kind = 0; kind < 4; kind++) {
      pl_tail_rope t{};
      t.x = at(y.data()), t.x_stride = 4 * width, t.head_dim = width, t.heads = 1, t.rows = rows, t.norm = kind > 0;
      t.weight = kind > 1 ? at(weight.data()) : 0, t.eps = 1e-5, t.table = at(table.data()), t.dims = dims, t.back = kind == 3;
      t.out = at(turned.data());
      run(pl_op_tail_rope, &t, threads);
      add(turned);
    }
  }

 private:
  static constexpr double kLimit = 1.5;
  const int n, width, rows, iterations;
  const bool whole;
  const int dims, count;
  std::vector<float> mixes, scale, base, x, y, far, weight, table;

  static std::vector<float> list(int64_t count, float size) {
    std::vector<float> made(static_cast<size_t>(count));
    for (float& v : made) v = size * normal();
    return made;
  }
  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

  // Sinkhorn's normalisation of c[to + n from].
  void balance(double* c) const {
    const auto divide = [&](int i, int step, int other) {
      double total = 1e-6;
      for (int k = 0; k < n; k++) total += c[i * step + k * other];
      for (int k = 0; k < n; k++) c[i * step + k * other] /= total;
    };
    for (int from = 0; from < n; from++) {
      double total = 0;
      for (int to = 0; to < n; to++) total += std::exp(c[to + n * from]);
      for (int to = 0; to < n; to++) c[to + n * from] = std::exp(c[to + n * from]) / total + 1e-6;
    }
    for (int to = 0; to < n; to++) divide(to, 1, n);
    for (int i = 1; i < iterations; i++) {
      for (int from = 0; from < n; from++) divide(from, n, 1);
      for (int to = 0; to < n; to++) divide(to, 1, n);
    }
  }

  std::vector<double> reference() const {
    std::vector<double> mix, joined, spread, rated, gated, turned, all;
    for (int row = 0; row < rows; row++) {
      std::vector<double> own;
      for (int i = 0; i < count; i++) {
        const auto place = static_cast<size_t>(i);
        const int part = i < n ? 0 : i < 2 * n ? 1 : 2;
        const double v = double{mixes[static_cast<size_t>(row * count + i)]} * scale[static_cast<size_t>(part)] + base[place];
        own.push_back(part == 0 ? sigmoid(v) + 1e-6 : part == 1 ? 2 * sigmoid(v) : v);
      }
      if (whole) balance(own.data() + 2 * n);
      for (int d = 0; d < width; d++) {
        double sum = 0;
        for (int s = 0; s < n; s++) sum += own[static_cast<size_t>(s)] * x[static_cast<size_t>((row * n + s) * width + d)];
        joined.push_back(sum);
      }
      for (int to = 0; whole && to < n; to++)
        for (int d = 0; d < width; d++) {
          double sum = y[static_cast<size_t>(row * width + d)] * own[static_cast<size_t>(n + to)];
          for (int s = 0; s < n; s++)
            sum += x[static_cast<size_t>((row * n + s) * width + d)] * own[static_cast<size_t>(2 * n + to + n * s)];
          spread.push_back(sum);
        }
      mix.insert(mix.end(), own.begin(), own.end());
    }
    for (size_t i = 0; i < far.size(); i++) {
      const double v = far[i], limited = std::min(v, kLimit);
      rated.push_back(std::sqrt(v > 30 ? v : std::log1p(std::exp(v))));
      gated.push_back(limited * sigmoid(limited) * std::max(-kLimit, std::min(kLimit, double{y[i]})));
    }
    for (int kind = 0; kind < 4; kind++)
      for (int row = 0; row < rows; row++) {
        std::vector<double> own;
        double squares = 0;
        for (int d = 0; d < width; d++) own.push_back(y[static_cast<size_t>(row * width + d)]), squares += own.back() * own.back();
        const double factor = kind > 0 ? 1 / std::sqrt(squares / width + 1e-5) : 1;
        for (int d = 0; d < width; d++) own[static_cast<size_t>(d)] *= factor * (kind > 1 ? weight[static_cast<size_t>(d)] : 1);
        for (int i = 0; i < dims / 2; i++) {
          const auto tail = static_cast<size_t>(width - dims + 2 * i);
          const double c = table[static_cast<size_t>(row * dims + i)], s = table[static_cast<size_t>(row * dims + dims / 2 + i)];
          const double a = own[tail], b = own[tail + 1], sine = kind == 3 ? -s : s;
          own[tail] = a * c - b * sine, own[tail + 1] = a * sine + b * c;
        }
        turned.insert(turned.end(), own.begin(), own.end());
      }
    for (const auto* part : {&mix, &joined, &spread, &rated, &gated, &turned}) all.insert(all.end(), part->begin(), part->end());
    return all;
  }
};

}  // namespace
