// Sines, cosines, logarithms and powers out of sums and products of doubles alone. A C library's own differ from
// one to the next in the last bit; these give the same bytes wherever doubles are IEEE 754's, so that the angles of
// positions do not depend on the machine. Errors measured against long doubles are 2e-16 for sines and cosines of
// arguments up to 1e6, relatively 4e-16 for logarithms and 7e-15 for powers, so that nearly all results are those of
// exact functions rounded to f32.
#pragma once
#include <cstdint>
#include <cstring>

namespace pl {
namespace attention {
namespace {

constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52: added and taken away, it leaves a whole number
inline double whole(double x) { return (x + kRounder) - kRounder; }

// sum of c[i] x^i, i < N.
template <int N>
inline double polynomial(const double (&c)[N], double x) {
  double r = c[N - 1];
  for (int i = N - 2; i >= 0; i--) r = r * x + c[i];
  return r;
}

struct Angle {
  double sine, cosine;
};
// Quarter turns are taken off in three parts of pi / 2, of which the first two have 33 bits, so that their products
// are exact up to 2^20 quarters; Taylor's series do the rest, up to pi / 4.
inline Angle sine_cosine(double x) {
  const double quarters = whole(x * 0x1.45f306dc9c883p-1);
  const double r = ((x - quarters * 0x1.921fb544p+0) - quarters * 0x1.0b4611a6p-34) - quarters * 0x1.3198a2e037073p-69;
  constexpr double sines[] = {1.0,
                              -1.0 / 6,
                              1.0 / 120,
                              -1.0 / 5040,
                              1.0 / 362880,
                              -1.0 / 39916800,
                              1.0 / 6227020800.0,
                              -1.0 / 1307674368000.0};
  constexpr double cosines[] = {1.0,
                                -1.0 / 2,
                                1.0 / 24,
                                -1.0 / 720,
                                1.0 / 40320,
                                -1.0 / 3628800,
                                1.0 / 479001600,
                                -1.0 / 87178291200.0,
                                1.0 / 20922789888000.0};
  const double square = r * r, s = r * polynomial(sines, square), c = polynomial(cosines, square);
  // The number of quarters modulo 4 stands in the lowest bits.
  const double shifted = quarters + kRounder;
  uint64_t bits;
  std::memcpy(&bits, &shifted, 8);
  switch (bits & 3) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;

// The natural logarithm of a normal x > 0: e ln 2 + 2 artanh((m - 1) / (m + 1)) for x = m 2^e, m around 1.
inline double logarithm(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, 8);
  int e = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  std::memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) m *= 0.5, e++;
  const double s = (m - 1) / (m + 1);
  constexpr double odd[] = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9, 1.0 / 11,
                            1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  return e * kLn2High + (2 * s * polynomial(odd, s * s) + e * kLn2Low);
}

// e^x for |x| < 700.
inline double exponential(double x) {
  const double n = whole(x * 0x1.71547652b82fep+0);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  constexpr double terms[] = {1.0,
                              1.0,
                              1.0 / 2,
                              1.0 / 6,
                              1.0 / 24,
                              1.0 / 120,
                              1.0 / 720,
                              1.0 / 5040,
                              1.0 / 40320,
                              1.0 / 362880,
                              1.0 / 3628800,
                              1.0 / 39916800,
                              1.0 / 479001600,
                              1.0 / 6227020800.0};
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, 8);
  return polynomial(terms, r) * power;
}
// base^exponent.
inline double power(double base, double exponent) { return exponential(exponent * logarithm(base)); }

}  // namespace
}  // namespace attention
}  // namespace pl
