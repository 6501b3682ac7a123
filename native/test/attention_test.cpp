// Attention and cache stores against a double-precision reference and against themselves:
//   attention_test [path] [rounds] [seed]    every path that the machine can run, unless one is named
// The same bytes are asked for every batch size, split into calls, number of threads, amount of
// scratch and neighbour sequence, and from every path. Prints a line a path; exit 1 on a failure.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../include/paceline.h"
#include "attention_case.h"
#include "attention_limits.h"

namespace {

bool one(Case& c, double* worst, std::vector<float>& out) {
  auto slices = slices_of(c);
  store(c, slices, 1 + below(3));
  out.assign(static_cast<size_t>(c.rows) * c.heads * c.v_dim, 7.0f);
  attend(c, slices, 1, true, out);
  const double error = reference_error(c, out);
  *worst = std::max(*worst, error);
  if (!(error < (c.k_type == integers ? 3e-4 : 4e-6))) {
    std::printf("FAILED: error %g (heads %d/%d dim %d/%d types %d/%d window %d causal %d cap %g)\n", error, c.heads,
                c.kv_heads, c.dim, c.v_dim, c.k_type, c.v_type, c.window, c.causal, c.softcap);
    return false;
  }
  std::vector<float> other(out.size(), 7.0f);
  attend(c, slices, 2, true, other);
  if (!same(out, other, "2 threads", c)) return false;
  attend(c, slices, 3, true, other);
  if (!same(out, other, "3 threads", c)) return false;
  attend(c, slices, 2, false, other);
  if (!same(out, other, "little scratch", c)) return false;
  if (!c.causal) return true;
  // Every sequence alone, in calls of random sizes, stored and computed step by step.
  for (int style = 0; style < 3; style++) {
    std::fill(other.begin(), other.end(), 7.0f);
    for (auto& s : c.sequences) spoil(c, s, s.past);
    for (const auto& whole : slices) {
      for (int64_t at = 0; at < whole.count;) {
        const int64_t n = std::min<int64_t>(whole.count - at, style == 0 ? 1 : 1 + below(style == 1 ? 8 : 130));
        auto part = whole;
        part.first += at;
        part.past += at;
        part.count = n;
        std::vector<pl_cache_slice> list{part};
        store(c, list, 1);
        attend(c, list, 1 + below(2), below(2) != 0, other);
        at += n;
      }
    }
    if (!same(out, other, "splitting the batch", c)) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 && *argv[1] ? argv[1] : nullptr;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 60;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  std::vector<std::string> paths;
  pl_init(nullptr);
  const std::string list = only ? only : pl_paths();
  for (size_t i = 0; i < list.size();) {
    const size_t end = std::min(list.find(',', i), list.size());
    paths.push_back(list.substr(i, end - i));
    i = end + 1;
  }
  std::vector<std::vector<float>> first(static_cast<size_t>(rounds)), at_limits(static_cast<size_t>(rounds));
  for (const auto& path : paths) {
    if (pl_init(path.c_str())) return std::printf("%s\n", pl_error()), 1;
    // Without a fused multiply-add the portable path rounds differently.
    const bool fused = path != "scalar";
    double worst = 0;
    uint64_t sum = 0;
    for (int i = 0; i < rounds; i++) {
      random_state = seed * 1000003 + static_cast<uint64_t>(i);
      std::vector<float> out;
      Case c = make(i % 8 == 0);
      if (!one(c, &worst, out)) return std::printf("path %s, round %d\n", path.c_str(), i), 1;
      for (float x : out) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        sum = (sum ^ bits) * 0x100000001b3ull;
      }
      auto& mark = first[static_cast<size_t>(i)];
      if (!fused) continue;
      if (mark.empty()) mark = out;
      if (!same(mark, out, "the path", c)) return 1;
    }
    for (int i = 0; i < rounds; i++) {
      random_state = seed * 7000003 + static_cast<uint64_t>(i);
      std::vector<float> out;
      Limits limits(static_cast<Limit>(i % 4));
      if (!limits.run_all(out)) return std::printf("path %s, round %d at limits\n", path.c_str(), i), 1;
      auto& mark = at_limits[static_cast<size_t>(i)];
      if (!fused) continue;
      if (mark.empty()) mark = out;
      if (mark.size() != out.size() || std::memcmp(mark.data(), out.data(), 4 * out.size()) != 0)
        return std::printf("FAILED: the path changes bytes of round %d at limits\n", i), 1;
    }
    std::printf("%s: %d rounds, error at most %.2g of the largest value, sum %016llx\n", path.c_str(), rounds, worst,
                static_cast<unsigned long long>(sum));
  }
  return 0;
}
