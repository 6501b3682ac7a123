// Compressed attention: checks, splitting over threads, and the choice of blocks.
#include <algorithm>
#include <cstring>

#include "../common/built.h"
#include "../common/cpu.h"
#include "compressed.h"

namespace pl {
namespace compressed {
namespace {

alignas(64) thread_local unsigned char work[kWorkBytes];

struct Slices {
  const pl_compress_slice* first;
  int64_t count;
  template <typename P>
  explicit Slices(const P& p) : first(reinterpret_cast<const pl_compress_slice*>(p.slices)), count(p.slice_count) {}
  const pl_compress_slice* begin() const { return first; }
  const pl_compress_slice* end() const { return first + count; }
  // The one that a batch row belongs to; null: none.
  const pl_compress_slice* of(int64_t row) const {
    for (const auto& s : *this)
      if (row >= s.first && row < s.first + s.count) return &s;
    return nullptr;
  }
};

// Several threads may say so at once.
void overflow(uint64_t flag, int64_t type) {
  if (flag) __atomic_store_n(reinterpret_cast<int32_t*>(flag), static_cast<int32_t>(type), __ATOMIC_RELAXED);
}

// ---- the frontier ---------------------------------------------------------------------------------------
int64_t tail_of(const pl_compress& p) { return (p.overlap ? 2 : 1) * p.ratio - 1; }
int64_t log_rows(const pl_compress& p, const pl_compress_slice& s) {
  return tail_of(p) + (s.count <= PL_LOGGED_ROWS ? s.count : 0);
}
int64_t blocks_of(const pl_compress& p, const pl_compress_slice& s) {
  return (s.past + s.count) / p.ratio - s.past / p.ratio;
}

bool sound(const pl_compress& p) {
  if (p.width < 1 || p.width > kMostWidth || p.ratio < 1 || p.ratio > kMostRatio) return false;
  if (p.dims < 0 || p.dims > p.width || p.dims % 2 != 0 || !type_fits(p.type, p.width)) return false;
  for (const auto& s : Slices(p)) {
    if (s.logged < 0 || s.logged > PL_LOGGED_ROWS || s.count < 0 || s.past < 0 || s.to == 0 || s.from == s.to) return false;
    if ((s.from == 0) != (s.past == 0)) return false;
  }
  return true;
}

// One row of the frontier behind the pass.
void log_row(const pl_compress& p, const pl_compress_slice& s, int64_t index) {
  const int64_t tail = tail_of(p), channels = (p.overlap ? 2 : 1) * p.width;
  const int64_t row = index + (s.count <= PL_LOGGED_ROWS ? 0 : s.count) - tail;  // in the slice
  float* to = reinterpret_cast<float*>(s.to) + index * p.row + p.offset;
  if (row < 0) {
    const size_t bytes = static_cast<size_t>(2 * channels) * sizeof(float);
    if (s.from) {
      std::memcpy(to, reinterpret_cast<const float*>(s.from) + (row + s.logged + tail) * p.row + p.offset, bytes);
    } else {
      std::memset(to, 0, bytes);
    }
    return;
  }
  const auto* kv = reinterpret_cast<const float*>(p.kv + (s.first + row) * p.kv_stride);
  const auto* gate = reinterpret_cast<const float*>(p.gate + (s.first + row) * p.gate_stride);
  const auto* ape = reinterpret_cast<const float*>(p.ape) + (s.past + row) % p.ratio * channels;
  std::memcpy(to, kv, static_cast<size_t>(channels) * sizeof(float));
  for (int64_t c = 0; c < channels; c++) to[channels + c] = gate[c] + ape[c];
}

// ---- the choice -----------------------------------------------------------------------------------------
// Ordered as what is chosen first: by falling score, then by place.
uint64_t rank_of(float score, int64_t place) {
  score += 0.0f;  // one zero
  uint32_t bits;
  std::memcpy(&bits, &score, 4);
  const uint32_t rising = score != score ? 0 : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{~rising} << 32 | static_cast<uint32_t>(place);
}

// The best of what was offered, in a buffer that is thinned out when it is full.
class Best {
 public:
  explicit Best(int64_t most) : most_(most) {}
  void offer(float score, int64_t place) {
    const uint64_t rank = rank_of(score, place);
    if (rank > limit_) return;
    ranks_[count_++] = rank;
    if (count_ == 2 * most_) thin_out();
  }
  // Places in order.
  void write(int32_t* out) {
    if (count_ > most_) thin_out();
    for (int64_t i = 0; i < count_; i++) out[i] = static_cast<int32_t>(ranks_[i] & 0xffffffffu);
    std::sort(out, out + count_);
  }
  int64_t count() const { return count_ < most_ ? count_ : most_; }

