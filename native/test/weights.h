// Random weights of every type for the tests of matrix products, and memory as the engine has it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../include/paceline.h"
#include "random.h"

namespace {

// Where the 16-bit scales of a block stand, so that random bytes do not make them infinite.
struct Type {
  const char* name;
  int id, block, bytes;
  std::vector<int> scales;
};
const Type types[] = {
    {"f32", 0, 1, 4, {}},          {"f16", 1, 1, 2, {0}},          {"bf16", 30, 1, 2, {0}},
    {"q4_0", 2, 32, 18, {0}},      {"q4_1", 3, 32, 20, {0, 2}},    {"q5_0", 6, 32, 22, {0}},
    {"q5_1", 7, 32, 24, {0, 2}},   {"q8_0", 8, 32, 34, {0}},       {"q2_k", 10, 256, 84, {80, 82}},
    {"q3_k", 11, 256, 110, {108}}, {"q4_k", 12, 256, 144, {0, 2}}, {"q5_k", 13, 256, 176, {0, 2}},
    {"q6_k", 14, 256, 210, {208}}, {"iq4_nl", 20, 32, 18, {0}},    {"iq4_xs", 23, 256, 136, {0}},
    {"mxfp4", 39, 32, 17, {}},     {"nvfp4", 40, 64, 36, {}},      {"q1_0", 41, 128, 18, {0}},
    {"q2_0", 42, 64, 18, {0}},     {"tq1_0", 34, 256, 54, {52}},   {"tq2_0", 35, 256, 66, {64}},
    {"iq2_xxs", 16, 256, 66, {0}}, {"iq2_xs", 17, 256, 74, {0}},   {"iq2_s", 22, 256, 82, {0}},
    {"iq3_xxs", 18, 256, 98, {0}}, {"iq3_s", 21, 256, 110, {0}},   {"iq1_s", 19, 256, 50, {0}},
    {"iq1_m", 29, 256, 56, {}}};

std::vector<uint8_t> random_rows(const Type& t, int64_t k, int64_t n) {
  std::vector<uint8_t> data(static_cast<size_t>(k / t.block * t.bytes * n));
  for (auto& b : data) b = static_cast<uint8_t>(next_random());
  for (size_t at = 0; at < data.size(); at += static_cast<size_t>(t.bytes)) {
    for (int s : t.scales) {
      // An f16 or bf16 of moderate size.
      const uint64_t sign = next_random() & 1;
      auto h = static_cast<uint16_t>((0x2800 + next_random() % 0x400) | sign << 15);
      if (t.id == 30) h = static_cast<uint16_t>(0x3f00 + next_random() % 0x100);
      std::memcpy(&data[at + static_cast<size_t>(s)], &h, 2);
    }
    // The scale of IQ1_M lies in the upper four bits of four bytes.
    const uint64_t h = t.id == 29 ? 0x2800 + next_random() % 0x400 : 0;
    for (size_t i = 0; t.id == 29 && i < 4; i++) {
      uint8_t& own = data[at + 49 + 2 * i];
      own = static_cast<uint8_t>((own & 15) | (h >> 4 * i & 15) << 4);
    }
    if (t.id == 39) data[at] = static_cast<uint8_t>(120 + next_random() % 8);
    if (t.id == 0) {
      const float f = normal();
      std::memcpy(&data[at], &f, 4);
    }
  }
  return data;
}

// Random scales, all other bytes the same.
std::vector<uint8_t> equal_rows(const Type& t, int64_t k, int64_t n, uint8_t byte) {
  auto data = random_rows(t, k, n);
  for (size_t i = 0; i < data.size(); i++) {
    const int at = static_cast<int>(i % static_cast<size_t>(t.bytes));
    const auto part = [&](int s) { return at == s || at == s + 1; };
    const bool scale = t.id == 39   ? at == 0
                       : t.id == 40 ? at < 4
                       : t.id == 29 ? at > 48 && at % 2 == 1
                                    : std::any_of(t.scales.begin(), t.scales.end(), part);
    if (t.id != 0 && !scale) data[i] = byte;
  }
  return data;
}

uint64_t address(const void* p) { return reinterpret_cast<uint64_t>(p); }

struct Memory {
  explicit Memory(int64_t n) : bytes(n), data(pl_alloc(n)) { std::memset(data, 0xcd, static_cast<size_t>(n)); }
  ~Memory() { pl_free(data, bytes); }
  Memory(const Memory&) = delete;
  int64_t bytes;
  void* data;
};

}  // namespace
