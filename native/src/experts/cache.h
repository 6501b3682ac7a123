// The cache of experts that stay in their file: its state, and what its sources and the products share.
//
// One mutex guards everything but `Entry::ready`, which products look at without it. Slots of one class are all
// of one size. Who needs a slot gets a free one, or that of the expert whose uses, halved every `half_life` tokens,
// count least. What the current pass uses, and what is being read, stays.
//
// A pass whose experts do not all fit goes through a ring of a few slots: products compute its experts in a
// fixed order, and the slot of one that is done is read into for a later one. The order is that of `Plan::order`
// for every thread, so that the first expert that is not done always has its slot.
#pragma once
#include <pthread.h>
#include <stdint.h>

namespace pl {
namespace experts {

constexpr int most_parts = 4;
constexpr double half_life = 256;       // tokens
constexpr int64_t piece_bytes = 512 << 10;  // read and repacked at a time: less than a core's cache
constexpr int64_t most_ring = 16;
constexpr int64_t most_ranks = 64;  // of foreseen experts

struct File {
  char* path;
  int buffered, direct;  // descriptors; -1: cannot be opened that way
  int64_t facts[5];
};

struct Part {
  int64_t file, type, k, n, offset, stride;
  int64_t row_bytes, at;  // at: place in a slot
  int64_t piece_rows, pieces, first_piece;
};

// One expert of a layer.
struct Entry {
  int32_t slot;   // of its class; -1: none
  uint32_t ready; // bits of the parts that are whole in the slot
  int32_t jobs;   // pieces queued or being read
  int32_t left[most_parts];  // pieces that a part lacks
  bool early;     // read because it was foreseen, not used yet
  int64_t used;   // number of the fetch that used it last
  double score;
};

struct Layer {
  int64_t slots, experts, parts, pieces, bytes;
  Part part[most_parts];
  int32_t* numbers;  // of the experts in the file
  Entry* entries;
  uint64_t* digests;  // [experts][pieces]; 0: never read
  double clock, now;  // tokens seen; what a use counts at that time: 2^(-clock / half_life)
  uint32_t all() const { return (1u << parts) - 1; }
};

struct Slot {
  uint8_t* memory;
  int32_t layer, expert;  // -1: free
};

struct Class {
  int64_t bytes, count;
  uint8_t* memory;
  Slot* slots;
};

struct Job {
  int32_t layer, expert, part, piece;
  uint8_t* slot;
  bool ring;
};

struct Victim {
  double value;
  int64_t slot;
};

// Jobs in the order in which they came.
struct Queue {
  Job* jobs;
  int64_t first, count, room;
};

// What the experts of the current pass are, and where.
struct Plan {
  int64_t number, layer, count;
  int32_t* order;      // experts; those that go through the ring are the last ones
  int64_t ring, ringed;  // slots of the ring; the first position that goes through it
  int32_t ring_slots[most_ring];
  int64_t part, next, units;  // the product that goes through it: its first part, its next position, units of an expert
  uint32_t mask;              // and its parts
  int64_t* done;       // units computed, by position
};

enum Failure { none, failed_read, too_short, replaced, other_contents, not_finite, misused };

struct Stats {
  int64_t rows, asked, found, read, bytes, direct, waited, early, early_used, rings, slots, reading;
};

// Experts of the next layer that are likely to be asked for. Those of a rank are read early while at least every second
// one that was not there turned out to be needed. Whether that saves time at all is measured: passes with and without
// take turns, `turn` at a time, until there are `trials` of each.
struct Forecast {
  static constexpr int64_t turn = 8, trials = 64, memory = 256;
  int64_t mode;      // 0: as measured; 1: never; 2: always
  int64_t layer;     // whose experts are foreseen; -1: none are
  int32_t* rank;     // 1 + rank of each expert that is foreseen and not there; 0: others
  int64_t asked[most_ranks], right[most_ranks];  // foreseen ones that were not there, and those of them that a pass used
  bool hinted, acts; // the current pass: whether something is foreseen in it, and read early
  int64_t began, passes, count[2];
  double logarithms[2];  // of nanoseconds of passes, without and with
  int64_t pays;      // 0: not known; 1: it does; -1: it does not
};

struct Reader {
  struct Cache* cache;
  pthread_t thread;
  bool started, ended;
};

// How the first reads past the page cache and through it went.
struct Trial {
  int64_t bytes[2], nanoseconds[2], count;
  int mode;  // 0: not decided; 1 buffered, 2 direct
};

struct Cache {
  pthread_mutex_t mutex;
  pthread_cond_t work, progress;
  bool (*check)(int, const void*, size_t);
  bool no_probe;  // the system does not tell what is in the page cache
  Trial trial;
  File* files;
  Class* classes;
  Layer* layers;
  int64_t file_count, class_count, layer_count;
  Reader* readers;
  int64_t reader_count, idle, running;
  bool ending;
  Queue wanted, likely;
  int64_t in_flight, ring_in_flight;
  Plan plan;
  Forecast forecast;
  int64_t all_slots, all_experts;
  Victim* victims;
  int32_t* counts;  // uses by expert, of one fetch
  int64_t most_experts;
  int64_t failure[6];
  Stats stats;
  int64_t waiting, waiting_since;
};

int64_t nanoseconds();

// reader.cpp. All but those of files with the mutex held.
void queue_part(Cache& c, int64_t layer, int64_t expert, int64_t part, uint8_t* slot, bool likely, bool ring);
void wake_readers(Cache& c);
// Reads one piece, if any is queued, without the mutex meanwhile; else waits for a while for others to read one.
void read_or_wait(Cache& c);
void drop_jobs(Cache& c, bool ring_only);
void drop_likely(Cache& c);
void drop_unforeseen(Cache& c, int64_t layer);  // experts of a layer that were read early, and are not in c.counts
void promote(Cache& c, int64_t layer, int64_t expert);
void stop_readers(Cache& c);
void fail(Cache& c, Failure what, int64_t error, int64_t layer, int64_t expert, int64_t part);
bool changed(const File& file);  // the open file
bool moved(const File& file);    // what its path stands for

// What a product needs of a cache.
// The experts in the order in which they are computed, `count` of them. False where that is not what was fetched: computing
// stops, and the flag at `abort` says so.
bool order_of(Cache& c, int64_t layer, int64_t count, int64_t* chosen, uint64_t abort);
// The slot of the expert at a position, once its parts in `mask` are there; null: computing stops, and the flag at
// `abort` says so. `units`: how much there is to be computed with each expert.
const uint8_t* slot_of(Cache& c, int64_t layer, int64_t position, int64_t part, uint32_t mask, int64_t units,
                       uint64_t abort);
// Where a part lies in the slots of a layer.
inline int64_t place_of(const Cache& c, int64_t layer, int64_t part) { return c.layers[layer].part[part].at; }
// So many units of it have been computed.
void computed(Cache& c, int64_t position, int64_t units);

}  // namespace experts
}  // namespace pl
