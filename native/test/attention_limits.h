// Attention over integers at their limits: extreme bytes, magnitudes far apart, NaN and infinity, odd shapes; and
// buffers that end where no memory follows.
#pragma once
#include <sys/mman.h>

#include "attention_case.h"

namespace {

// Memory behind which there is none.
class Edge {
 public:
  uint8_t* data;
  explicit Edge(size_t bytes, const void* from = nullptr, size_t alignment = 1)
      : total_((bytes + kPage - 1) / kPage * kPage + kPage) {
    void* base = mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base_ = static_cast<uint8_t*>(base);
    mprotect(base_ + total_ - kPage, kPage, PROT_NONE);
    data = base_ + (total_ - kPage - bytes) / alignment * alignment;
    if (from) std::memcpy(data, from, bytes);
  }
  explicit Edge(const std::vector<float>& list) : Edge(4 * list.size(), list.data()) {}
  Edge(const Edge&) = delete;
  ~Edge() { munmap(base_, total_); }
  uint64_t address() const { return reinterpret_cast<uint64_t>(data); }

 private:
  static constexpr size_t kPage = 4096;
  size_t total_;
  uint8_t* base_;
};

enum class Limit { bytes, values, all, poison };

class Limits {
 public:
  explicit Limits(Limit limit) : limit_(limit) {
    const int group = pick({1, 1, 2, 3, 16, 40});
    c.kv_heads = pick({1, 2, 9});
    c.heads = c.kv_heads * group;
    c.dim = pick({64, 128, 192, 256, 256});
    c.v_dim = pick({64, 128, 192, 256});
    c.k_type = c.v_type = integers;
    c.window = pick({0, 0, 1, 2, 127, 128, 129});
    c.causal = below(4) != 0;
    c.softcap = pick({0, 0, 5, 50});
    c.scale = pick({1, 1, -1, 0}) / std::sqrt(static_cast<double>(c.dim));
    c.k_stride = 2 * c.kv_heads * c.dim + 8 * c.kv_heads;
    c.v_stride = 2 * c.kv_heads * c.v_dim;
    past_ = pick({0, 100, 126, 127, 128, 129, 255, 300});
    c.rows = pick({1, 1, 2, 3, 5, 17, 33});
    all_ = past_ + c.rows;
    c.q.resize(static_cast<size_t>(c.rows) * c.heads * c.dim);
    c.k.resize(static_cast<size_t>(all_) * c.kv_heads * c.dim);
    c.v.resize(static_cast<size_t>(all_) * c.kv_heads * c.v_dim);
    fill();
  }

  // `out` gets the results; false, and a line that says why, when something is wrong.
  bool run_all(std::vector<float>& out) {
    if (!compute(out) || !right(out)) return false;
    if (limit_ != Limit::poison) return true;
    const std::vector<float> clean = out;
    poison();
    return compute(out) && all_stored() && poisoned(clean, out);
  }

 private:
  void fill() {
    const bool alike = below(2) != 0;
    const float odd = 32639.0f / 32767 - 1;
    for (auto* list : {&c.q, &c.k, &c.v})
      for (auto& x : *list)
        x = limit_ != Limit::bytes ? normal()
            : alike                ? (list == &c.k ? -1.0f : 1.0f)
            : below(2)             ? 1.0f
            : below(2)             ? -1.0f
                                   : odd;
    if (limit_ == Limit::all) stretch(c.k, c.dim), stretch(c.q, c.dim);
    if (limit_ == Limit::all || limit_ == Limit::values) stretch(c.v, c.v_dim);
  }
  // Heads of very different magnitudes.
  static void stretch(std::vector<float>& list, int dim) {
    const int far = pick({2, 30, 37});
    for (size_t i = 0; i < list.size(); i += static_cast<size_t>(dim)) {
      const float by = static_cast<float>(std::pow(10.0, below(2 * far + 1) - far));
      for (int d = 0; d < dim; d++) list[i + static_cast<size_t>(d)] *= below(9) ? by : 0.0f;
    }
  }
  void poison() {
    const float bad = below(2) ? NAN : below(2) ? INFINITY : -INFINITY;
    where_ = below(3);
    at_ = below(where_ == 0 ? c.rows : all_);
    head_ = below(where_ == 0 ? c.heads : c.kv_heads);
    const int heads = where_ == 0 ? c.heads : c.kv_heads, dim = where_ == 2 ? c.v_dim : c.dim;
    auto& list = where_ == 0 ? c.q : where_ == 1 ? c.k : c.v;
    list[static_cast<size_t>((at_ * heads + head_) * dim + below(dim))] = bad;
  }

