// How a cache of integers lies in memory. Numbers of 16 bits are split into upper and lower bytes and lie in tiles of 64
// by 16, in the order in which instructions multiply four bytes at once: rows of 64 bytes, [depth / 4][column][depth % 4],
// 16 of upper bytes and behind them 16 of lower ones. A product of a row of 64 numbers and a tile is 16 sums over depth.
//
// A cache is blocks of kBlock positions, and in them head by head:
// - keys: tiles [position / 16][element / 64], a column a position; behind them the f32 scales of the positions' keys,
//   then those of their values;
// - values: tiles [element / 16], a column an element, the depth the block's positions.
// So products read memory in the order in which it lies, for one row as for many, and nothing has to be rearranged.
#pragma once
#include <cstdint>

namespace pl {
namespace attention {

constexpr int64_t kLower = 1024;  // from an upper byte to its lower one
constexpr int64_t kTile = 2 * kLower;
constexpr int kTilePositions = 64;  // of a block
constexpr int kTileColumns = 16;

static constexpr int64_t tile_byte(int64_t column, int64_t depth) { return depth / 4 * 64 + column * 4 + depth % 4; }

// Bytes of a head in a block.
static constexpr int64_t key_block_bytes(int64_t dim) { return kTilePositions * (2 * dim + 8); }
static constexpr int64_t value_block_bytes(int64_t v_dim) { return kTilePositions * 2 * v_dim; }

// Where a head's things are in its part of a block: the tile of a position's keys from an element on, that of
// values from an element on, and the scales.
static constexpr int64_t tile_of_keys(int64_t dim, int64_t position, int64_t d) {
  return (position / kTileColumns * (dim / 64) + d / 64) * kTile;
}
static constexpr int64_t tile_of_values(int64_t d) { return d / kTileColumns * kTile; }
static constexpr int64_t scales_of_keys(int64_t dim) { return kTilePositions * 2 * dim; }
static constexpr int64_t scales_of_values(int64_t dim) { return scales_of_keys(dim) + kTilePositions * 4; }

}  // namespace attention
}  // namespace pl
