// Hints to the compiler for code that has to become one function, and loops over registers that must be gone
// before it decides what to keep in memory.
#pragma once

#define PL_INLINE __attribute__((always_inline)) inline
#if defined(__clang__)
#define PL_UNROLL _Pragma("unroll")
#else
#define PL_UNROLL _Pragma("GCC unroll 16")
#endif
