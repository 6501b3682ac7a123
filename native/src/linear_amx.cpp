// Matrix products of the amx path: the avx512 path's panels, activations and aux, and the same bytes.
// Only where the integer sums of full tiles come from is different: from the matrix unit.
//
// For it, B is a block of 32 columns of a panel: its 8 units of 64 bytes are the 8 rows of a tile, four
// columns of 16 rows of weights each, which is the order that the unit wants. A is a block of 16 rows of
// activations. C gets 16 x 16 sums, which are exact, so that they are those of the avx512 path. In a
// format of pairs, the halves of a block are tiles of their own. Weights are made signed, so that there
// is no bias to take away from every sum.
#include "linear_kernel.h"
#include "simd_avx512.h"

namespace pl {
namespace {

struct Amx : Avx512 {
  static constexpr bool signed_products = true;
};

constexpr int rows = Amx::tile_rows, width = Amx::W;
static_assert(rows == 16 && width == 16, "a tile has 16 rows of 16 numbers of 32 bits");

// Tiles 0 to 3 are C, 4 and 5 A, 6 and 7 B. The order of the fields is the processor's.
struct Configuration {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
  explicit Configuration(int columns) {
    for (int i = 0; i < 4; ++i) set(i, 16, 64);
    for (int i = 4; i < 6; ++i) set(i, 16, columns);
    for (int i = 6; i < 8; ++i) set(i, columns / 4, 64);
  }
  void set(int tile, int tall, int bytes) {
    rows[tile] = static_cast<uint8_t>(tall);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};
static_assert(sizeof(Configuration) == 64, "the operand of ldtilecfg");

// The compiler's own functions do not tell it that memory is read.
inline void configure(const Configuration& c) { __asm__ volatile("ldtilecfg %0" : : "m"(c)); }
inline void release() { __asm__ volatile("tilerelease"); }
template <int T>
inline void load(const void* p, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(T), "r"(p), "r"(stride) : "memory");
}
template <int T>
inline void store(void* p, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(T), "r"(p), "r"(stride) : "memory");
}
template <int C, int A, int B>
inline void multiply() {
  __asm__ volatile("tilezero %%tmm%c0\n\ttdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                   :
                   : "i"(C), "i"(A), "i"(B));
}

// A group of 256 columns of a panel, unpacked.
template <int F>
struct Weights {
  static constexpr Format f = formats[F];
  alignas(64) int8_t units[8][8 * 64];
  Scales<Amx> scales[8];

