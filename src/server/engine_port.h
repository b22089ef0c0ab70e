#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/request.h"

namespace bitcpm {

// The settings of a KV cache that /metrics names.
struct KvCacheSettings {
  std::string_view dtype = "auto";
  std::size_t bytes = 0;
  bool enable_prefix_caching = true;
  bool records_residency = false;  // EngineStats::residency means something
};

// What the server needs of an engine, with Engine's own contracts; the seam where tests put a
// scripted one.
struct EnginePort {
  std::function<Result<RequestId>(std::vector<TokenId> prompt, SamplingParams params,
                                  EventSink sink)>
      submit;
  std::function<void(RequestId)> cancel;
  std::function<EngineStats()> stats;
  std::int32_t max_model_len = 0;
  std::int32_t max_logprobs = 20;
  std::int32_t max_running = 64;
  std::int32_t max_waiting = 1024;
  KvCacheSettings kv_cache;
};

EnginePort engine_port(Engine& engine);  // refers to the engine

}  // namespace bitcpm
