// Streams of a residual and compressed attention against double precision and against themselves:
//   compressed_test [path] [rounds] [seed]    every path that the machine can run, unless one is named
// The same bytes are asked for every number of threads and every split of a text into calls, and from every path but the
// portable one. Prints a line a path; exit 1 on a failure.
#include <string>

#include "compressed_case.h"
#include "streams_case.h"

namespace {

// What was made of all texts.
std::vector<float> made(const Compressed& c) {
  std::vector<float> all;
  for (const Text& t : c.texts) {
    all.insert(all.end(), t.out.begin(), t.out.end());
    all.insert(all.end(), t.chosen.begin(), t.chosen.end());
  }
  return all;
}

bool compressed(double* worst, std::vector<float>& out) {
  Compressed c;
  std::vector<Part> whole;
  for (size_t i = 0; i < c.texts.size(); i++) whole.push_back({i, 0, c.texts[i].rows});
  c.begin();
  if (!c.step(whole, 1)) return false;
  out = made(c);
  const double blocks = c.block_error(), attention = c.attention_error();
  *worst = std::max(*worst, attention);
  if (!(blocks < c.tolerance()) || !(attention < 2e-5)) {
    std::printf("FAILED: errors %g and %g (dim %d heads %d type %d window %d ratio %d overlap %d most %d causal %d)\n", blocks, attention,
                c.dim, c.heads, c.type, c.window, c.ratio, c.overlap, c.most, c.causal);
    return false;
  }
  c.begin();
  if (!c.step(whole, 3) || !same_bytes(out, made(c), "3 threads")) return false;
  for (int style = 0; c.causal && style < 3; style++) {
    c.begin();
    for (size_t i = 0; i < c.texts.size(); i++)
      for (int from = 0; from < c.texts[i].rows;) {
        const int count = style == 0 ? 1 : 1 + below(style == 1 ? 6 : 60);
        const Part part{i, from, std::min(count, c.texts[i].rows - from)};
        if (!c.step({part}, 1 + below(2))) return false;
        from += part.count;
      }
    if (!same_bytes(out, made(c), "splitting the batch")) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 && *argv[1] ? argv[1] : nullptr;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 40;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  pl_init(nullptr);
  const std::string list = only ? only : pl_paths();
  std::vector<std::vector<float>> first(static_cast<size_t>(rounds));
  for (size_t i = 0; i < list.size();) {
    const size_t end = std::min(list.find(',', i), list.size());
    const std::string path = list.substr(i, end - i);
    i = end + 1;
    if (pl_init(path.c_str())) return std::printf("%s\n", pl_error()), 1;
    double worst = 0, streams = 0;
    uint64_t sum = 0;
    for (int round = 0; round < rounds; round++) {
      random_state = seed * 1000003 + static_cast<uint64_t>(round);
      std::vector<float> out;
      if (!compressed(&worst, out) || !Streams().check(&streams, out))
        return std::printf("path %s, round %d\n", path.c_str(), round), 1;
      for (float x : out) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        sum = (sum ^ bits) * 0x100000001b3ull;
      }
      // Without a fused multiply-add the portable path rounds differently.
      if (path == "scalar") continue;
      auto& mark = first[static_cast<size_t>(round)];
      if (mark.empty()) mark = out;
      if (!same_bytes(mark, out, "the path")) return std::printf("path %s, round %d\n", path.c_str(), round), 1;
    }
    std::printf("%s: %d rounds, errors at most %.2g and %.2g of the largest value, sum %016llx\n", path.c_str(), rounds, worst,
                streams, static_cast<unsigned long long>(sum));
  }
  return 0;
}
