// Attention: checks, splitting over threads, choice of the CPU path.
#include "attention.h"

#include <atomic>
#include <cmath>

#include "../../include/paceline.h"
#include "types.h"
#include "../common/built.h"
#include "../common/cpu.h"
#include "../common/threads.h"

namespace pl {
namespace attention {

const Ops& ops() { return *built_attention(path()); }

namespace {

constexpr int64_t kGroups = 4096;  // counters at the start of the scratch
constexpr int64_t kCounterBytes = kGroups * 4;
constexpr int64_t kMostStates = int64_t{32} << 20;  // bytes for states of chunks
constexpr int64_t kHeads = 4;     // KV heads of a unit with more than kFewRows query rows
constexpr int64_t kUnits = 4;     // of a thread, where chunks are shared out
constexpr int64_t kLeastRun = 4;  // chunks of a unit where heads are enough to share

struct Shape {
  int group, tile_tokens, dim, v_dim, v_pad, state;
  int unit_rows;          // most query rows of a unit
  int64_t thread_floats;  // two states and the kernel's work area
};

bool shape_of(const pl_attention& p, Shape* s) {
  if (p.heads <= 0 || p.kv_heads <= 0 || p.heads % p.kv_heads != 0 || p.heads > 65536) return false;
  if (p.head_dim <= 0 || p.head_dim > 4096 || p.v_dim <= 0 || p.v_dim > 4096) return false;
  if (!types_fit(p.k_type, p.head_dim, p.v_type, p.v_dim)) return false;
  s->group = static_cast<int>(p.heads / p.kv_heads);
  s->tile_tokens = s->group < kRows ? kRows / s->group : 1;
  s->dim = static_cast<int>(p.head_dim);
  s->v_dim = static_cast<int>(p.v_dim);
  s->v_pad = (s->v_dim + 15) & ~15;
  s->state = state_floats(s->v_pad);
  const int rows = s->tile_tokens * s->group;
  s->unit_rows = rows > kUnitRows ? rows : kUnitRows;
  const size_t work = p.k_type == PL_CACHE_I16
                          ? integer_floats(s->dim, s->unit_rows)
                          : work_floats(s->dim, s->unit_rows);
  const size_t floats = 2 * static_cast<size_t>(s->unit_rows) * s->state + work;
  s->thread_floats = static_cast<int64_t>((floats + 15) & ~static_cast<size_t>(15));
  return true;
}

// Query rows of one slice, and the chunks that they see.
struct Tile {
  const pl_cache_slice* slice;
  int64_t token;  // first, within the slice
  int tokens;
  int64_t position, end, first_chunk, chunks;
};

Tile tile_at(const pl_attention& p, const Shape& s, const pl_cache_slice& slice, int64_t index) {
  Tile t;
  t.slice = &slice;
  t.token = index * s.tile_tokens;
  const int64_t left = slice.count - t.token;
  t.tokens = static_cast<int>(left < s.tile_tokens ? left : s.tile_tokens);
  t.position = slice.past + t.token;
  t.end = p.causal ? 0 : slice.past + slice.count;
  const int64_t high = seen_end(t.end, t.position + t.tokens - 1, p.ahead);
  const int64_t low = p.window > 0 && t.position - p.window + 1 > 0 ? t.position - p.window + 1 : 0;
  t.first_chunk = low / kChunk;
  t.chunks = (high + kChunk - 1) / kChunk - t.first_chunk;
  return t;
}

// Walks over the tiles in a fixed order; inside a slice the last (longest) comes first.
class Tiles {
 public:
  Tiles(const pl_attention& p, const Shape& s) : p_(p), s_(s) {}
  bool next(Tile* out) {
    while (left_ == 0) {
      if (slice_ == p_.slice_count) return false;
      const auto& slice = reinterpret_cast<const pl_cache_slice*>(p_.slices)[slice_++];
      left_ = slice.count > 0 ? (slice.count + s_.tile_tokens - 1) / s_.tile_tokens : 0;
    }
    const auto& slice = reinterpret_cast<const pl_cache_slice*>(p_.slices)[slice_ - 1];
    *out = tile_at(p_, s_, slice, --left_);
    return true;
  }

