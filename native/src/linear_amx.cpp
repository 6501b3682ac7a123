// Matrix products of the amx path: the avx512 path's panels, activations and aux, and the same bytes.
// Only where the integer sums of several full tiles come from is different: from the matrix unit. (One tile is
// not worth unpacking weights for: near matrix instructions the vector units work at half their rate.)
//
// For it, B is a block of 32 columns of a panel: its 8 units of 64 bytes are the 8 rows of a tile, four
// columns of 16 rows of weights each, which is the order that the unit wants. A is a block of the rows of
// activations, which two panels share. C gets 16 sums a row, which are exact, so that they are those of
// the avx512 path. Weights are made signed, so that there is no bias to take away from every sum. Formats
// with two scales a block are left to the avx512 path: half a block a product is slower than without.
//
// A step is one tile and four blocks. While the vector units add up the sums of the step before, row by
// row, the matrix unit makes those of the next, an instruction between every few rows.
#include "amx_tiles.h"
#include "linear_kernel.h"
#include "simd_avx512.h"

namespace pl {
namespace {

struct Amx : Avx512 {
  static constexpr bool signed_products = true, float_sums = false;
};

constexpr int width = Amx::W, tall = Amx::tile_rows, panels = 2;
constexpr int group_blocks = 8, step_blocks = 4, step_products = step_blocks * panels;
static_assert(width == 16 && tall == 16, "a tile has 16 rows of 16 numbers of 32 bits");

// What steps hand on: a group's weights of two panels, and the sums of two steps. Scales of two groups, as
// those of the group before are needed until its last sums are added.
template <int F>
struct Work {
  static constexpr Format f = formats[F];
  static constexpr int vectors = f.has_min() ? 2 : 1;
  alignas(64) int8_t units[group_blocks][panels][8 * 64];
  alignas(64) int32_t sums[2][step_blocks][panels][tall * width];
  alignas(64) float scales[2][panels][group_blocks][vectors][width];

  void unpack(const uint8_t* panel, const Group& g, int blocks, int p, int parity) {
    Blocks<Amx, F> own;
    own.begin(panel, g);
    for (int b = 0; b < blocks; ++b) {
      Amx::I w[8];
      const Scales<Amx> s = own.next(w);
      Amx::store(scales[parity][p][b][0], s.s0);
      if constexpr (f.has_min()) Amx::store(scales[parity][p][b][1], s.m0);
      PL_UNROLL
      for (int c = 0; c < 8; ++c) {
        if constexpr (bias_of<Amx>(f) != 0) w[c] = _mm512_sub_epi8(w[c], Amx::bytes(bias_of<Amx>(f)));
        _mm512_store_si512(units[b][p] + c * 64, w[c]);
      }
    }
  }
  static PL_INLINE Scales<Amx> scales_at(const float (*from)[width]) {
    Scales<Amx> s;
    s.s1 = s.m0 = s.m1 = s.first = Amx::zero();
    s.s0 = Amx::load_f32(from[0]);
    if constexpr (f.has_min()) s.m0 = Amx::load_f32(from[1]);
    return s;
  }
};

// A tile and up to four blocks of a group: where to find its operands, and where its results belong.
struct Place {
  const int8_t* q;
  const float *d, *minima;
  float* out;
  int blocks;  // 0: none
  int first, parity, sums;  // the first block in the group; which of Work::scales and Work::sums
};

template <int F>
struct Step {
  using W = Work<F>;
  // A product is that of a block of one panel; its sums are stored so many products later.
  static constexpr int lag = 2;
  static constexpr int lines = static_cast<int>(group_layout(W::f, width, group_blocks).bytes / 128);
  W& work;
  const Place&adds, &makes;
  const uint8_t* ahead;  // half a group to ask for, or null
  int64_t panel_step, out_step;
  Amx::V total[tall];

