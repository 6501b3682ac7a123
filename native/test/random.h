// Random numbers for the tests, the same in every run (SplitMix64).
#pragma once
#include <cstdint>

namespace {

uint64_t random_state = 1;
uint64_t next_random() {
  uint64_t z = random_state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}
// About normal: the sum of four even ones.
float normal() {
  double s = 0;
  for (int i = 0; i < 4; i++) s += static_cast<double>(next_random() >> 11) * 0x1p-53;
  return static_cast<float>((s - 2) * 1.7320508);
}

}  // namespace
