#pragma once

#include <cstdio>
#include <cstdlib>

// Aborts with file and line when a promise of the program to itself is broken. Never for input:
// files, requests and flags fail through Result.
#define BITCPM_CHECK(condition)                                                          \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
