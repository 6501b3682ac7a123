// What products ask of the cache, and the ring through which passes go that do not fit.
#include <cstring>

#include "../common/threads.h"
#include "cache.h"

namespace pl {
namespace experts {
namespace {

// Reads into every slot of the ring that is free for a position to come.
void schedule(Cache& c) {
  Plan& p = c.plan;
  Layer& layer = c.layers[p.layer];
  Class& slots = c.classes[layer.slots];
  bool queued = false;
  for (; p.next < p.count; ++p.next) {
    const int64_t before = p.next - p.ring;
    if (before >= p.ringed) {
      if (p.done[before] < p.units) break;
      Entry& old = layer.entries[p.order[before]];
      old.slot = -1;
      old.ready = 0;
    }
    const int32_t slot = p.ring_slots[(p.next - p.ringed) % p.ring];
    const int32_t expert = p.order[p.next];
    Entry& entry = layer.entries[expert];
    entry.slot = slot;
    __atomic_store_n(&entry.ready, 0u, __ATOMIC_RELAXED);
    slots.slots[slot].layer = static_cast<int32_t>(p.layer);
    slots.slots[slot].expert = expert;
    for (int part = 0; part < layer.parts; ++part) {
      if (p.mask >> part & 1) queue_part(c, p.layer, expert, part, slots.slots[slot].memory, false, true);
    }
    queued = true;
  }
  if (queued) wake_readers(c);
}

// The product is another one than before: it goes through the ring from the beginning.
void start(Cache& c, int64_t part, uint32_t mask, int64_t units) {
  Plan& p = c.plan;
  Layer& layer = c.layers[p.layer];
  for (int64_t i = p.ringed; i < p.count; ++i) {
    Entry& entry = layer.entries[p.order[i]];
    entry.slot = -1;
    __atomic_store_n(&entry.ready, 0u, __ATOMIC_RELAXED);
    p.done[i] = 0;
  }
  p.part = part;
  p.mask = mask;
  p.units = units;
  p.next = p.ringed;
}

void stop(uint64_t abort) { __atomic_store_n(reinterpret_cast<int32_t*>(abort), 1, __ATOMIC_RELAXED); }

bool has(const Entry& entry, uint32_t mask) {
  return (__atomic_load_n(&entry.ready, __ATOMIC_ACQUIRE) & mask) == mask;
}

}  // namespace

bool order_of(Cache& c, int64_t layer, int64_t count, int64_t* chosen, uint64_t abort) {
  const Plan& p = c.plan;
  if (p.layer != layer || p.count != count) {
    pthread_mutex_lock(&c.mutex);
    fail(c, misused, 0, layer, 0, 0);
    pthread_mutex_unlock(&c.mutex);
    stop(abort);
    return false;
  }
  for (int64_t i = 0; i < count; ++i) chosen[i] = p.order[i];
  return true;
}

const uint8_t* slot_of(Cache& c, int64_t layer_number, int64_t position, int64_t part, uint32_t mask,
                       int64_t units, uint64_t abort) {
  Plan& p = c.plan;
  Layer& layer = c.layers[layer_number];
  Entry& entry = layer.entries[p.order[position]];
  const bool through = p.ring > 0 && position >= p.ringed;
  if (through || !has(entry, mask)) {
    pthread_mutex_lock(&c.mutex);
    if (c.waiting++ == 0) c.waiting_since = nanoseconds();
    bool stopped = false;
    for (;;) {
      stopped = aborted(abort);
      if (!stopped && c.failure[0] != none) {
        stop(abort);
        stopped = true;
      }
      if (stopped) break;
      if (through && p.part != part) start(c, part, mask, units);
      if (through) schedule(c);
      if (has(entry, mask)) break;
      if (entry.jobs == 0 && !through) fail(c, misused, 0, layer_number, p.order[position], part);
      else read_or_wait(c);
    }
    if (--c.waiting == 0) c.stats.waited += nanoseconds() - c.waiting_since;
    pthread_mutex_unlock(&c.mutex);
    if (stopped) return nullptr;
  }
  return c.classes[layer.slots].slots[entry.slot].memory;
}

void computed(Cache& c, int64_t position, int64_t units) {
  Plan& p = c.plan;
  if (p.ring == 0 || position < p.ringed) return;
  pthread_mutex_lock(&c.mutex);
  p.done[position] += units;
  if (p.done[position] == p.units) {
    schedule(c);
    pthread_cond_broadcast(&c.progress);
  }
  pthread_mutex_unlock(&c.mutex);
}

}  // namespace experts
}  // namespace pl
