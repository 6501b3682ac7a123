// Random texts through DeepSeek V4's compressed attention, with everything again in double precision: keys of a window,
// one key for every so many positions, the indexer that chooses among these, and attention over both.
#pragma once
#include "attention_case.h"

namespace {

uint64_t at(const void* p) { return reinterpret_cast<uint64_t>(p); }

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  if (a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0) return true;
  std::printf("FAILED: %s changes bytes\n", what);
  return false;
}

// The largest difference, of the largest value.
double error_of(const std::vector<float>& got, const std::vector<double>& expected) {
  double most = 0, largest = 1e-30;
  for (size_t i = 0; i < got.size(); i++) {
    if (!(got[i] == got[i])) return INFINITY;
    most = std::max(most, std::fabs(got[i] - expected[i]));
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return most / largest;
}

// Rows [from, from + count) of a text, in one call.
struct Part {
  size_t text;
  int from, count;
};

struct Text {
  int rows, logged = 0;
  std::vector<float> x, kv, gate, q, weights, table;  // by position
  std::vector<uint8_t> window, blocks;
  std::vector<float> frontier, other;
  // Made: attention, and the numbers of chosen blocks.
  std::vector<float> out, chosen;
};

class Compressed {
 public:
  int dim, heads, type, window, ratio, overlap, dims, most, causal;
  std::vector<float> ape, norm, sinks;
  std::vector<Text> texts;

  Compressed() {
    dim = pick({1, 20, 32, 64, 96, 128, 512});
    heads = pick({1, 3, 8, 13});
    type = pick({PL_CACHE_F32, PL_CACHE_F16, PL_CACHE_Q8_0});
    if (dim == 512) heads = 1;
    if (type == PL_CACHE_Q8_0 && dim % 32 != 0) type = PL_CACHE_F16;
    window = pick({1, 7, 33, 128});
    overlap = below(2);
    ratio = overlap ? pick({2, 4}) : pick({1, 4, 16, 128});
    dims = dim / 4 * 2;
    most = pick({1, 3, 8, 1000});
    causal = below(4) != 0;  // texts in one call where it is not
    ape = list(int64_t{channels()} * ratio, 1), norm = list(dim, 1), sinks = list(heads, 1);
    for (int count = 1 + below(2); count > 0; count--) {
      Text t;
      t.rows = pick({1, 5, 40, 150});
      t.x = list(int64_t{dim} * t.rows, 1), t.q = list(int64_t{dim} * heads * t.rows, 1);
      t.kv = list(int64_t{channels()} * t.rows, 1), t.gate = list(int64_t{channels()} * t.rows, 2);
      t.weights = list(int64_t{heads} * t.rows, 1);
      t.table = list(int64_t{dims} * t.rows, 1);  // no rotation has to keep lengths
      texts.push_back(t);
    }
  }

  // Forgets what was made.
  void begin() {
    for (Text& t : texts) {
      const auto wide = static_cast<size_t>(row_bytes(type, dim));
      t.window.assign(wide * static_cast<size_t>(t.rows), 0xff);
      t.blocks.assign(wide * static_cast<size_t>(t.rows / ratio + 1), 0xff);
      t.frontier.assign(static_cast<size_t>((tail() + PL_LOGGED_ROWS) * 2 * channels()), NAN);
      t.other = t.frontier;
      t.out.assign(static_cast<size_t>(t.rows) * static_cast<size_t>(dim * heads), 7.0f);
      t.chosen.assign(static_cast<size_t>(t.rows) * static_cast<size_t>(1 + most), 7.0f);
      t.logged = 0;
    }
  }

  // Computes rows of some texts in one call each. False: what the scores are, or the choice, is wrong.
  bool step(const std::vector<Part>& parts, int threads) {
    std::vector<float> x, kv, gate, q, weights, table;
    std::vector<pl_compress_slice> slices;
    int rows = 0, blocks = 0;
    for (const Part& p : parts) {
      Text& t = texts[p.text];
      add(x, t.x, p, dim), add(kv, t.kv, p, channels()), add(gate, t.gate, p, channels());
      add(q, t.q, p, dim * heads), add(weights, t.weights, p, heads), add(table, t.table, p, dims);
      std::swap(t.frontier, t.other);
      const int64_t stride = row_bytes(type, dim);
      slices.push_back({p.from ? at(t.other.data()) : 0, at(t.frontier.data()), t.logged, at(t.window.data()), stride,
                        at(t.blocks.data()), stride, rows, p.count, p.from});
      t.logged = p.count <= PL_LOGGED_ROWS ? p.count : 0;
      rows += p.count;
      blocks = std::max(blocks, (p.from + p.count) / ratio);
    }
    const auto slice_count = static_cast<int64_t>(slices.size());
    pl_window_store w{};
    w.x = at(x.data()), w.width = dim, w.type = type, w.slices = at(slices.data()), w.slice_count = slice_count;
    run(pl_op_window_store, &w, threads);
    pl_compress c{};
    c.kv = at(kv.data()), c.kv_stride = 4 * channels(), c.gate = at(gate.data()), c.gate_stride = 4 * channels();
    c.ape = at(ape.data()), c.norm = at(norm.data()), c.eps = 1e-6, c.width = dim, c.ratio = ratio, c.overlap = overlap;
    c.table = at(table.data()), c.dims = dims, c.row = 2 * channels(), c.type = type;
    c.slices = at(slices.data()), c.slice_count = slice_count;
    run(pl_op_compress, &c, threads);
    std::vector<float> scores(static_cast<size_t>(rows) * static_cast<size_t>(blocks) + 1);
    pl_index_scores s{};
    s.q = at(q.data()), s.weights = at(weights.data()), s.dim = dim, s.heads = heads, s.rows = rows, s.ratio = ratio;
    s.type = type, s.slices = at(slices.data()), s.slice_count = slice_count, s.most = blocks, s.out = at(scores.data());
    run(pl_op_index_scores, &s, threads);
    std::vector<int32_t> chosen(static_cast<size_t>(rows) * static_cast<size_t>(1 + most), 7), again(chosen);
    pl_index_choice choice{};
    choice.scores = at(&s), choice.most = most, choice.out = at(chosen.data());
    run(pl_op_index_choice, &choice, threads);
    s.out = 0, choice.out = at(again.data());
    run(pl_op_index_choice, &choice, 1);
    for (int row = 0; row < rows; row++) {
      const int32_t *a = chosen.data() + row * (1 + most), *b = again.data() + row * (1 + most);
      const int count = a[0] < 0 ? 0 : a[0];
      if (std::memcmp(a, b, 4 * static_cast<size_t>(1 + count)) != 0) return wrong("scores that were known before");
    }
    std::vector<float> out(static_cast<size_t>(rows) * static_cast<size_t>(dim * heads), 7.0f);
    pl_block_attention a{};
    a.q = at(q.data()), a.heads = heads, a.dim = dim, a.rows = rows, a.window = window, a.ratio = ratio, a.causal = causal;
    a.chosen = at(chosen.data()), a.most = most, a.scale = scale(), a.sinks = at(sinks.data()), a.type = type;
    a.slices = at(slices.data()), a.slice_count = slice_count, a.out = at(out.data());
    run(pl_op_block_attention, &a, threads);
    for (size_t i = 0; i < parts.size(); i++) {
      const Part& p = parts[i];
      Text& t = texts[p.text];
      for (int row = 0; row < p.count; row++) {
        const auto batch = static_cast<size_t>(slices[i].first + row), own = static_cast<size_t>(p.from + row);
        const auto wide = static_cast<size_t>(dim * heads), picks = static_cast<size_t>(1 + most);
        std::copy_n(out.begin() + static_cast<int64_t>(batch * wide), wide, t.out.begin() + static_cast<int64_t>(own * wide));
        const int32_t* found = chosen.data() + batch * picks;
        for (size_t j = 0; j < picks; j++)
          t.chosen[own * picks + j] = j == 0 || static_cast<int>(j) <= found[0] ? static_cast<float>(found[j]) : 0;
        if (!best_of(scores.data() + batch * static_cast<size_t>(blocks), (p.from + row + 1) / ratio, found)) return false;
        if ((p.from + row) % some == 0 && threads == 1 && !scored(t, p.from + row, scores.data() + batch * static_cast<size_t>(blocks))) return false;
      }
    }
    return true;
  }

  // The largest errors of blocks and of attention. Whatever is stored is taken as it is for what comes after.
  double block_error() const {
    double worst = 0;
    for (const Text& t : texts)
      for (int b = 0; b < t.rows / ratio; b++) {
        std::vector<float> got;
        for (int d = 0; d < dim; d++) got.push_back(static_cast<float>(stored(t.blocks, b, d)));
        worst = std::max(worst, error_of(got, block(t, b)));
      }
    return worst;
  }
  double attention_error() const {
    double worst = 0;
    for (const Text& t : texts) {
      std::vector<double> expected;
      std::vector<float> got;
      const int wide = dim * heads;
      for (int row = 0; row < t.rows; row++) {
        if (row % some != 0 && row < t.rows - 1) continue;
        for (int h = 0; h < heads; h++) attend(t, row, h, expected);
        got.insert(got.end(), t.out.begin() + int64_t{row} * wide, t.out.begin() + int64_t{row + 1} * wide);
      }
      worst = std::max(worst, error_of(got, expected));
    }
    return worst;
  }
  // What the type of the blocks loses.
  double tolerance() const { return type == PL_CACHE_F32 ? 1e-5 : type == PL_CACHE_F16 ? 6e-4 : 5e-3; }

 private:
  static constexpr int some = 7;  // rows of which one is compared with doubles
  int channels() const { return (overlap ? 2 : 1) * dim; }
  int tail() const { return (overlap ? 2 : 1) * ratio - 1; }
  double scale() const { return 1 / std::sqrt(static_cast<double>(dim)); }
  static std::vector<float> list(int64_t count, float size) {
    std::vector<float> made(static_cast<size_t>(count));
    for (float& v : made) v = size * normal();
    return made;
  }
  static void add(std::vector<float>& to, const std::vector<float>& from, const Part& p, int width) {
    to.insert(to.end(), from.begin() + int64_t{p.from} * width, from.begin() + int64_t{p.from + p.count} * width);
  }
  static bool wrong(const char* what) { return std::printf("FAILED: %s\n", what), false; }
  double stored(const std::vector<uint8_t>& memory, int row, int d) const {
    return element(type, memory.data() + row * row_bytes(type, dim), d);
  }

  std::vector<double> block(const Text& t, int number) const {
    const int last = (number + 1) * ratio - 1;
    std::vector<double> made(static_cast<size_t>(dim));
    double squares = 0;
    for (int d = 0; d < dim; d++) {
      double total = 0, sums = 0;
      for (int position = last - tail(); position <= last; position++) {
        if (position < 0) continue;
        const int channel = d + (overlap && position > last - ratio ? dim : 0);
        const auto place = static_cast<size_t>(position * channels() + channel);
        const double weight =
            std::exp(double{t.gate[place]} + double{ape[static_cast<size_t>(position % ratio * channels() + channel)]});
        total += weight;
        sums += weight * t.kv[place];
      }
      made[static_cast<size_t>(d)] = sums / total;
      squares += sums / total * sums / total;
    }
    const double factor = 1 / std::sqrt(squares / dim + 1e-6);
    for (int d = 0; d < dim; d++) made[static_cast<size_t>(d)] *= factor * norm[static_cast<size_t>(d)];
    const float* turn = t.table.data() + last * dims;
    for (int i = 0; i < dims / 2; i++) {
      double &a = made[static_cast<size_t>(dim - dims + 2 * i)], &b = made[static_cast<size_t>(dim - dims + 2 * i + 1)];
      const double c = turn[i], s = turn[dims / 2 + i], before = a;
      a = before * c - b * s, b = before * s + b * c;
    }
    return made;
  }

  bool scored(const Text& t, int row, const float* scores) const {
    for (int b = 0; b < (row + 1) / ratio; b++) {
      double expected = 0, size = 0;
      for (int h = 0; h < heads; h++) {
        double dot = 0;
        for (int d = 0; d < dim; d++) dot += t.q[static_cast<size_t>((row * heads + h) * dim + d)] * stored(t.blocks, b, d);
        const double term = std::max(0.0, dot) * t.weights[static_cast<size_t>(row * heads + h)];
        expected += term, size += std::fabs(dot * t.weights[static_cast<size_t>(row * heads + h)]);
      }
      if (!(std::fabs(scores[b] - expected) <= 1e-5 * (size + dim))) return wrong("scores of blocks");
    }
    return true;
  }
  // Whether the highest scores were chosen, of equal ones the first.
  bool best_of(const float* scores, int count, const int32_t* chosen) const {
    if (count <= most) return chosen[0] == -1 || wrong("a choice of all");
    std::vector<int> order;
    for (int b = 0; b < count; b++) order.push_back(b);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
    std::sort(order.begin(), order.begin() + most);
    if (chosen[0] != most || !std::equal(order.begin(), order.begin() + most, chosen + 1)) return wrong("the choice");
    return true;
  }

  void attend(const Text& t, int row, int head, std::vector<double>& out) const {
    struct Key {
      const std::vector<uint8_t>& memory;
      int row;
      double score;
    };
    std::vector<Key> keys;
    for (int position = std::max(0, row - window + 1); position < (causal ? row + 1 : t.rows); position++) keys.push_back({t.window, position, 0});
    const float* chosen = t.chosen.data() + static_cast<int64_t>(row) * (1 + most);
    const int count = chosen[0] < 0 ? (row + 1) / ratio : static_cast<int>(chosen[0]);
    for (int i = 0; i < count; i++) keys.push_back({t.blocks, chosen[0] < 0 ? i : static_cast<int>(chosen[1 + i]), 0});
    double top = sinks[static_cast<size_t>(head)];
    for (Key& key : keys) {
      for (int d = 0; d < dim; d++)
        key.score += scale() * t.q[static_cast<size_t>((row * heads + head) * dim + d)] * stored(key.memory, key.row, d);
      top = std::max(top, key.score);
    }
    double mass = std::exp(sinks[static_cast<size_t>(head)] - top);
    for (Key& key : keys) mass += key.score = std::exp(key.score - top);
    for (int d = 0; d < dim; d++) {
      double sum = 0;
      for (const Key& key : keys) sum += key.score / mass * stored(key.memory, key.row, d);
      out.push_back(sum);
    }
  }
};

}  // namespace
