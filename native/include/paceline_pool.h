// Threads of our own. Included by paceline.h.
//
// ggml's threads wait for each other by spinning after every operation, which is fast on idle cores
// and ruinous on busy ones. With a pool the graph is walked by one thread, and only operations that
// are worth it are shared out; nobody waits for a thread that has not begun its part.
#pragma once

// A pool of `threads` threads, the caller of an operation among them; null when memory is short. Threads start
// with the first operation and end after some seconds without one; those that the system refuses are done without.
// While other programs keep a thread from its core, fewer share in the operations.
PL_API void* pl_pool_new(int64_t threads);
// Waits for the threads to end. No operation may be running.
PL_API void pl_pool_free(void* pool);

// How many threads share in the next operation. Not to be called while one runs.
PL_API int64_t pl_pool_threads(void* pool);

// Runs fn(null, i, parts, params) for every i in [0, parts), each once, on the pool's threads. The
// callback that ggml calls in place of `fn`; when ggml itself has several threads, they do the parts.
#define PL_POOLED_FIELDS(P, I, F, S) \
  P(pool)         /* from pl_pool_new */ \
  P(fn)           /* an op of this library */ \
  P(params)       /* its parameters */ \
  I(threads)      /* at most so many threads; 0: all of the pool */ \
  I(shares)       /* parts of a thread, for operations that share out nothing themselves; 0: one */
PL_STRUCT(pl_pooled, PL_POOLED_FIELDS)
PL_API void pl_op_pooled(void*, int ith, int nth, void* params);

#define PL_POOL_STRUCTS(X) X(pl_pooled, PL_POOLED_FIELDS)