 private:
  const pl_attention& p_;
  const Shape& s_;
  int64_t slice_ = 0, left_ = 0;
};

Unit unit_of(const pl_attention& p, const Shape& s, const Tile& t, int64_t kv_head, int heads) {
  Unit u;
  const int64_t row = t.slice->first + t.token;
  u.q_stride = p.q_stride / 4;
  u.q_head_stride = p.q_head_stride / 4;
  u.q = reinterpret_cast<const float*>(p.q) + row * u.q_stride +
        kv_head * s.group * u.q_head_stride;
  const bool blocks = p.k_type == PL_CACHE_I16;
  u.k_head_bytes = static_cast<size_t>(blocks ? key_block_bytes(s.dim) : bytes_of(p.k_type, s.dim));
  u.v_head_bytes = static_cast<size_t>(blocks ? value_block_bytes(s.v_dim) : bytes_of(p.v_type, s.v_dim));
  u.k = reinterpret_cast<const uint8_t*>(t.slice->k) + kv_head * u.k_head_bytes;
  u.v = reinterpret_cast<const uint8_t*>(t.slice->v) + kv_head * u.v_head_bytes;
  u.k_stride = t.slice->k_stride;
  u.v_stride = t.slice->v_stride;
  u.k_type = static_cast<int>(p.k_type);
  u.v_type = static_cast<int>(p.v_type);
  u.heads = heads;
  u.tokens = t.tokens;
  u.group = s.group;
  u.position = t.position;
  u.end = t.end;
  u.window = p.window;
  u.ahead = p.ahead;
  u.dim = s.dim;
  u.v_dim = s.v_dim;
  u.v_pad = s.v_pad;
  u.scale = static_cast<float>(p.scale);
  u.softcap = static_cast<float>(p.softcap);
  return u;
}

void finish_unit(const Ops& o, const pl_attention& p, const Shape& s, const Tile& t,
                 int64_t kv_head, int heads, const float* state) {
  const int64_t stride = p.out_stride / 4;
  float* out = reinterpret_cast<float*>(p.out) + (t.slice->first + t.token) * stride;
  const float* sinks = reinterpret_cast<const float*>(p.sinks);
  for (int64_t head = kv_head; head < kv_head + heads; head++) {
    o.finish(state, t.tokens, s.group, s.v_dim, s.v_pad, sinks ? sinks + head * s.group : nullptr,
             out + head * s.group * s.v_dim, stride);
    state += static_cast<int64_t>(t.tokens) * s.group * s.state;
  }
}

// How an operation is cut into units of work. It changes nothing but the time.
struct Plan {
  int heads;       // KV heads of a unit (fewer in the last of a tile)
  int64_t ranges;  // ranges of heads of a tile
  int64_t run;     // chunks of a unit (fewer in the last of a tile): they come one after the other
  bool split;      // whether units of a tile share out its chunks
};

int64_t parts_of(const Plan& plan, const Tile& t) { return (t.chunks + plan.run - 1) / plan.run; }

// Memory is read fastest in long runs, whole rows of all heads, and what a unit asks for ahead is its
// own. So units are as large as they can be while every thread gets some.
Plan plan_of(const pl_attention& p, const Shape& s, int64_t threads) {
  int64_t tiles = 0, chunks = 0, all_chunks = 0, floats = 0;
  int tokens = 1;
  Tiles list(p, s);
  for (Tile t; list.next(&t);) {
    tiles++;
    tokens = t.tokens > tokens ? t.tokens : tokens;
    chunks = t.chunks > chunks ? t.chunks : chunks;
    all_chunks += t.chunks;
    floats += t.chunks * p.kv_heads * t.tokens * s.group * s.state;
  }
  Plan plan;
  const int64_t rows = static_cast<int64_t>(tokens) * s.group;
  const int64_t fit = s.unit_rows / rows;
  const int64_t most = rows > kFewRows && kHeads < fit ? kHeads : fit;
  plan.heads = static_cast<int>(most < p.kv_heads ? most : p.kv_heads);
  const auto cut = [&] { plan.ranges = (p.kv_heads + plan.heads - 1) / plan.heads; };
  cut();
  const bool can_split =
      chunks > 1 && tiles * p.kv_heads <= kGroups &&
      kCounterBytes + 4 * (threads * s.thread_floats + floats) <= p.scratch_bytes;
  // Few rows wait for memory: threads share out chunks. More rows wait for arithmetic, and halves of
  // the heads do as well.
  const auto units = [&] { return (can_split && rows <= kFewRows ? all_chunks : tiles) * plan.ranges; };
  while (plan.heads > 1 && threads > 1 && units() < 2 * threads) {
    plan.heads = (plan.heads + 1) / 2;
    cut();
  }
  plan.run = chunks > 0 ? chunks : 1;
  if (can_split && threads > 1) {
    const int64_t run = all_chunks * plan.ranges / (kUnits * threads);
    const int64_t least = tiles * plan.ranges < 2 * threads ? 1 : kLeastRun;
    plan.run = run < least ? least : run < plan.run ? run : plan.run;
  }
  plan.split = plan.run < chunks;
  return plan;
}

// The last thread to finish a run of chunks of a tile x range of heads merges all its chunks in order.
void run(pl_attention& p, const Shape& s, const Plan& plan, float* partials, float* work) {
  const Ops& o = ops();
  auto* counters = reinterpret_cast<uint32_t*>(p.scratch);
  Tiles tiles(p, s);
  Tile t{};
  int64_t begin = 0, units = 0, groups = 0, offset = 0;
  bool stop = false;
  for (;;) {
    const int64_t ticket = __atomic_fetch_add(&p.next, 1, __ATOMIC_RELAXED);
    while (ticket >= begin + units) {
      begin += units;
      if (units > 0) {
        groups += plan.ranges;
        offset += t.chunks * p.kv_heads * t.tokens * s.group * s.state;
      }
      if (!tiles.next(&t)) return;
      units = plan.ranges * parts_of(plan, t);
    }
    stop = stop || aborted(p.abort);
    const int64_t index = ticket - begin, range = index % plan.ranges;
    const int64_t kv_head = range * plan.heads, left = p.kv_heads - kv_head;
    const int heads = static_cast<int>(left < plan.heads ? left : plan.heads);
    const int head_rows = t.tokens * s.group, rows = head_rows * heads;
    const int64_t size = static_cast<int64_t>(rows) * s.state;
    const int64_t first = index / plan.ranges * plan.run;
    const int64_t end = first + plan.run < t.chunks ? first + plan.run : t.chunks;
    Unit u = unit_of(p, s, t, kv_head, heads);
    u.first_chunk = t.first_chunk + first;
    u.end_chunk = t.first_chunk + end;
    float* state = work;
    float* next = work + size;
    float* rest = work + 2 * size;
    if (!stop) o.prepare(u, rest);
    if (parts_of(plan, t) == 1) {
      for (int64_t c = 0; c < t.chunks && !stop; c++) {
        o.chunk(u, t.first_chunk + c, c == 0 ? state : next, rest);
        if (c > 0) o.merge(state, next, 0, 1, rows, s.v_pad);
        stop = aborted(p.abort);
      }
      if (!stop) finish_unit(o, p, s, t, kv_head, heads, state);
      continue;
    }
    float* mine = partials + offset + kv_head * t.chunks * head_rows * s.state;
    for (int64_t c = first; c < end && !stop; c++) {
      o.chunk(u, t.first_chunk + c, mine + c * size, rest);
      stop = aborted(p.abort);
    }
    uint32_t* counter = counters + groups + range;
    if (__atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL) < parts_of(plan, t)) continue;
    __atomic_store_n(counter, 0, __ATOMIC_RELAXED);
    if (stop) continue;
    o.merge(mine, mine + size, size, static_cast<int>(t.chunks - 1), rows, s.v_pad);
    finish_unit(o, p, s, t, kv_head, heads, mine);
  }
}

void fill_nan(const pl_attention& p) {
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++)
    for (int64_t r = 0; r < slices[i].count; r++) {
      float* out = reinterpret_cast<float*>(p.out) + (slices[i].first + r) * (p.out_stride / 4);
      for (int64_t d = 0; d < p.heads * p.v_dim; d++) out[d] = NAN;
    }
}

}  // namespace
}  // namespace attention
}  // namespace pl