  // The matrix unit takes the panels of a block one after the other: A is loaded once for both.
  template <int I>
  PL_INLINE void load_rows() {
    if constexpr (I % panels == 0) {
      load_tile<4 + I / panels % 2>(makes.q + I / panels * tall * 32, 32);
    }
  }
  template <int I>
  PL_INLINE void load_weights() {
    load_tile<6 + I % 2>(work.units[makes.first + I / panels][I % panels], 64);
  }
  template <int I>
  PL_INLINE void multiply() {
    multiply_bytes<I % 4, 4 + I / panels % 2, 6 + I % 2>();
  }
  template <int I>
  PL_INLINE void store(const Place& of) {
    store_tile<I % 4>(work.sums[of.sums][I / panels][I % panels], 64);
  }
  // A quarter of the instructions of product I. A whole step before left its last sums in their tiles.
  template <int I, int Quarter>
  PL_INLINE void quarter(bool wanted) {
    if constexpr (Quarter == 2 && I < lag) {
      if (adds.blocks == step_blocks) store<step_products - lag + I>(adds);
    }
    if (!wanted) return;
    if constexpr (Quarter == 0) load_rows<I>();
    if constexpr (Quarter == 1) load_weights<I>();
    if constexpr (Quarter == 2 && I >= lag) store<I - lag>(makes);
    if constexpr (Quarter == 3) multiply<I>();
  }
  template <int I, int T = 0>
  PL_INLINE void rows(const Scales<Amx>& s, const int32_t* sums, const float* d, const float* minima,
                      bool wanted) {
    if constexpr (T % (tall / 4) == 0) quarter<I, T / (tall / 4)>(wanted);
    add_block<Amx, F>(Amx::load(sums + T * width), Amx::zeros(), s, d + T, minima + T, 0, total[T]);
    if constexpr (T + 1 < tall) rows<I, T + 1>(s, sums, d, minima, wanted);
  }
  // Product I, and the sums of the I-th block before: a panel at a time, whose totals fit the registers.
  template <int I>
  PL_INLINE void product(bool wanted) {
    if (ahead != nullptr) {
      for (int i = I * lines / step_products; i < (I + 1) * lines / step_products; ++i) {
        __builtin_prefetch(ahead + i * 64, 0, 3);
        __builtin_prefetch(ahead + panel_step + i * 64, 0, 3);
      }
    }
    constexpr int b = I % step_blocks, p = I / step_blocks;
    if (b < adds.blocks) {
      float* out = adds.out + p * out_step;
      if constexpr (b == 0) {
        PL_UNROLL
        for (int t = 0; t < tall; ++t) total[t] = Amx::load_f32(out + t * width);
      }
      rows<I>(W::scales_at(work.scales[adds.parity][p][adds.first + b]), work.sums[adds.sums][b][p],
              adds.d + b * tall, adds.minima + b * tall, wanted);
      if (b + 1 == adds.blocks) {
        PL_UNROLL
        for (int t = 0; t < tall; ++t) Amx::store(out + t * width, total[t]);
      }
    } else {
      quarter<I, 0>(wanted), quarter<I, 1>(wanted), quarter<I, 2>(wanted), quarter<I, 3>(wanted);
    }
  }
  template <int I = 0>
  PL_INLINE void run() {
    product<I>(I / panels < makes.blocks);
    if constexpr (I + 1 < step_products) run<I + 1>();
  }
  // The last sums of a step of fewer blocks, whose tiles the next one would take.
  template <int I = 0>
  PL_INLINE void store_left() {
    if (I < makes.blocks * panels && I + lag >= makes.blocks * panels) store<I>(makes);
    if constexpr (I + 1 < step_products) store_left<I + 1>();
  }
};

template <int F>
__attribute__((noinline)) void take_step(Work<F>& work, const Place& adds, const Place& makes,
                                         const uint8_t* ahead, int64_t panel_step, int64_t out_step) {
  Step<F> step{work, adds, makes, ahead, panel_step, out_step, {}};
  step.run();
  if (makes.blocks < step_blocks) step.store_left();
}

// Two panels, `panel_step` bytes apart, times `count` tiles, one behind the other: results in out[count][16][16], and those of the second panel `out_step` floats behind.
template <int F>
void two_tiles(const uint8_t* panel, int64_t panel_step, const int8_t* q, const float* d, const void* aux,
               int64_t blocks, int count, float* out, int64_t out_step) {
  constexpr Format f = formats[F];
  constexpr Group whole = group_layout(f, width, group_blocks);
  const int64_t q_tile = blocks * tall * 32, d_tile = blocks * tall;
  const float* minima = static_cast<const float*>(aux);
  Work<F> work;
  for (int p = 0; p < panels; ++p) {
    memset(out + p * out_step, 0, static_cast<size_t>(count) * tall * width * sizeof(float));
  }
  const Configuration configuration(tall, 32);
  configure(configuration);
  Place before{};
  int parity = 0, sums = 0;
  for (; blocks > 0; blocks -= group_blocks) {
    const int here = blocks < group_blocks ? static_cast<int>(blocks) : group_blocks;
    const Group g = here == group_blocks ? whole : group_layout(f, width, here);
    for (int p = 0; p < panels; ++p) work.unpack(panel + p * panel_step, g, here, p, parity);
    for (int first = 0; first < here; first += step_blocks) {
      for (int t = 0; t < count; ++t) {
        Place place;
        place.q = q + t * q_tile + first * tall * 32;
        place.d = d + t * d_tile + first * tall;
        place.minima = minima + t * d_tile + first * tall;
        place.out = out + t * tall * width;
        place.blocks = here - first < step_blocks ? here - first : step_blocks;
        place.first = first, place.parity = parity, place.sums = sums;
        const uint8_t* ahead = panel + Ahead<Amx, F>::distance + (first > 0 ? whole.bytes / 2 : 0);
        take_step<F>(work, before, place, t == 0 ? ahead : nullptr, panel_step, out_step);
        before = place;
        sums ^= 1;
      }
    }
    panel += g.bytes;
    q += here * tall * 32;
    d += here * tall;
    minima += here * tall;
    parity ^= 1;
  }
  take_step<F>(work, before, Place{}, nullptr, panel_step, out_step);
  release();
}

template <int F>
void fill_amx(LinearPath& p) {
  if constexpr (!formats[F].real() && !formats[F].pair()) p.two_tiles[F] = two_tiles<F>;
  if constexpr (F + 1 < format_count) fill_amx<F + 1>(p);
}

LinearPath with_tiles(LinearPath p) {
  fill_amx<0>(p);
  return p;
}

}  // namespace

const LinearPath* linear_amx() {
  static const LinearPath p = with_tiles(*linear_avx512());
  return &p;
}
}  // namespace pl
