// How exact attention is with each type of cache: cache_error [path]
// One query row sees 512 positions of 8 heads of 128 elements, normally distributed but for one element of keys and
// values, which is larger by some factor (models have such elements). Prints the root mean square and the largest error
// of the other elements against double precision on the numbers before they were stored, relative to the
// root mean square of the result; over 20 such layers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../include/paceline.h"
#include "../test/random.h"

namespace {

constexpr int kHeads = 8, kGroup = 2, kDim = 128, kPositions = 512, kWidth = kHeads * kDim, kLarge = 7;
constexpr double kScale = 0.18;

uint64_t address(const void* p) { return reinterpret_cast<uint64_t>(p); }

struct Layer {
  std::vector<float> q, k, v, out;
  explicit Layer(float factor)
      : q(kGroup * kWidth), k(kPositions * kWidth), v(k.size()), out(q.size()) {
    for (auto* list : {&q, &k, &v})
      for (auto& x : *list) x = normal();
    for (size_t i = kLarge; i < k.size(); i += kDim) k[i] *= factor, v[i] *= factor;
    for (size_t i = kLarge; i < q.size(); i += kDim) q[i] /= factor;
  }
  void run(int type) {
    const int64_t extra = type == PL_CACHE_I16 ? 8 * kHeads : 0;
    const int64_t row = type == PL_CACHE_F32 ? 4 * kWidth : type == PL_CACHE_Q8_0 ? kWidth / 32 * 34 : 2 * kWidth;
    std::vector<uint8_t> keys(static_cast<size_t>(kPositions * (row + extra))), values(static_cast<size_t>(kPositions * row));
    pl_cache_slice slice{address(keys.data()), address(values.data()), row + extra, row, 0, kPositions, 0};
    pl_cache_store c{};
    c.k = address(k.data()), c.v = address(v.data());
    c.k_width = c.v_width = kWidth, c.k_row_stride = c.v_row_stride = 4 * kWidth;
    c.k_type = c.v_type = type, c.slices = address(&slice), c.slice_count = 1, c.kv_heads = kHeads;
    pl_op_cache_store(nullptr, 0, 1, &c);
    slice.count = 1, slice.past = kPositions - 1;
    pl_attention p{};
    p.q = address(q.data()), p.q_head_stride = 4 * kDim, p.q_stride = 4 * kGroup * kWidth;
    p.out = address(out.data()), p.out_stride = p.q_stride;
    p.slices = address(&slice), p.slice_count = 1, p.heads = kHeads * kGroup, p.kv_heads = kHeads;
    p.head_dim = p.v_dim = kDim, p.k_type = p.v_type = type, p.scale = kScale, p.causal = 1;
    p.scratch_bytes = pl_attention_scratch(&p, 1, kPositions, 1);
    void* scratch = std::aligned_alloc(64, static_cast<size_t>(p.scratch_bytes));
    std::memset(scratch, 0, static_cast<size_t>(p.scratch_bytes));
    p.scratch = address(scratch);
    pl_op_attention(nullptr, 0, 1, &p);
    std::free(scratch);
  }
  // Adds to sums of squares of errors and results, and to the largest error.
  void compare(double* errors, double* results, double* worst) const {
    for (int h = 0; h < kHeads * kGroup; h++) {
      const auto at = [&](int j, int d) { return static_cast<size_t>(j * kWidth + h / kGroup * kDim + d); };
      std::vector<double> weights(kPositions, 0.0);
      for (int j = 0; j < kPositions; j++)
        for (int d = 0; d < kDim; d++) weights[j] += kScale * q[static_cast<size_t>(h * kDim + d)] * k[at(j, d)];
      const double top = *std::max_element(weights.begin(), weights.end());
      double sum = 0;
      for (auto& w : weights) sum += w = std::exp(w - top);
      for (int d = 0; d < kDim; d++) {
        if (d == kLarge) continue;
        double result = 0;
        for (int j = 0; j < kPositions; j++) result += weights[j] / sum * v[at(j, d)];
        const double error = out[static_cast<size_t>(h * kDim + d)] - result;
        *errors += error * error;
        *results += result * result;
        *worst = std::max(*worst, std::fabs(error));
      }
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (pl_init(argc > 1 ? argv[1] : nullptr)) return std::printf("%s\n", pl_error()), 1;
  std::printf("path %s; error of the rest, relative to the results\n", pl_path());
  const struct {
    const char* name;
    int type;
  } types[] = {{"f16", PL_CACHE_F16}, {"i16", PL_CACHE_I16}, {"q8_0", PL_CACHE_Q8_0}, {"f32", PL_CACHE_F32}};
  for (const float factor : {1.0f, 10.0f, 30.0f, 100.0f}) {
    for (const auto& t : types) {
      double errors = 0, results = 0, worst = 0;
      for (int i = 1; i <= 20; i++) {
        random_state = static_cast<uint64_t>(i);
        Layer layer(factor);
        layer.run(t.type);
        layer.compare(&errors, &results, &worst);
      }
      const double typical = std::sqrt(results / (20.0 * kHeads * kGroup * (kDim - 1)));
      std::printf("one element %3g times as large, %-4s  rms %.1e  worst %.1e\n", static_cast<double>(factor), t.name,
                  std::sqrt(errors / results), worst / typical);
    }
  }
  return 0;
}