  // Stores and computes in several ways, with the same results.
  bool compute(std::vector<float>& out) {
    const auto bytes = [&](int64_t stride) { return static_cast<size_t>(whole_blocks(all_) * stride); };
    const Edge keys(bytes(c.k_stride)), values(bytes(c.v_stride)), q(c.q), k(c.k), v(c.v);
    std::memset(keys.data, 0xff, bytes(c.k_stride));
    std::memset(values.data, 0xff, bytes(c.v_stride));
    pl_cache_slice slice{keys.address(), values.address(), c.k_stride, c.v_stride, 0, all_, 0};
    pl_cache_store s{};
    s.k = k.address(), s.k_width = c.kv_heads * c.dim, s.k_row_stride = 4 * s.k_width, s.k_type = integers;
    s.v = v.address(), s.v_width = c.kv_heads * c.v_dim, s.v_row_stride = 4 * s.v_width, s.v_type = integers;
    s.slices = reinterpret_cast<uint64_t>(&slice), s.slice_count = 1, s.kv_heads = c.kv_heads;
    run(pl_op_cache_store, &s, 1 + below(3));
    const auto copy = [](const Edge& e, size_t n) { return std::vector<uint8_t>(e.data, e.data + n); };
    c.sequences = {{copy(keys, bytes(c.k_stride)), copy(values, bytes(c.v_stride)), past_, c.rows}};

    const auto call = [&](int first, int rows, int threads, bool roomy, std::vector<float>& to) {
      slice.first = first, slice.count = rows, slice.past = past_ + first;
      pl_attention p{};
      p.q = q.address(), p.q_head_stride = 4 * c.dim, p.q_stride = 4 * c.dim * c.heads;
      p.out = reinterpret_cast<uint64_t>(to.data()), p.out_stride = 4 * c.v_dim * c.heads;
      p.slices = reinterpret_cast<uint64_t>(&slice), p.slice_count = 1;
      p.heads = c.heads, p.kv_heads = c.kv_heads, p.head_dim = c.dim, p.v_dim = c.v_dim;
      p.k_type = p.v_type = integers, p.scale = c.scale, p.softcap = c.softcap;
      p.window = c.window, p.causal = c.causal;
      p.scratch_bytes = pl_attention_scratch(&p, roomy ? rows : 0, past_ + first + rows, threads);
      const Edge scratch(static_cast<size_t>(p.scratch_bytes), nullptr, 64);
      // Only the counters have to be zeros.
      std::memset(scratch.data + 16384, below(2) ? 0xff : 0x7f, static_cast<size_t>(p.scratch_bytes) - 16384);
      p.scratch = scratch.address();
      run(pl_op_attention, &p, threads);
      for (auto& x : to)
        if (std::isnan(x)) x = NAN;  // any NaN will do
    };
    out.assign(static_cast<size_t>(c.rows) * c.heads * c.v_dim, 7.0f);
    std::vector<float> other = out;
    call(0, c.rows, 1, false, out);
    call(0, c.rows, 1, true, other);
    if (!same(out, other, "at limits: scratch", c)) return false;
    call(0, c.rows, 3, true, other);
    if (!same(out, other, "at limits: 3 threads", c)) return false;
    if (!c.causal) return true;
    for (int r = 0; r < c.rows; r++) call(r, 1, 1, true, other);
    if (!same(out, other, "at limits: one by one", c)) return false;
    for (int r = 0, n; r < c.rows; r += n) {
      n = std::min(c.rows - r, 1 + below(5));
      call(r, n, 2, true, other);
    }
    return same(out, other, "at limits: splitting", c);
  }

  bool right(const std::vector<float>& out) const {
    if (!all_stored()) return false;
    // Scores whose magnitudes are far apart leave nothing to compare with.
    const double error = limit_ == Limit::all ? 0 : reference_error(c, out, true);
    if (error < 5e-4) return true;
    std::printf("FAILED: error %g at limits (heads %d/%d dim %d/%d window %d causal %d cap %g scale %g)\n", error,
                c.heads, c.kv_heads, c.dim, c.v_dim, c.window, c.causal, c.softcap, c.scale);
    return false;
  }
  // What is stored is about half a unit from what was given, at most; units are 2^-16 of a head's range. But for the
  // head that has a bad number.
  bool all_stored() const { return stored(1, c.k, c.dim, key) && stored(2, c.v, c.v_dim, ::value); }
  template <class Get>
  bool stored(int which, const std::vector<float>& from, int dim, Get get) const {
    for (int j = 0; j < all_; j++) {
      for (int h = 0; h < c.kv_heads; h++) {
        if (which == where_ && j == at_ && h == head_) continue;
        const float* x = &from[static_cast<size_t>((j * c.kv_heads + h) * dim)];
        double largest = 0, off = 0;
        for (int d = 0; d < dim; d++) {
          largest = std::max(largest, static_cast<double>(std::fabs(x[d])));
          off = std::max(off, std::fabs(get(c, c.sequences[0], j, h, d) - x[d]));
        }
        if (off <= (largest < 2.6e-26 ? largest : largest / 32767 * 0.51)) continue;
        return std::printf("FAILED: stored %g off, the largest is %g\n", off, largest), false;
      }
    }
    return true;
  }
  // Rows that see what is bad are NaN, others as they were.
  bool poisoned(const std::vector<float>& clean, const std::vector<float>& out) const {
    for (int r = 0; r < c.rows; r++) {
      for (int h = 0; h < c.heads; h++) {
        const int own = past_ + r, high = c.causal ? own + 1 : all_;
        const int low = c.window ? std::max(0, own - c.window + 1) : 0;
        const bool sees = where_ == 0 ? r == at_ && h == head_
                                      : h / (c.heads / c.kv_heads) == head_ && at_ >= low && at_ < high;
        for (int d = 0; d < c.v_dim; d++) {
          const size_t i = static_cast<size_t>((r * c.heads + h) * c.v_dim + d);
          if (sees ? std::isnan(out[i]) : !std::memcmp(&out[i], &clean[i], 4)) continue;
          std::printf("FAILED: bad number in list %d at %d, head %d; row %d, head %d: %g was %g\n", where_, at_, head_, r,
                      h, static_cast<double>(out[i]), static_cast<double>(clean[i]));
          return false;
        }
      }
    }
    return true;
  }

  Case c;
  Limit limit_;
  int past_, all_, where_ = 0, at_ = 0, head_ = 0;
};

}  // namespace
