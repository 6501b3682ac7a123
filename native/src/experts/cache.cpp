// Which experts have slots: what a pass asks for, what goes when others come, what was used most.
#include "cache.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "../../include/paceline.h"
#include "../common/threads.h"
#include "../linear/linear.h"

namespace pl {
namespace experts {
namespace {

struct Lock {
  explicit Lock(Cache& c) : cache(c) { pthread_mutex_lock(&c.mutex); }
  ~Lock() { pthread_mutex_unlock(&cache.mutex); }
  Cache& cache;
};

// Uses of an expert lately, per token.
double uses(const Layer& layer, const Entry& entry) { return entry.score * layer.now; }

void set_clock(Layer& layer, double clock) {
  layer.clock = clock;
  layer.now = std::exp2(-clock / half_life);
}

void free_slot(Cache& c, int64_t number, int64_t slot) {
  Slot& s = c.classes[number].slots[slot];
  if (s.layer < 0) return;
  Entry& entry = c.layers[s.layer].entries[s.expert];
  if (entry.slot == slot) {
    entry.slot = -1;
    entry.ready = 0;
    entry.early = false;
  }
  s.layer = s.expert = -1;
  --c.stats.slots;
}

void give_slot(Cache& c, int64_t layer, int64_t expert, int64_t slot) {
  Slot& s = c.classes[c.layers[layer].slots].slots[slot];
  s.layer = static_cast<int32_t>(layer);
  s.expert = static_cast<int32_t>(expert);
  Entry& entry = c.layers[layer].entries[expert];
  entry.slot = static_cast<int32_t>(slot);
  entry.ready = 0;
  ++c.stats.slots;
}

bool whole(const Layer& layer, const Entry& entry) { return entry.slot >= 0 && entry.ready == layer.all(); }

// Whether a slot can be had, and how much what it holds is used: -1 for a free one.
bool can_take(Cache& c, const Slot& s, double& value) {
  value = -1;
  if (s.layer < 0) return true;
  const Layer& layer = c.layers[s.layer];
  const Entry& entry = layer.entries[s.expert];
  if (entry.jobs > 0 || entry.used == c.plan.number) return false;
  if (whole(layer, entry)) value = uses(layer, entry);
  return true;
}

// Up to `most` slots whose experts are missed least, least of all the first, of less value than `limit`: in c.victims.
int64_t find_victims(Cache& c, int64_t number, int64_t most, double limit) {
  const Class& slots = c.classes[number];
  int64_t found = 0;
  for (int64_t i = 0; i < slots.count && most > 0; ++i) {
    double value;
    if (!can_take(c, slots.slots[i], value) || value >= limit) continue;
    if (found == most && value >= c.victims[found - 1].value) continue;
    int64_t at = found < most ? found++ : found - 1;
    for (; at > 0 && c.victims[at - 1].value > value; --at) c.victims[at] = c.victims[at - 1];
    c.victims[at] = {value, i};
    if (found == most && c.victims[found - 1].value < 0) break;
  }
  for (int64_t i = 0; i < found; ++i) free_slot(c, number, c.victims[i].slot);
  return found;
}

// After a pass that went through the ring: its slots are free. What is being read into them comes first.
void end_ring(Cache& c) {
  Plan& p = c.plan;
  if (p.ring == 0) return;
  drop_jobs(c, true);
  while (c.ring_in_flight > 0) read_or_wait(c);
  Layer& layer = c.layers[p.layer];
  Class& slots = c.classes[layer.slots];
  for (int64_t i = p.ringed; i < p.count; ++i) {
    Entry& entry = layer.entries[p.order[i]];
    entry.slot = -1;
    entry.ready = 0;
  }
  for (int64_t i = 0; i < p.ring; ++i) {
    Slot& s = slots.slots[p.ring_slots[i]];
    s.layer = s.expert = -1;
    --c.stats.slots;
  }
  p.ring = 0;
}

// Time of a pass that reads early, as a share of that of one that does not, as far as it was measured; 0: it was not.
double forecast_time(const Forecast& w) {
  if (w.count[0] == 0 || w.count[1] == 0) return 0;
  return std::exp(w.logarithms[1] / static_cast<double>(w.count[1]) - w.logarithms[0] / static_cast<double>(w.count[0]));
}

// Of the current layer's class, up to `most` slots for the ring. Where there are none, experts that are there give way.
void make_ring(Cache& c, int64_t most) {
  Plan& p = c.plan;
  Layer& layer = c.layers[p.layer];
  const int64_t least = c.classes[layer.slots].count < 2 ? 1 : 2;
  const auto wanted = [&] { return p.count - p.ringed < most ? p.count - p.ringed : most; };
  int64_t count;
  while ((count = find_victims(c, layer.slots, wanted(), HUGE_VAL)) < least && c.failure[0] == none) {
    const bool loose = p.ringed > 0 && layer.entries[p.order[p.ringed - 1]].jobs == 0;
    if (loose) {
      --p.ringed;
      free_slot(c, layer.slots, layer.entries[p.order[p.ringed]].slot);
    } else if (c.in_flight + c.wanted.count + c.likely.count > 0) {
      read_or_wait(c);
    } else {
      break;
    }
  }
  for (p.ring = 0; p.ring < count; ++p.ring) {
    const int64_t slot = c.victims[p.ring].slot;
    p.ring_slots[p.ring] = static_cast<int32_t>(slot);
    // Nobody else's, and not free.
    Slot& s = c.classes[layer.slots].slots[slot];
    s.layer = static_cast<int32_t>(p.layer);
    s.expert = p.order[p.ringed];
    layer.entries[s.expert].used = p.number;
    ++c.stats.slots;
  }
  p.part = -1;
  p.next = p.ringed;
  ++c.stats.rings;
}

void check_files(Cache& c, const Layer& layer, int64_t number) {
  for (int64_t part = 0; part < layer.parts; ++part) {
    bool seen = false;
    for (int64_t i = 0; i < part; ++i) seen = seen || layer.part[i].file == layer.part[part].file;
    if (!seen && moved(c.files[layer.part[part].file])) fail(c, replaced, 0, number, 0, part);
  }
}

void queue_expert(Cache& c, int64_t number, int64_t expert, int64_t from, int64_t to, bool likely) {
  Layer& layer = c.layers[number];
  uint8_t* memory = c.classes[layer.slots].slots[layer.entries[expert].slot].memory;
  for (int64_t part = from; part < to && part < layer.parts; ++part) {
    queue_part(c, number, expert, part, memory, likely, false);
  }
}

// Counts the uses of each expert. Returns how many experts there are.
int64_t count_uses(Cache& c, const pl_experts_fetch& f) {
  const Layer& layer = c.layers[f.layer];
  std::memset(c.counts, 0, static_cast<size_t>(layer.experts) * sizeof(int32_t));
  int64_t found = 0;
  for (int64_t t = 0; t < f.tokens; ++t) {
    const int32_t* ids = pointer<const int32_t>(f.ids + static_cast<uint64_t>(t * f.ids_stride));
    for (int64_t s = 0; s < f.slots; ++s) {
      if (ids[s] >= 0 && ids[s] < layer.experts && c.counts[ids[s]]++ == 0) ++found;
    }
  }
  return found;
}

// What is foreseen of a layer, token by token with the likeliest expert first.
void foresee(Cache& c, const pl_experts_fetch& f) {
  Layer& layer = c.layers[f.layer];
  Forecast& w = c.forecast;
  w.hinted = true;
  w.layer = f.layer;
  std::memset(w.rank, 0, static_cast<size_t>(layer.experts) * sizeof(int32_t));
  const int64_t ranks = f.slots < most_ranks ? f.slots : most_ranks;
  const auto expert_at = [&](int64_t token, int64_t rank) {
    return pointer<const int32_t>(f.ids + static_cast<uint64_t>(token * f.ids_stride))[rank];
  };
  for (int64_t rank = 0; rank < ranks; ++rank) {
    for (int64_t t = 0; t < f.tokens; ++t) {
      const int32_t e = expert_at(t, rank);
      if (e < 0 || e >= layer.experts || w.rank[e] != 0) continue;
      // Those that are there stay.
      if (layer.entries[e].slot >= 0) layer.entries[e].used = c.plan.number;
      else w.rank[e] = static_cast<int32_t>(rank + 1);
    }
  }
  if (!w.acts || c.failure[0] != none) return;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    if (2 * w.right[rank] < w.asked[rank]) continue;
    for (int64_t t = 0; t < f.tokens; ++t) {
      const int32_t e = expert_at(t, rank);
      if (e < 0 || e >= layer.experts || w.rank[e] != rank + 1 || layer.entries[e].slot >= 0) continue;
      if (find_victims(c, layer.slots, 1, HUGE_VAL) == 0) break;
      give_slot(c, f.layer, e, c.victims[0].slot);
      layer.entries[e].early = true;
      ++c.stats.early;
      queue_expert(c, f.layer, e, 0, most_parts, true);
    }
  }
  wake_readers(c);
}

// Compares what was foreseen of a layer with what a pass asks for, which is in c.counts.
void judge_forecast(Cache& c, int64_t number) {
  Forecast& w = c.forecast;
  if (w.layer != number) return;
  w.layer = -1;
  for (int64_t e = 0; e < c.layers[number].experts; ++e) {
    if (w.rank[e] == 0) continue;
    const int rank = w.rank[e] - 1;
    if (c.counts[e] > 0) ++w.right[rank];
    if (++w.asked[rank] < Forecast::memory) continue;
    w.asked[rank] /= 2;
    w.right[rank] /= 2;
  }
  drop_unforeseen(c, number);
}

// At the first layer of a pass: whether it reads early. At the last one: how long it took. Passes count once the cache
// is full, as those before read more and more rarely.
void time_pass(Cache& c, int64_t number) {
  Forecast& w = c.forecast;
  if (number == 0) {
    w.hinted = false;
    w.acts = w.mode == 2 || (w.mode == 0 && (w.pays == 1 || (w.pays == 0 && w.passes / Forecast::turn % 2 == 1)));
    w.began = w.mode == 0 && w.pays == 0 && c.stats.slots == c.all_slots ? nanoseconds() : 0;
  } else if (number == c.layer_count - 1 && w.hinted && w.began != 0) {
    ++w.passes;
    ++w.count[w.acts];
    w.logarithms[w.acts] += std::log(static_cast<double>(nanoseconds() - w.began));
    w.began = 0;
    if (w.count[0] < Forecast::trials || w.count[1] < Forecast::trials) return;
    w.pays = forecast_time(w) < 0.98 ? 1 : -1;
  }
}

void fetch(Cache& c, const pl_experts_fetch& f) {
  end_ring(c);
  Plan& p = c.plan;
  Layer& layer = c.layers[f.layer];
  p.layer = f.layer;
  ++p.number;
  p.count = count_uses(c, f);
  p.ring = p.ringed = 0;
  time_pass(c, f.layer);
  judge_forecast(c, f.layer);
  if (f.layer == 0) c.stats.rows += f.tokens;
  set_clock(layer, layer.clock + static_cast<double>(f.tokens));
  if (layer.clock > 512 * half_life) {
    for (int64_t e = 0; e < layer.experts; ++e) layer.entries[e].score = uses(layer, layer.entries[e]);
    set_clock(layer, 0);
  }
  const double weight = std::exp2(layer.clock / half_life);
  // Those that are there, then those that are coming, then the others.
  int64_t at = 0;
  for (int kind = 0; kind < 3; ++kind) {
    for (int64_t e = 0; e < layer.experts; ++e) {
      Entry& entry = layer.entries[e];
      if (c.counts[e] == 0) continue;
      if (kind == 0 && entry.slot >= 0 && entry.jobs == 0 && !whole(layer, entry)) {
        free_slot(c, layer.slots, entry.slot);  // reading it was given up
      }
      const int own = whole(layer, entry) ? 0 : entry.slot >= 0 ? 1 : 2;
      if (own != kind) continue;
      p.order[at++] = static_cast<int32_t>(e);
      entry.score += c.counts[e] * weight;
      entry.used = p.number;
      if (own < 2 && entry.early) {
        entry.early = false;
        ++c.stats.early_used;
      }
      if (own == 0) ++c.stats.found;
      if (own == 1) promote(c, f.layer, e);
      if (own < 2) p.ringed = at;
    }
  }
  c.stats.asked += p.count;
  const int64_t missing = p.count - p.ringed;
  c.stats.read += missing;
  if (missing == 0 || c.failure[0] != none) return;
  check_files(c, layer, f.layer);
  int64_t victims = find_victims(c, layer.slots, missing, HUGE_VAL);
  if (victims < missing && c.likely.count > 0) {
    drop_likely(c);
    victims = find_victims(c, layer.slots, missing, HUGE_VAL);
  }
  if (victims < missing) {
    make_ring(c, most_ring);
    return;
  }
  for (int64_t i = p.ringed; i < p.count; ++i) {
    give_slot(c, f.layer, p.order[i], c.victims[i - p.ringed].slot);
  }
  // The first product needs gate and up: the other parts come while it computes.
  for (int64_t i = p.ringed; i < p.count; ++i) queue_expert(c, f.layer, p.order[i], 0, 2, false);
  for (int64_t i = p.ringed; i < p.count; ++i) queue_expert(c, f.layer, p.order[i], 2, most_parts, false);
  p.ringed = p.count;
  wake_readers(c);
}

template <class T>
T* grown(T* list, int64_t count) {
  T* more = static_cast<T*>(std::realloc(static_cast<void*>(list), static_cast<size_t>(count) * sizeof(T)));
  if (more == nullptr) std::abort();
  std::memset(static_cast<void*>(more + count - 1), 0, sizeof(T));
  return more;
}

}  // namespace
}  // namespace experts
}  // namespace pl

