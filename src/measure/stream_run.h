#pragma once

#include <cstdint>
#include <memory>

#include "base/function_ref.h"
#include "base/result.h"
#include "engine/engine.h"
#include "model/model.h"

namespace bitcpm {

// Greedy, whatever a request's own default is.
inline SamplingParams greedy_sampling() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

// Some requests at once, all alike but for their seeds: eos ignored, prompts of random ids.
struct StreamLoad {
  std::int32_t streams = 1;
  std::int32_t prompt_tokens = 16;
  std::int32_t max_tokens = 64;
  std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt;  // unset: the backend's default
  SamplingParams sampling = greedy_sampling();  // but its max_tokens, seed and ignore_eos
  SpeculationConfig speculation = {};           // off, unless it says how many tokens

  std::int64_t generated_tokens() const { return std::int64_t{streams} * max_tokens; }
};

// An engine that holds all of a load's streams at once, its KV cache no larger than that. Errors:
// kInvalid (longer than the model's positions), kExhausted (the KV cache does not fit).
Result<std::unique_ptr<Engine>> start_engine_for(const Model& model, const StreamLoad& load);

struct StreamTimes {
  double overall_seconds = 0;  // from the first submit to the last token
  double prompt_seconds = 0;   // until every stream had its first token
  // The phase in which every stream decoded: from the last first token until the first stream
  // ended. 0 steps if there was none; with speculation, tokens of the first stream that ended count
  // instead of steps.
  double decode_seconds = 0;
  std::int64_t decode_steps = 0;
  StepTotals steps = {};             // of the engine, over the whole run
  std::int64_t guessed_tokens = 0;   // likewise
  std::int64_t accepted_tokens = 0;  // of those
};

// Called about ten times a second with the tokens generated so far.
using TokenProgress = FunctionRef<void(std::int64_t tokens)>;

// Runs the load to its end. Errors: those of Engine::submit.
Result<StreamTimes> run_streams(Engine& engine, std::int32_t vocab_size, const StreamLoad& load,
                                TokenProgress progress);

}  // namespace bitcpm
