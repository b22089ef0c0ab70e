#pragma once

#include <stddef.h>

// How far ahead weights are asked for, written once over the vec16.h of the including level: what
// the core fetches by itself does not keep up (docs/adr/0038, 0042).
namespace {

// First into the second-level cache, which has places for many lines that are on their way; from
// there into the first, whose few are then not held for as long as memory takes.
constexpr size_t kFarBytes = 5120;
constexpr size_t kNearBytes = 1536;
inline void ask_ahead(const void* p) {
  prefetch_second(static_cast<const char*>(p) + kFarBytes);
  prefetch(static_cast<const char*>(p) + kNearBytes);
}

}  // namespace
