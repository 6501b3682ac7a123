// Scores take a vector whole, on paths that hold it in one piece. Included inside an anonymous namespace.
using Part = V;
constexpr int kParts = 1;
inline Part part_zero() { return zero(); }
inline Part part_load(const float* p) { return load(p); }
inline Part part_of(V a, int) { return a; }
inline Part part_fma(Part a, Part b, Part c) { return fma(a, b, c); }
