// A random case of attention for the tests: its caches, its calls, and a double-precision reference.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../include/paceline.h"
#include "random.h"

namespace {

int below(int n) { return static_cast<int>(next_random() % static_cast<uint64_t>(n)); }
int pick(std::initializer_list<int> list) { return list.begin()[below(static_cast<int>(list.size()))]; }

constexpr int integers = PL_CACHE_I16;
int64_t row_bytes(int type, int64_t n) {
  return type == PL_CACHE_F32 ? 4 * n : type == PL_CACHE_Q8_0 ? n / 32 * 34 : 2 * n;
}

double half(uint16_t h) {
  const int e = h >> 10 & 31, m = h & 1023;
  const double v = e == 31 ? (m ? NAN : INFINITY) : e ? std::ldexp(1024 + m, e - 25) : std::ldexp(m, -24);
  return h & 0x8000 ? -v : v;
}
double element(int type, const uint8_t* row, int64_t i) {
  if (type == 0) {
    float f;
    std::memcpy(&f, row + 4 * i, 4);
    return f;
  }
  uint16_t h;
  if (type == 1) {
    std::memcpy(&h, row + 2 * i, 2);
    return half(h);
  }
  std::memcpy(&h, row + i / 32 * 34, 2);
  return half(h) * reinterpret_cast<const int8_t*>(row)[i / 32 * 34 + 2 + i % 32];
}

struct Sequence {
  std::vector<uint8_t> k, v;
  int past, count;
};
struct Case {
  int heads, kv_heads, dim, v_dim, k_type, v_type, window, causal, ahead = 0, rows = 0;
  double scale, softcap;
  std::vector<float> q, k, v, sinks;
  std::vector<Sequence> sequences;
  int64_t k_stride, v_stride;
};

void run(void (*op)(void*, int, int, void*), void* params, int threads) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; i++) others.emplace_back(op, nullptr, i, threads, params);
  op(nullptr, 0, threads, params);
  for (auto& t : others) t.join();
}

// Integers lie in blocks of 64 positions, head by head, in tiles of 64 by 16: [depth / 4][column][depth % 4], upper bytes
// and 1024 bytes behind them lower ones. Keys have a column for a position, values one for an element.
constexpr int kWhole = 64;
int64_t whole_blocks(int64_t positions) { return (positions + kWhole - 1) / kWhole * kWhole; }
int64_t tile_byte(int column, int depth) { return depth / 4 * 64 + column * 4 + depth % 4; }
// Where an integer is in a sequence's memory: its upper byte, and its scale, which lies behind the keys.
struct Place {
  size_t byte, scale;
};
size_t key_block(const Case& c, int j, int head) {
  return static_cast<size_t>(j / kWhole * kWhole * c.k_stride + head * kWhole * (2 * c.dim + 8));
}
Place key_place(const Case& c, int j, int head, int d) {
  const size_t block = key_block(c, j, head);
  const auto tile = static_cast<size_t>((j % kWhole / 16 * (c.dim / 64) + d / 64) * 2048 + tile_byte(j % 16, d % 64));
  return {block + tile, block + static_cast<size_t>(kWhole * 2 * c.dim + j % kWhole * 4)};
}
Place value_place(const Case& c, int j, int head, int d) {
  const int64_t block = j / kWhole * kWhole * c.v_stride + head * kWhole * 2 * c.v_dim;
  const size_t scale = key_block(c, j, head) + static_cast<size_t>(kWhole * (2 * c.dim + 4) + j % kWhole * 4);
  return {static_cast<size_t>(block + d / 16 * 2048 + tile_byte(d % 16, j % kWhole)), scale};
}
double whole_number(const std::vector<uint8_t>& memory, size_t byte, const uint8_t* scale) {
  float f;
  std::memcpy(&f, scale, 4);
  return (memory[byte] * 256 + memory[byte + 1024] - 32768) * static_cast<double>(f);
}
double key(const Case& c, const Sequence& s, int j, int head, int d) {
  if (c.k_type != integers) return element(c.k_type, s.k.data() + j * c.k_stride, head * c.dim + d);
  const Place at = key_place(c, j, head, d);
  return whole_number(s.k, at.byte, s.k.data() + at.scale);
}
double value(const Case& c, const Sequence& s, int j, int head, int d) {
  if (c.v_type != integers) return element(c.v_type, s.v.data() + j * c.v_stride, head * c.v_dim + d);
  const Place at = value_place(c, j, head, d);
  return whole_number(s.v, at.byte, s.k.data() + at.scale);
}
// Makes what the cache has of positions from `from` on NaN, or what nobody would store.
void spoil(const Case& c, Sequence& s, int from) {
  if (c.k_type != integers) return std::fill(s.k.begin() + from * c.k_stride, s.k.end(), 0xff);
  const auto spoil_at = [&](std::vector<uint8_t>& memory, const Place& at) {
    memory[at.byte] = memory[at.byte + 1024] = 0xff;
    std::memset(s.k.data() + at.scale, 0xff, 4);
  };
  for (int j = from; j < whole_blocks(s.past + s.count); j++)
    for (int head = 0; head < c.kv_heads; head++) {
      for (int d = 0; d < c.dim; d++) spoil_at(s.k, key_place(c, j, head, d));
      for (int d = 0; d < c.v_dim; d++) spoil_at(s.v, value_place(c, j, head, d));
    }
}