using namespace pl;
using namespace pl::experts;

PL_API void* pl_experts_new(int64_t readers, void* check) {
  Cache* c = static_cast<Cache*>(std::calloc(1, sizeof(Cache)));
  if (c == nullptr) return nullptr;
  pthread_mutex_init(&c->mutex, nullptr);
  pthread_cond_init(&c->work, nullptr);
  pthread_cond_init(&c->progress, nullptr);
  c->check = reinterpret_cast<bool (*)(int, const void*, size_t)>(check);
  c->reader_count = readers;
  c->readers = static_cast<Reader*>(std::calloc(static_cast<size_t>(readers) + 1, sizeof(Reader)));
  if (c->readers == nullptr) std::abort();
  c->plan.layer = c->forecast.layer = -1;
  return c;
}

PL_API void pl_experts_free(void* cache) {
  if (cache == nullptr) return;
  Cache& c = *static_cast<Cache*>(cache);
  stop_readers(c);
  for (int64_t i = 0; i < c.file_count; ++i) {
    close(c.files[i].buffered);
    if (c.files[i].direct >= 0) close(c.files[i].direct);
    std::free(c.files[i].path);
  }
  for (int64_t i = 0; i < c.class_count; ++i) {
    pl_free(c.classes[i].memory, c.classes[i].bytes * c.classes[i].count);
    std::free(c.classes[i].slots);
  }
  for (int64_t i = 0; i < c.layer_count; ++i) {
    std::free(c.layers[i].numbers);
    std::free(c.layers[i].entries);
    std::free(c.layers[i].digests);
  }
  void* const lists[] = {c.files,         c.classes,    c.layers, c.readers,   c.wanted.jobs,
                         c.likely.jobs, c.plan.order, c.plan.done, c.counts, c.victims, c.forecast.rank};
  for (void* list : lists) std::free(list);
  pthread_mutex_destroy(&c.mutex);
  pthread_cond_destroy(&c.work);
  pthread_cond_destroy(&c.progress);
  std::free(&c);
}

