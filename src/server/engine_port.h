#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/request.h"

namespace bitcpm {

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
};

EnginePort engine_port(Engine& engine);  // refers to the engine

}  // namespace bitcpm
