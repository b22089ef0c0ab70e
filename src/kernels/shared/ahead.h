#pragma once

#include <stddef.h>

// How far ahead weights are asked for, written once over the vec16.h of the including level: what
// the core fetches by itself does not keep up (docs/adr/0038).
namespace {

constexpr size_t kAheadBytes = 3072;
inline void ask_ahead(const void* p) { prefetch(static_cast<const char*>(p) + kAheadBytes); }

}  // namespace
