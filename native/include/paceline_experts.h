// Experts that stay in their file: a bounded cache of whole experts, repacked when they arrive. Included by
// paceline.h.
//
// A cache has classes of slots, each of one size; layers, whose experts all take slots of one class; and of each
// layer up to four parts (gate, up, down): matrices that lie in a file, expert after expert. Everything is
// declared before the first fetch and stays until pl_experts_free. Classes, layers and files have numbers from 0.
//
// A graph has one pl_op_experts_fetch a layer, in front of that layer's pl_op_moe. One graph at a time may use a
// cache. Experts are read by threads of the cache, and by threads that compute and would have to wait for them.
#pragma once

// `readers`: threads that read. `check`: bool (*)(int type, const void* blocks, size_t bytes), which the blocks of an
// expert have to pass when they are read for the first time; null: everything passes. Null when memory is short.
PL_API void* pl_experts_new(int64_t readers, void* check);
// Ends the threads. No operation may be running.
PL_API void pl_experts_free(void* cache);
// Opens a file. Returns its number, or -1 - errno. `facts` (int64 [5]): device, inode, bytes, and the times of the last change of
// content and of the inode in nanoseconds. The file has to keep them.
PL_API int64_t pl_experts_file(void* cache, const char* path, void* facts);
// A class of `count` slots of `bytes` each (a multiple of 64). Its number, or -1 when memory is short.
PL_API int64_t pl_experts_class(void* cache, int64_t bytes, int64_t count);
// A layer whose experts take slots of a class. `numbers` (int32 [experts]): which expert of the file each is.
PL_API int64_t pl_experts_layer(void* cache, int64_t slots, int64_t experts, const void* numbers);
// The next part of the last layer: [k, n] blocks of `type`; expert e of the file begins at byte offset + e * stride. The
// parts of a layer lie in its slots one behind the other, each from a multiple of 64 bytes on. Its number, or -1.
PL_API int64_t pl_experts_part(void* cache, int64_t file, int64_t type, int64_t k, int64_t n, int64_t offset,
                               int64_t stride);

// What went wrong since the last call (int64 [6]): 0 nothing, 1 reading failed, 2 the file is too short, 3 it was changed or
// replaced, 4 its contents are not those that were read before, 5 values that are not finite; errno, layer, expert, part,
// file. Returns the first of them. After a failure nothing is read, and computing stops, until this is called.
PL_API int64_t pl_experts_failure(void* cache, void* out);
// Numbers so far (int64 [13]): rows of the first layer; experts asked for, found, read; bytes read, of them direct; nanoseconds in
// which computing waited; experts that were asked for early, of them used; passes too large for the cache, which read one
// after the other; slots in use; nanoseconds of reading, of all threads together; millionths of the time of a pass
// without early reading that one with it takes, 0 when that was not measured.
PL_API void pl_experts_stats(void* cache, void* out);
// How much each expert of a layer is used lately, per token (double [experts]); and the same told to a new cache.
PL_API void pl_experts_scores(void* cache, int64_t layer, void* out);
PL_API void pl_experts_seed(void* cache, int64_t layer, const void* scores);
// Begins to read the experts with the highest scores into slots that are free.
PL_API void pl_experts_warm(void* cache);

// Whether experts that are foreseen are read early: 0: where passes turn out to be faster with it; 1: never; 2: always.
PL_API void pl_experts_forecast(void* cache, int64_t mode);
// 1: graphs should say which experts of the next layer they foresee. 0: there is no use in it.
PL_API int64_t pl_experts_foresees(void* cache);

// Finds the experts of a pass: those in memory stay there until the next fetch, reading begins for the others. What is
// foreseen comes after the fetch of the layer before; it never takes the place of what that pass uses.
#define PL_EXPERTS_FETCH_FIELDS(P, I, F, S) \
  P(cache) \
  I(layer) \
  P(ids)          /* int32 [slots, tokens] */ \
  I(ids_stride)   /* bytes between tokens */ \
  I(tokens) I(slots) \
  I(foreseen)     /* 1: no pass asks for them yet, but the next fetch of that layer is likely to; the likeliest first */
PL_STRUCT(pl_experts_fetch, PL_EXPERTS_FETCH_FIELDS)
PL_API void pl_op_experts_fetch(void*, int ith, int nth, void* params);

#define PL_EXPERTS_STRUCTS(X) X(pl_experts_fetch, PL_EXPERTS_FETCH_FIELDS)