std::vector<pl_cache_slice> slices_of(Case& c) {
  std::vector<pl_cache_slice> list;
  int first = 0;
  for (auto& s : c.sequences) {
    list.push_back({reinterpret_cast<uint64_t>(s.k.data()), reinterpret_cast<uint64_t>(s.v.data()),
                    c.k_stride, c.v_stride, first, s.count, s.past});
    first += s.count;
  }
  return list;
}

void store(Case& c, std::vector<pl_cache_slice>& slices, int threads) {
  pl_cache_store p{};
  p.k = reinterpret_cast<uint64_t>(c.k.data());
  p.k_width = c.kv_heads * c.dim;
  p.k_row_stride = 4 * p.k_width;
  p.k_type = c.k_type;
  p.v = reinterpret_cast<uint64_t>(c.v.data());
  p.v_width = c.kv_heads * c.v_dim;
  p.v_row_stride = 4 * p.v_width;
  p.v_type = c.v_type;
  p.slices = reinterpret_cast<uint64_t>(slices.data());
  p.slice_count = static_cast<int64_t>(slices.size());
  p.kv_heads = c.kv_heads;
  run(pl_op_cache_store, &p, threads);
}

// Runs over the given slices into `out` (rows of the whole batch; other rows stay as they are).
void attend(Case& c, std::vector<pl_cache_slice>& slices, int threads, bool roomy, std::vector<float>& out) {
  pl_attention p{};
  p.q = reinterpret_cast<uint64_t>(c.q.data());
  p.q_head_stride = 4 * c.dim;
  p.q_stride = 4 * c.dim * c.heads;
  p.out = reinterpret_cast<uint64_t>(out.data());
  p.out_stride = 4 * c.v_dim * c.heads;
  p.slices = reinterpret_cast<uint64_t>(slices.data());
  p.slice_count = static_cast<int64_t>(slices.size());
  p.heads = c.heads;
  p.kv_heads = c.kv_heads;
  p.head_dim = c.dim;
  p.v_dim = c.v_dim;
  p.k_type = c.k_type;
  p.v_type = c.v_type;
  p.scale = c.scale;
  p.softcap = c.softcap;
  p.window = c.window;
  p.causal = c.causal;
  p.ahead = c.ahead;
  p.sinks = c.sinks.empty() ? 0 : reinterpret_cast<uint64_t>(c.sinks.data());
  int64_t rows = 0, positions = 0;
  for (auto& s : slices) rows += s.count, positions = std::max(positions, s.past + s.count);
  p.scratch_bytes = pl_attention_scratch(&p, roomy ? rows : 0, positions, roomy ? threads : 1);
  if (p.scratch_bytes < 0) std::printf("shape refused\n"), std::exit(1);
  std::vector<uint8_t> scratch(static_cast<size_t>(p.scratch_bytes) + 64);
  p.scratch = (reinterpret_cast<uint64_t>(scratch.data()) + 63) & ~63ull;
  // Twice: the second run shows that the first left its tickets and counters as it found them.
  run(pl_op_attention, &p, threads);
  const std::vector<float> once = out;
  run(pl_op_attention, &p, threads);
  if (std::memcmp(once.data(), out.data(), 4 * out.size())) std::printf("second run differs\n"), std::exit(1);
}

