// The C ABI of libpaceline-kernels. Kernels know nothing of ggml: an op gets plain pointers, shapes
// and strides in a parameter struct of 8-byte slots, which the caller keeps alive while it runs.
//
// Op signature: void op(void* ignored, int ith, int nth, void* params)
//   This is ggml's custom-op callback. It is called once per thread with ith in [0, nth), all
//   threads with the same params; the op splits the work and needs no barrier inside unless stated.
//
// Each struct is declared once, as a list of fields (X-macro): P = address, I = int64, F = double,
// S = int64 scratch that the library owns (the caller writes zero once). The list makes the C
// struct and the table that pl_layout() returns, from which the caller learns sizes and offsets.
#pragma once
#include <stdint.h>

#if defined(_WIN32)
#define PL_API extern "C" __declspec(dllexport)
#else
#define PL_API extern "C" __attribute__((visibility("default")))
#endif

#define PL_ABI_VERSION 1

#define PL_FIELD_P(name) uint64_t name;
#define PL_FIELD_I(name) int64_t name;
#define PL_FIELD_F(name) double name;
#define PL_FIELD_S(name) int64_t name;
#define PL_STRUCT(name, FIELDS)                                             \
  typedef struct name {                                                     \
    FIELDS(PL_FIELD_P, PL_FIELD_I, PL_FIELD_F, PL_FIELD_S)                  \
  } name;

// ---- library ----------------------------------------------------------------------------------
// Picks the CPU path (PACELINE_CPU or the best that CPU and system support). 0 = ok; else a
// message for the user is in pl_error(). Called before anything else; tests call it again to change
// the path, which makes panels and activations of the former one unreadable.
PL_API int pl_init(const char* forced_path_or_null);
PL_API const char* pl_error(void);
PL_API const char* pl_path(void);    // "amx", "avx512", "avxvnni", "avx2", "neon", "scalar"
PL_API const char* pl_paths(void);   // all that this machine can run, best first, comma separated
PL_API const char* pl_layout(void);  // JSON: {"abi":1,"structs":{"pl_x":{"size":8,"fields":{...}}}}
// ggml abort callback: true when the int32 at `flag` is not zero.
PL_API bool pl_abort_flag(void* flag);
// The caller may put the address of a header instead of data into address slots of a parameter struct:
// each of the `count` slots listed gets the pointer that stands `offset` bytes into that header.
PL_API void pl_resolve(uint64_t* const* slots, int64_t count, int64_t offset);
// 64-byte aligned (2 MiB with huge pages advised when large); null when memory is short.
PL_API void* pl_alloc(int64_t bytes);
PL_API void pl_free(void* pointer, int64_t bytes);
// Has the C library take blocks from 1 MiB on from the system, one by one, and give them back when they are freed,
// for the whole process: those of ggml, too.
PL_API void pl_large_blocks_apart(void);
// What a benchmark needs to learn how fast memory is: writes all bytes (pages that were never written
// are one page of zeros), and reads all whole lines of 64 bytes, in several streams, as fast as a core
// can. Returns a digest of what was read.
PL_API void pl_fill_memory(void* pointer, int64_t bytes);
PL_API int64_t pl_read_memory(const void* pointer, int64_t bytes);
// Takes the four lanes of the cache's checksum over so many parts of memory, each of whole steps of 16 bytes.
PL_API void pl_checksum(const uint64_t* addresses, const int64_t* bytes, int64_t count, uint32_t* lanes);

#include "paceline_experts.h"
#include "paceline_linear.h"
#include "paceline_pool.h"
#if __has_include("paceline_attention.h")
#include "paceline_attention.h"
#endif
#if __has_include("paceline_recurrent.h")
#include "paceline_recurrent.h"
#endif
#if __has_include("paceline_compressed.h")
#include "paceline_compressed.h"
#endif
