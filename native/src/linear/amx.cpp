// Matrix products of the amx path: the avx512vbmi path's panels, activations and aux, and the same bytes.
// Only where the integer sums of full tiles come from is different: from the matrix unit.
//
// For it, B is a block of 32 columns of a panel: its 8 units of 64 bytes are the 8 rows of a tile, four
// columns of 16 rows of weights each, which is the order that the unit wants. A is a block of the rows of
// activations. C gets 16 sums a row, which are exact, so that they are those of the avx512 path. Weights are
// made signed, so that there is no bias to take away from every sum. Formats with two scales a block are left
// to the avx512 path: half a block a product is slower than without.
//
// Unpacking, products and adding up are phases of 16 products each, as the vector units work at half their rate
// near matrix instructions. Two panels share a load of A, and two tiles one of B. Up to three tiles, and an
// odd one, are left to the avx512 path: unpacking two panels for them costs what the unit saves.
#include "../vec/amx.h"
#include "coded_avx512vbmi.h"
#include "kernel.h"

namespace pl {
namespace {

struct Amx : Avx512Vbmi {
  static constexpr bool signed_products = true, float_sums = false;
};

constexpr int width = Amx::W, tall = Amx::tile_rows, panels = 2, group_blocks = 8;
static_assert(width == 16 && tall == 16, "a tile has 16 rows of 16 numbers of 32 bits");

// Tiles 0 to 3 are C, 16 x 16 numbers of 32 bits; 4 and 5 A, 16 rows of 32 bytes; 6 and 7 B, 32 columns, four
// in a number.
Configuration configuration() {
  Configuration c;
  for (int i = 0; i < 8; ++i) c.set(i, i < 6 ? 16 : 8, i == 4 || i == 5 ? 32 : 64);
  return c;
}

// A group of two panels, unpacked, and the sums of a phase.
template <int F>
struct Work {
  static constexpr Format f = formats[F];
  static constexpr int scale_vectors = f.has_min() ? 2 : 1;
  alignas(64) int8_t units[group_blocks][panels][8 * 64];
  alignas(64) float scales[2][panels][group_blocks][scale_vectors][width];  // of a group and the next one
  alignas(64) int32_t sums[16][tall * width];