 private:
  void thin_out() {
    std::nth_element(ranks_, ranks_ + most_ - 1, ranks_ + count_);
    count_ = most_;
    limit_ = ranks_[most_ - 1];
  }
  static thread_local uint64_t ranks_[2 * kMostChosen];
  const int64_t most_;
  int64_t count_ = 0;
  uint64_t limit_ = ~uint64_t{0};
};
thread_local uint64_t Best::ranks_[2 * kMostChosen];

bool sound(const pl_index_scores& p) {
  const int64_t wide = (p.dim + 15) & ~int64_t{15}, heads = (p.heads + 3) & ~int64_t{3};
  return p.dim >= 1 && p.dim <= kMostWidth && heads >= 1 && heads * wide <= kMostQuery && p.ratio >= 1 && type_fits(p.type, p.dim);
}

int64_t blocks_before(const pl_compress_slice& s, int64_t row, int64_t ratio) {
  return (s.past + row - s.first + 1) / ratio;
}

constexpr int64_t kSomeKeys = 512;

}  // namespace
}  // namespace compressed
}  // namespace pl

using namespace pl;
using namespace pl::compressed;

PL_API void pl_op_window_store(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_window_store*>(params);
  if (!type_fits(p.type, p.width)) return;
  const Ops& ops = *built_compressed(path());
  for (const auto& s : Slices(p)) {
    for (int64_t i = s.count * ith / nth; i < s.count * (ith + 1) / nth; i++) {
      const auto* x = reinterpret_cast<const float*>(p.x) + (s.first + i) * p.width;
      auto* to = reinterpret_cast<uint8_t*>(s.window) + (s.past + i) * s.window_stride;
      if (!ops.store(x, to, p.width, static_cast<int>(p.type))) overflow(p.overflow, p.type);
    }
  }
}

PL_API void pl_op_compress(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_compress*>(params);
  if (!sound(p)) return;
  const Ops& ops = *built_compressed(path());
  for (const auto& s : Slices(p)) {
    const int64_t rows = log_rows(p, s), blocks = blocks_of(p, s);
    for (int64_t i = rows * ith / nth; i < rows * (ith + 1) / nth; i++) log_row(p, s, i);
    for (int64_t i = blocks * ith / nth; i < blocks * (ith + 1) / nth; i++)
      if (!ops.block(p, s, s.past / p.ratio + i, work)) overflow(p.overflow, p.type);
  }
}

PL_API void pl_op_index_scores(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_index_scores*>(params);
  if (!sound(p)) return;
  const Ops& ops = *built_compressed(path());
  const Slices slices(p);
  for (int64_t row = 0; row < p.rows; row++) {
    const pl_compress_slice* s = slices.of(row);
    if (!s) continue;
    const int64_t count = std::min(blocks_before(*s, row, p.ratio), p.most);
    const int64_t from = count * ith / nth, to = count * (ith + 1) / nth;
    if (from < to) ops.scores(p, *s, row, from, to, reinterpret_cast<float*>(p.out) + row * p.most + from, work);
  }
}

PL_API void pl_op_index_choice(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_index_choice*>(params);
  const auto& from = *reinterpret_cast<const pl_index_scores*>(p.scores);
  if (!sound(from) || p.most < 1 || p.most > kMostChosen) return;
  const Ops& ops = *built_compressed(path());
  const Slices slices(from);
  for (int64_t row = ith; row < from.rows; row += nth) {
    auto* out = reinterpret_cast<int32_t*>(p.out) + row * (1 + p.most);
    out[0] = -1;
    const pl_compress_slice* s = slices.of(row);
    if (!s) continue;
    const int64_t count = blocks_before(*s, row, from.ratio);
    if (count <= p.most) continue;
    Best best(p.most);
    const float* known = from.out ? reinterpret_cast<const float*>(from.out) + row * from.most : nullptr;
    float some[kSomeKeys];
    for (int64_t begin = 0; begin < count; begin += kSomeKeys) {
      const int64_t end = std::min(begin + kSomeKeys, count);
      if (!known) ops.scores(from, *s, row, begin, end, some, work);
      for (int64_t i = begin; i < end; i++) best.offer(known ? known[i] : some[i - begin], i);
    }
    best.write(out + 1);
    out[0] = static_cast<int32_t>(best.count());
  }
}

PL_API void pl_op_block_attention(void*, int ith, int nth, void* params) {
  const auto& p = *static_cast<const pl_block_attention*>(params);
  if (p.dim < 1 || p.dim > kMostWidth || p.heads < 1 || p.window < 1 || !type_fits(p.type, p.dim)) return;
  const Ops& ops = *built_compressed(path());
  const Slices slices(p);
  const auto* abort = reinterpret_cast<const int32_t*>(p.abort);
  const int64_t groups = (p.heads + kHeads - 1) / kHeads, total = p.rows * groups;
  // In turn: late rows see more than early ones.
  for (int64_t i = ith; i < total; i += nth) {
    if (abort && __atomic_load_n(abort, __ATOMIC_RELAXED)) return;
    const int64_t row = i / groups;
    const pl_compress_slice* s = slices.of(row);
    if (s) ops.attend(p, *s, row, i % groups * kHeads, work);
  }
}