  void unpack(const uint8_t* panel, const Group& g, int blocks) {
    Blocks<Amx, F> own;
    own.begin(panel, g);
    for (int b = 0; b < blocks; ++b) {
      own.ahead().ask_all();
      Amx::I w[8];
      scales[b] = own.next(w);
      for (int c = 0; c < 8; ++c) {
        if constexpr (bias_of<Amx>(f) != 0) w[c] = _mm512_sub_epi8(w[c], Amx::bytes(bias_of<Amx>(f)));
        _mm512_store_si512(units[b] + c * 64, w[c]);
      }
    }
  }
};

// The sums of a tile and a group: [block][first or second of a pair][row][lane].
template <int F>
struct Sums {
  static constexpr int parts = formats[F].pair() ? 2 : 1;
  alignas(64) int32_t block[8][parts][rows][width];
};

// Integer sums of block b, by the tiles C (and C + 1 in a pair format), into memory.
template <int F, int C>
PL_INLINE void sum_block(const Weights<F>& w, const int8_t* q, int b, Sums<F>& sums) {
  constexpr int odd = C & 1;
  load<4 + odd>(q, 32);
  load<6 + odd>(w.units[b], 64);
  multiply<C, 4 + odd, 6 + odd>();
  store<C>(sums.block[b][0], 64);
  if constexpr (Sums<F>::parts == 2) {
    load<5>(q + 16, 32);
    load<7>(w.units[b] + 4 * 64, 64);
    multiply<C + 1, 5, 7>();
    store<C + 1>(sums.block[b][1], 64);
  }
}

// A group's blocks for one tile. Add: its sums, there already, are added to the totals at `out`, which
// `d` and `minima` belong to. Next: the next tile's sums take their place, one block behind the other,
// so that the matrix unit works while the vector units add. Four products are in flight.
template <int F, bool Add, bool Next>
PL_INLINE void step(const Weights<F>& w, int blocks, const int8_t* next, const float* d,
                 const float* minima, Sums<F>& sums, float* out) {
  constexpr int parts = Sums<F>::parts;
  Amx::V total[rows];
  if constexpr (Add) {
    PL_UNROLL
    for (int t = 0; t < rows; ++t) total[t] = Amx::load_f32(out + t * width);
  }
  for (int b = 0; b < blocks; ++b) {
    if constexpr (Add) {
      const Scales<Amx> scales = w.scales[b];
      PL_UNROLL
      for (int t = 0; t < rows; ++t) {
        add_block<Amx, F>(Amx::load(sums.block[b][0][t]), Amx::load(sums.block[b][parts - 1][t]),
                          scales, d + t, minima + t, rows, total[t]);
      }
      d += rows;
      minima += rows * parts;
    }
    if constexpr (Next) {
      const int tile = b * parts % 4;
      if (tile == 0) {
        sum_block<F, 0>(w, next, b, sums);
      } else if (tile == 2) {
        sum_block<F, 2>(w, next, b, sums);
      } else if constexpr (parts == 1) {
        tile == 1 ? sum_block<F, 1>(w, next, b, sums) : sum_block<F, 3>(w, next, b, sums);
      }
      next += rows * 32;
    }
  }
  if constexpr (Add) {
    PL_UNROLL
    for (int t = 0; t < rows; ++t) Amx::store(out + t * width, total[t]);
  }
}

template <int F>
void tiles(const uint8_t* panel, const int8_t* q, const float* d, const void* aux, int64_t blocks,
           int count, float* out) {
  constexpr Format f = formats[F];
  constexpr Group whole = group_layout(f, width, 8);
  const int64_t q_tile = blocks * rows * 32, d_tile = blocks * rows;
  const float* minima = static_cast<const float*>(aux);
  const int64_t minima_tile = d_tile * Sums<F>::parts;
  Weights<F> w;
  Sums<F> sums;
  memset(out, 0, static_cast<size_t>(count) * rows * width * sizeof(float));
  const Configuration configuration(f.pair() ? 16 : 32);
  configure(configuration);
  for (; blocks > 0; blocks -= 8) {
    const int here = blocks < 8 ? static_cast<int>(blocks) : 8;
    const Group g = here == 8 ? whole : group_layout(f, width, here);
    w.unpack(panel, g, here);
    step<F, false, true>(w, here, q, nullptr, nullptr, sums, nullptr);
    for (int t = 0; t + 1 < count; ++t) {
      step<F, true, true>(w, here, q + (t + 1) * q_tile, d + t * d_tile, minima + t * minima_tile,
                           sums, out + t * rows * width);
    }
    const int last = count - 1;
    step<F, true, false>(w, here, nullptr, d + last * d_tile, minima + last * minima_tile, sums,
                          out + last * rows * width);
    panel += g.bytes;
    q += here * rows * 32;
    d += here * rows;
    minima += here * rows * Sums<F>::parts;
  }
  release();
}

template <int F>
void fill_tiles(LinearPath& p) {
  if constexpr (!formats[F].real()) p.tiles[F] = tiles<F>;
  if constexpr (F + 1 < format_count) fill_tiles<F + 1>(p);
}

LinearPath with_tiles(LinearPath p) {
  fill_tiles<0>(p);
  return p;
}

}  // namespace

const LinearPath* linear_amx() {
  static const LinearPath p = with_tiles(*linear_avx512());
  return &p;
}
}  // namespace pl
