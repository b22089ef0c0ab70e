#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "io/model_files.h"
#include "model/model.h"

namespace bitcpm::golden {

// The embedded model on one CPU level.
class GoldenModel {
 public:
  explicit GoldenModel(const std::string& isa, int threads = 2,
                       Numerics numerics = Numerics::kExact);
  // Any other model.
  GoldenModel(ModelFiles files, const std::string& isa, Numerics numerics);

  const Model& model() const { return *model_; }
  std::optional<KvCacheDtype> kv_cache_dtype() const { return kv_cache_dtype_; }

  // For what follows; unset: the numerics' own.
  GoldenModel& use_kv(std::optional<KvCacheDtype> dtype) {
    kv_cache_dtype_ = dtype;
    return *this;
  }

  // Logits of every position of `ids`, [ids, vocab], computed `chunk` tokens at a time; `top` as in
  // Model::logits.
  std::vector<float> logits(std::span<const TokenId> ids, int chunk = 4096, int top = 0) const;

  // The residual stream of `ids` after each stage (model.h), [stages][ids * hidden].
  std::vector<std::vector<float>> hidden_states(std::span<const TokenId> ids) const;

 private:
  void load(ModelFiles files);
  template <class PerChunk>
  void run(std::span<const TokenId> ids, int chunk, const HiddenObserver* observer,
           const PerChunk& per_chunk) const;

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::optional<KvCacheDtype> kv_cache_dtype_;
};

// What a request came to, collected from its events.
struct Completion {
  std::vector<TokenId> tokens;
  std::vector<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;
  int finish_events = 0;
  FinishReason finish = FinishReason::kCancelled;
  RequestTimes times;
  std::int32_t cached_tokens = 0;

  void add(EngineEvent&& event);
};

// What differs between two completions, to the bit: token ids, reasons, every float of every
// log-probability; empty if nothing does. Times and cached tokens may.
std::string difference(const Completion& want, const Completion& got);

// Submits everything at once and waits for all terminal events.
std::vector<Completion> complete_all(Engine& engine,
                                     const std::vector<std::vector<TokenId>>& prompts,
                                     const std::vector<SamplingParams>& params);

}  // namespace bitcpm::golden