PL_API void pl_experts_forecast(void* cache, int64_t mode) { static_cast<Cache*>(cache)->forecast.mode = mode; }

PL_API int64_t pl_experts_foresees(void* cache) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  const Forecast& w = c.forecast;
  return w.mode != 1 && w.pays >= 0 && c.layer_count > 1 && c.all_slots < c.all_experts;
}

PL_API int64_t pl_experts_class(void* cache, int64_t bytes, int64_t count) {
  Cache& c = *static_cast<Cache*>(cache);
  uint8_t* memory = static_cast<uint8_t*>(pl_alloc(bytes * count));
  Slot* slots = static_cast<Slot*>(std::calloc(static_cast<size_t>(count), sizeof(Slot)));
  if (memory == nullptr || slots == nullptr) {
    pl_free(memory, bytes * count);
    std::free(slots);
    return -1;
  }
  for (int64_t i = 0; i < count; ++i) slots[i] = {memory + i * bytes, -1, -1};
  c.classes = grown(c.classes, c.class_count + 1);
  c.classes[c.class_count] = {bytes, count, memory, slots};
  c.all_slots += count;
  return c.class_count++;
}

PL_API int64_t pl_experts_layer(void* cache, int64_t slots, int64_t experts, const void* numbers) {
  Cache& c = *static_cast<Cache*>(cache);
  c.layers = grown(c.layers, c.layer_count + 1);
  Layer& layer = c.layers[c.layer_count];
  layer.slots = slots;
  layer.experts = experts;
  c.all_experts += experts;
  set_clock(layer, 0);
  const size_t bytes = static_cast<size_t>(experts) * sizeof(int32_t);
  layer.numbers = static_cast<int32_t*>(std::malloc(bytes));
  if (layer.numbers == nullptr) std::abort();
  std::memcpy(layer.numbers, numbers, bytes);
  layer.entries = static_cast<Entry*>(std::calloc(static_cast<size_t>(experts), sizeof(Entry)));
  if (layer.entries == nullptr) std::abort();
  for (int64_t e = 0; e < experts; ++e) layer.entries[e].slot = -1;
  if (experts > c.most_experts) {
    c.most_experts = experts;
    const size_t n = static_cast<size_t>(experts);
    c.counts = static_cast<int32_t*>(std::realloc(c.counts, n * sizeof(int32_t)));
    c.forecast.rank = static_cast<int32_t*>(std::realloc(c.forecast.rank, n * sizeof(int32_t)));
    c.plan.order = static_cast<int32_t*>(std::realloc(c.plan.order, n * sizeof(int32_t)));
    c.plan.done = static_cast<int64_t*>(std::realloc(c.plan.done, n * sizeof(int64_t)));
    c.victims = static_cast<Victim*>(std::realloc(c.victims, n * sizeof(Victim)));
    const void* const lists[] = {c.victims, c.counts, c.forecast.rank, c.plan.order, c.plan.done};
    for (const void* list : lists) {
      if (list == nullptr) std::abort();
    }
  }
  return c.layer_count++;
}