  void unpack(const uint8_t* panel, const Group& g, int blocks, int p, int parity) {
    Blocks<Amx, F> own;
    own.begin(panel, g, blocks);
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
};

// The sums of two tiles, the second one's quants `step` bytes behind, and up to four blocks from `first` on,
// to sums[4 b + 2 t + p].
template <int F>
void multiply(Work<F>& w, const int8_t* q, int64_t step, int first, int blocks) {
  for (int b = 0; b < blocks; ++b, q += tall * 32) {
    auto* before = w.sums + 4 * (b - 1);
    load_tile<4>(q, 32);
    load_tile<6>(w.units[first + b][0], 64);
    if (b > 0) store_tile<0>(before[0], 64);
    multiply_bytes<0, 4, 6>();
    load_tile<7>(w.units[first + b][1], 64);
    if (b > 0) store_tile<1>(before[1], 64);
    multiply_bytes<1, 4, 7>();
    load_tile<5>(q + step, 32);
    if (b > 0) store_tile<2>(before[2], 64);
    multiply_bytes<2, 5, 6>();
    if (b > 0) store_tile<3>(before[3], 64);
    multiply_bytes<3, 5, 7>();
  }
  auto* last = w.sums + 4 * (blocks - 1);
  store_tile<0>(last[0], 64);
  store_tile<1>(last[1], 64);
  store_tile<2>(last[2], 64);
  store_tile<3>(last[3], 64);
}

// out[16][16] += the sums of a tile and some blocks of a panel, every fourth from `sums` on.
// `ahead`: where to ask for as many blocks meanwhile, or null.
template <int F>
void add_sums(const int32_t (*sums)[tall * width], int blocks,
              const float (*scales)[Work<F>::scale_vectors][width], const float* d, const float* minima,
              const uint8_t* ahead, float* out) {
  constexpr Format f = formats[F];
  constexpr int lines = static_cast<int>((group_layout(f, width, group_blocks).bytes + 511) / 512);
  Amx::V total[tall];
  PL_UNROLL
  for (int t = 0; t < tall; ++t) total[t] = Amx::load_f32(out + t * width);
  for (int b = 0; b < blocks; ++b, sums += 4, ++scales, d += tall, minima += tall) {
    if (ahead != nullptr) {
      PL_UNROLL
      for (int i = 0; i < lines; ++i) __builtin_prefetch(ahead + i * 64, 0, 3);
      ahead += lines * 64;
    }
    Scales<Amx> s;
    s.s1 = s.m0 = s.m1 = s.first = Amx::zero();
    s.s0 = Amx::load_f32((*scales)[0]);
    if constexpr (f.has_min()) s.m0 = Amx::load_f32((*scales)[1]);
    PL_UNROLL
    for (int t = 0; t < tall; ++t) {
      add_block<Amx, F>(Amx::load(*sums + t * width), Amx::zeros(), s, d + t, minima + t, 0, total[t]);
    }
  }
  PL_UNROLL
  for (int t = 0; t < tall; ++t) Amx::store(out + t * width, total[t]);
}

// Two panels, `panel_step` bytes apart, times an even `count` of tiles, one behind the other: results
// in out[count][16][16], and those of the second panel `out_step` floats behind.
template <int F>
void two_tiles(const uint8_t* panel, int64_t panel_step, const int8_t* q, const float* d, const void* aux,
               int64_t blocks, int count, float* out, int64_t out_step) {
  constexpr Group whole = group_layout(formats[F], width, group_blocks);
  constexpr int half = group_blocks / 2;
  constexpr bool coded = formats[F].book != Book::none;  // its quants are in the aux, see kernel.h
  const int64_t q_tile = blocks * tall * (coded ? 36 : 32), d_tile = blocks * tall;
  if constexpr (coded) q = static_cast<const int8_t*>(aux) + blocks * tall * 4;
  const float* minima = static_cast<const float*>(aux);
  Work<F> work;
  for (int p = 0; p < panels; ++p) {
    memset(out + p * out_step, 0, static_cast<size_t>(count) * tall * width * sizeof(float));
  }
  configure(configuration());
  const auto unpack = [&](const uint8_t* from, int64_t left, int parity) {
    const int n = left < group_blocks ? static_cast<int>(left) : group_blocks;
    const Group g = n == group_blocks ? whole : group_layout(formats[F], width, n);
    for (int p = 0; p < panels; ++p) work.unpack(from + p * panel_step, g, n, p, parity);
  };
  unpack(panel, blocks, 0);
  for (int parity = 0; blocks > 0; parity ^= 1) {
    const int here = blocks < group_blocks ? static_cast<int>(blocks) : group_blocks;
    const auto add = [&](int tile, int sum, int p, int first, int n) {
      const uint8_t* ahead = panel + p * panel_step + Ahead<Amx, F>::distance + first * whole.bytes / group_blocks;
      const int64_t at = tile * d_tile + first * tall;
      add_sums<F>(work.sums + sum, n, work.scales[parity][p] + first, d + at, minima + at,
                  tile == 0 ? ahead : nullptr, out + p * out_step + tile * tall * width);
    };
    for (int t = 0; t < count; t += 2) {
      for (int first = 0; first < here; first += half) {
        const int n = here - first < half ? here - first : half;
        multiply<F>(work, q + t * q_tile + first * tall * 32, q_tile, first, n);
        // Behind the last products of a group, so that its weights can go, and well before the next ones, as
        // tiles cannot be loaded from stores that are under way.
        if (t + 2 == count && first + n == here && blocks > here) {
          unpack(panel + whole.bytes, blocks - here, parity ^ 1);
        }
        for (int i = 0; i < 2; ++i) {
          for (int p = 0; p < panels; ++p) add(t + i, 2 * i + p, p, first, n);
        }
      }
    }
    panel += whole.bytes;
    blocks -= here;
    q += here * tall * 32;
    d += here * tall;
    minima += here * tall;
  }
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
  static const LinearPath p = with_tiles(*linear_avx512vbmi());
  return &p;
}
}  // namespace pl
