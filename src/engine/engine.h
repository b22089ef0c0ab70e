#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/block_residency.h"
#include "engine/engine_config.h"
#include "engine/request.h"
#include "engine/speculation.h"
#include "engine/step_log.h"

namespace bitcpm {

class Model;

// A snapshot for logs and metrics; the fields belong to one moment between two steps.
struct EngineStats {
  std::int32_t running = 0;   // requests holding KV blocks
  std::int32_t waiting = 0;   // accepted, not yet admitted
  std::int32_t deferred = 0;  // those of them that wait for what another request is computing
  std::int64_t kv_blocks_used = 0;
  std::int64_t kv_blocks_total = 0;
  std::int32_t kv_block_tokens = 0;
  std::int64_t preemptions_total = 0;
  std::int64_t prompt_tokens_total = 0;  // of admitted requests
  std::int64_t generation_tokens_total = 0;
  std::int64_t prefix_cache_queries = 0;  // those of them that were looked up
  std::int64_t prefix_cache_hits = 0;     // and whose blocks were found
  SpeculationTotals speculation;
  StepTotals steps;
  BlockResidencyTotals residency;

  double kv_cache_usage() const {  // [0, 1]; blocks that are only remembered count as free
    return kv_blocks_total == 0
               ? 0.0
               : static_cast<double>(kv_blocks_used) / static_cast<double>(kv_blocks_total);
  }
};

// Runs a model for many requests at once: owns the scheduler, the KV cache and the sampler, and one
// thread that alone touches them. Knows token ids only, never text.
class Engine {
 public:
  // Allocates the KV cache and starts the thread. `model` must outlive the engine.
  // Errors: kExhausted (the KV cache does not fit), kInvalid (config out of range).
  static Result<std::unique_ptr<Engine>> start(const Model& model, const EngineConfig& config);
  ~Engine();  // cancels what is left, delivers its terminal events, joins the thread
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request; its events go to `sink`. Any thread; never blocks on the model.
  // Errors: kInvalid (empty prompt, an id outside the vocabulary, a parameter out of range, or
  // prompt + max_tokens that could never fit: the message names which), kExhausted (the queue is
  // full: try later). After an error the sink is never called.
  Result<RequestId> submit(std::vector<TokenId> prompt, SamplingParams params, EventSink sink);

  // Ends a request early. Any thread; unknown or finished ids are ignored. The terminal event comes
  // as always.
  void cancel(RequestId request);

  // Forgets every prompt computed so far, before the next step. Any thread.
  void reset_prefix_cache();

  EngineStats stats() const;           // any thread
  const EngineConfig& config() const;  // as it runs: nothing left to its default

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