PL_API int64_t pl_experts_part(void* cache, int64_t file, int64_t type, int64_t k, int64_t n, int64_t offset,
                               int64_t stride) {
  Cache& c = *static_cast<Cache*>(cache);
  Layer& layer = c.layers[c.layer_count - 1];
  const int64_t panels = pl_panel_bytes(type, k, n), width = pl_panel_rows();
  if (layer.parts == most_parts || panels == 0 || file < 0 || file >= c.file_count) return -1;
  const Format& f = formats[format_index(type)];
  const int64_t row = k / f.block * f.block_bytes;
  int64_t rows = piece_bytes / row / width * width;
  if (rows < width) rows = width;
  if (rows > n) rows = n;
  Part part{file, type, k, n, offset, stride, row, layer.bytes, rows, (n + rows - 1) / rows, layer.pieces};
  layer.part[layer.parts] = part;
  layer.pieces += part.pieces;
  layer.bytes += align_up(panels, 64);
  std::free(layer.digests);
  layer.digests = static_cast<uint64_t*>(std::calloc(static_cast<size_t>(layer.experts * layer.pieces), sizeof(uint64_t)));
  if (layer.digests == nullptr) std::abort();
  return layer.parts++;
}

PL_API int64_t pl_experts_failure(void* cache, void* out) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  std::memcpy(out, c.failure, sizeof c.failure);
  const int64_t what = c.failure[0];
  if (what == none) return what;
  drop_jobs(c, false);
  while (c.in_flight > 0) read_or_wait(c);
  end_ring(c);
  std::memset(c.failure, 0, sizeof c.failure);
  return what;
}