using namespace pl;
using namespace pl::attention;

PL_API void pl_op_attention(void*, int ith, int nth, void* params) {
  auto& p = *static_cast<pl_attention*>(params);
  Shape s;
  bool good = shape_of(p, &s);
  const auto* slices = reinterpret_cast<const pl_cache_slice*>(p.slices);
  for (int64_t i = 0; i < p.slice_count; i++) good = good && rows_fit(p.k_type, p.head_dim, p.v_dim, p.kv_heads, slices[i]);
  const int64_t threads_fit =
      good ? (p.scratch_bytes - kCounterBytes) / (s.thread_floats * 4) : 0;
  if (threads_fit < 1) {
    if (ith == 0) fill_nan(p);  // a caller's mistake must not pass as a result
    return;
  }
  if (ith < threads_fit) {
    const int64_t threads = nth < threads_fit ? nth : threads_fit;
    float* first = reinterpret_cast<float*>(p.scratch + kCounterBytes);
    float* partials = first + threads * s.thread_floats;
    run(p, s, plan_of(p, s, threads), partials, first + ith * s.thread_floats);
  }
  // The last thread out makes the tickets ready for the next run.
  if (__atomic_add_fetch(&p.finished, 1, __ATOMIC_ACQ_REL) == nth) {
    __atomic_store_n(&p.next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p.finished, 0, __ATOMIC_RELEASE);
  }
}

PL_API int64_t pl_attention_scratch(const void* params, int64_t rows, int64_t positions,
                                    int64_t threads) {
  Shape s;
  if (!shape_of(*static_cast<const pl_attention*>(params), &s) || rows < 0 || positions < 0 ||
      threads < 1)
    return -1;
  const auto& p = *static_cast<const pl_attention*>(params);
  int64_t bytes = kCounterBytes + 4 * threads * s.thread_floats;
  // Room to split one tile's worth of tokens over chunks; with more, tiles are enough to share. So
  // are heads where the context is long.
  const int64_t split_rows = rows < s.tile_tokens ? rows : s.tile_tokens;
  const int64_t states = 4 * split_rows * p.heads * s.state * ((positions + kChunk - 1) / kChunk + 1);
  bytes += states < kMostStates ? states : kMostStates;
  return (bytes + 63) & ~static_cast<int64_t>(63);
}
