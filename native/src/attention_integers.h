// A cache of 16-bit integers, whose products are exact. Included by attention_kernel.h.
//
// A head's part of a row is round(x * (1 / scale)) + 32768 of every element, with scale = max |x| / 32767: of each 64
// elements first the upper bytes, then the lower ones. Scales lie behind the keys of a position: those of its
// keys, then those of its values, one f32 a head. Queries and probabilities become two signed bytes an
// element, 256 high + low, so that with k less 32768 a product of rows is
//   65536 sum(k_high q_high) + 256 (sum(k_high q_low) + sum(k_low q_high)) + sum(k_low q_low),
// where 128 is taken from every k_high. These sums are exact, in any order: whatever instructions make them,
// and for however many rows at once, a result has the same bytes.

constexpr float kMost = 32639.0f;  // the largest integer of two signed bytes
// Scales below which all elements are as good as 0, of rows and of probabilities times scales of values.
constexpr float kLeast = 0x1p-100f, kLeastChance = 0x1p-120f;

// What belongs to a row's two signed bytes an element.
struct RowFacts {
  float scale;
  int high_bias, low_bias;  // 128 times the sum of the upper and of the lower bytes
};

// The same of 16 rows, as a tile of sums has them side by side.
struct LaneFacts {
  alignas(64) float scale[16];
  alignas(64) int high_bias[16], low_bias[16];
};

// x to the nearest whole numbers, |x| < 2^22.
inline void whole_numbers(V x, int32_t* out) {
  alignas(64) float t[16];
  store(t, add(x, set1(kMagic)));
  std::memcpy(out, t, sizeof t);
  for (int i = 0; i < 16; i++) out[i] -= 0x4b400000;
}
// The scale at which the largest of n elements becomes `most`: NaN when one is NaN or infinite, 0 when all
// are as good as 0.
inline float scale_of(const float* x, int n, float most) {
  V top = zero(), poison = zero();
  for (int d = 0; d < n; d += 16) {
    const V own = load(x + d);
    top = max(abs(own), top);
    poison = fma(own, zero(), poison);
  }
  const float scale = maximum(top) / most;
  return (scale < kLeast ? 0.0f : scale) + sum(poison);
}
inline float inverse_of(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

// Where the upper byte of an element lies; the lower one is 64 bytes behind.
inline int byte_of(int d) { return d + (d & ~63); }

// Positions of the chunk at b that a row sees.
inline Range seen_of(const Unit& u, int row, int64_t b) { return within(visible(u, row / u.group), b, kChunk); }
// Scales of a position's keys, the unit's first KV head first; those of its values lie `u.v_scales` behind.
inline const float* scales_at(const Unit& u, int64_t position) {
  return reinterpret_cast<const float*>(u.scales + position * u.k_stride);
}

// Parts of a unit's work area, one behind the other.
class Area {
 public:
  explicit Area(float* work) : at_((reinterpret_cast<uintptr_t>(work) + 63) & ~uintptr_t{63}) {}
  template <class T>
  T* take(size_t count) {
    auto* const own = reinterpret_cast<T*>(at_);
    at_ += (count * sizeof(T) + 63) & ~size_t{63};
    return own;
  }

 private:
  uintptr_t at_;
};