PL_API void pl_experts_stats(void* cache, void* out) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  const Stats& s = c.stats;
  const int64_t time = std::llround(1e6 * forecast_time(c.forecast));
  const int64_t all[13] = {s.rows,  s.asked,      s.found, s.read,  s.bytes,   s.direct, s.waited,
                           s.early, s.early_used, s.rings, s.slots, s.reading, time};
  std::memcpy(out, all, sizeof all);
}

PL_API void pl_experts_scores(void* cache, int64_t layer, void* out) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  const Layer& l = c.layers[layer];
  for (int64_t e = 0; e < l.experts; ++e) static_cast<double*>(out)[e] = uses(l, l.entries[e]);
}

PL_API void pl_experts_seed(void* cache, int64_t layer, const void* scores) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  Layer& l = c.layers[layer];
  const double weight = std::exp2(l.clock / half_life);
  for (int64_t e = 0; e < l.experts; ++e) l.entries[e].score = static_cast<const double*>(scores)[e] * weight;
}

PL_API void pl_experts_warm(void* cache) {
  Cache& c = *static_cast<Cache*>(cache);
  const Lock lock(c);
  for (int64_t number = 0; number < c.class_count; ++number) {
    Class& slots = c.classes[number];
    for (int64_t slot = 0; slot < slots.count; ++slot) {
      if (slots.slots[slot].layer >= 0) continue;
      int64_t layer = -1, expert = -1;
      double best = 0;
      for (int64_t l = 0; l < c.layer_count; ++l) {
        if (c.layers[l].slots != number) continue;
        for (int64_t e = 0; e < c.layers[l].experts; ++e) {
          const Entry& entry = c.layers[l].entries[e];
          const double value = entry.slot >= 0 ? 0 : uses(c.layers[l], entry);
          if (value <= best) continue;
          best = value;
          layer = l;
          expert = e;
        }
      }
      if (layer < 0) break;
      give_slot(c, layer, expert, slot);
      queue_expert(c, layer, expert, 0, most_parts, true);
    }
  }
  wake_readers(c);
}

PL_API void pl_op_experts_fetch(void*, int ith, int nth, void* params) {
  const pl_experts_fetch& f = *static_cast<const pl_experts_fetch*>(params);
  if (ith != 0) return;
  Cache& c = *pointer<Cache>(f.cache);
  const Lock lock(c);
  if (f.foreseen != 0) foresee(c, f);
  else fetch(c, f);
}