Case make(bool big) {
  Case c;
  const int group = pick({1, 1, 2, 2, 3, 4, 6, 8, 16});
  c.kv_heads = pick({1, 2, 3});
  c.heads = c.kv_heads * group;
  c.dim = pick({64, 80, 96, 128, 256, 8, 24, 7, 33});
  c.v_dim = below(3) ? c.dim : pick({64, 128, 40, 5});
  const auto type = [](int dim) { return dim % 32 ? pick({0, 1, 1}) : pick({0, 1, 1, 8}); };
  c.k_type = type(c.dim);
  c.v_type = type(c.v_dim);
  if (c.dim % 64 == 0 && c.v_dim % 64 == 0 && below(2)) c.k_type = c.v_type = integers;
  c.window = below(2) ? 0 : 1 + below(700);
  c.causal = below(4) != 0;
  c.ahead = c.causal || below(2) ? 0 : 1 + below(100);
  c.softcap = below(3) ? 0 : 1 + below(50);
  c.scale = (0.5 + below(100) / 50.0) / std::sqrt(static_cast<double>(c.dim));
  const int count = 1 + below(3);
  c.k_stride = row_bytes(c.k_type, c.kv_heads * c.dim);
  if (c.k_type == integers) c.k_stride += (8 * c.kv_heads + 63) / 64 * 64;  // more than is needed
  c.v_stride = row_bytes(c.v_type, c.kv_heads * c.v_dim) + (below(2) ? 0 : 64);
  std::vector<float> row(static_cast<size_t>(c.kv_heads) * std::max(c.dim, c.v_dim));
  for (int i = 0; i < count; i++) {
    Sequence s;
    s.past = below(3) ? below(big ? 1800 : 200) : 0;
    s.count = below(3) ? 1 + below(16) : 1 + below(big ? 300 : 70);
    const auto capacity = static_cast<size_t>(whole_blocks(s.past + s.count));
    s.k.assign(capacity * static_cast<size_t>(c.k_stride), 0xff);  // NaN until stored
    s.v.assign(capacity * static_cast<size_t>(c.v_stride), 0xff);
    // Older rows go in by the store op too.
    Case old = c;
    old.k.resize(static_cast<size_t>(s.past) * c.kv_heads * c.dim);
    old.v.resize(static_cast<size_t>(s.past) * c.kv_heads * c.v_dim);
    for (auto& x : old.k) x = normal();
    for (auto& x : old.v) x = normal();
    std::vector<pl_cache_slice> all{{reinterpret_cast<uint64_t>(s.k.data()),
                                     reinterpret_cast<uint64_t>(s.v.data()), c.k_stride, c.v_stride, 0, s.past, 0}};
    store(old, all, 1);
    c.rows += s.count;
    c.sequences.push_back(std::move(s));
  }
  c.q.resize(static_cast<size_t>(c.rows) * c.heads * c.dim);
  c.k.resize(static_cast<size_t>(c.rows) * c.kv_heads * c.dim);
  c.v.resize(static_cast<size_t>(c.rows) * c.kv_heads * c.v_dim);
  for (auto& x : c.q) x = normal() * 2;
  for (auto& x : c.k) x = normal();
  for (auto& x : c.v) x = normal();
  if (!below(3)) {
    c.sinks.resize(static_cast<size_t>(c.heads));
    for (auto& x : c.sinks) x = normal() * 3;
  }
  return c;
}

// Largest error of some rows, relative to the largest value element of the row's context: that of the same
// dimension, or of any.
double reference_error(const Case& c, const std::vector<float>& out, bool any = false) {
  double worst = 0;
  int first = 0;
  for (const auto& s : c.sequences) {
    for (int r = 0; r < s.count; r += 1 + below(1 + s.count / 3)) {
      const int h = below(c.heads), kv = h / (c.heads / c.kv_heads), own = s.past + r;
      const int high = c.causal  ? own + 1
                       : c.ahead ? std::min(own + c.ahead, s.past + s.count)
                                 : s.past + s.count;
      const int low = c.window ? std::max(0, own - c.window + 1) : 0;
      std::vector<double> scores;
      double top = c.sinks.empty() ? -INFINITY : c.sinks[static_cast<size_t>(h)];
      for (int j = low; j < high; j++) {
        double dot = 0;
        for (int d = 0; d < c.dim; d++)
          dot += c.q[(static_cast<size_t>(first + r) * c.heads + h) * c.dim + d] *
                 key(c, s, j, kv, d);
        dot *= c.scale;
        if (c.softcap > 0) dot = c.softcap * std::tanh(dot / c.softcap);
        scores.push_back(dot);
        top = std::max(top, dot);
      }
      double sum = c.sinks.empty() ? 0 : std::exp(c.sinks[static_cast<size_t>(h)] - top);
      for (auto& x : scores) sum += x = std::exp(x - top);
      double top_value = 1e-30;
      for (int j = low; any && j < high; j++)
        for (int d = 0; d < c.v_dim; d++) top_value = std::max(top_value, std::fabs(::value(c, s, j, kv, d)));
      for (int d = 0; d < c.v_dim; d++) {
        double value = 0, largest = top_value;
        for (int j = low; j < high; j++) {
          const double v = ::value(c, s, j, kv, d);
          value += scores[static_cast<size_t>(j - low)] * v;
          largest = std::max(largest, std::fabs(v));
        }
        const double got = out[(static_cast<size_t>(first + r) * c.heads + h) * c.v_dim + d];
        const double error = std::fabs(got - value / sum) / largest;
        if (!(error <= worst)) worst = error;
      }
    }
    first += s.count;
  }
  return worst;
}

bool same(const std::vector<float>& a, const std::vector<float>& b, const char* what, const Case& c) {
  if (!std::memcmp(a.data(), b.data(), 4 * a.size())) return true;
  size_t i = 0;
  while (!std::memcmp(&a[i], &b[i], 4)) i++;
  std::printf("FAILED: %s changes bytes (heads %d/%d dim %d/%d types %d/%d window %d causal %d) at row %zu: %g %g\n",
              what, c.heads, c.kv_heads, c.dim, c.v_dim, c.k_type, c.v_type, c.window, c.causal,
              i / (static_cast<size_t>(c.heads) * c.v_dim), static_cast<double>(a[i]), static_cast<double>(b[i]));
  return false;
}

}  // namespace
