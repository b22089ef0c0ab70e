#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "measure/eval_texts.h"
#include "measure/saved_run.h"
#include "measure/stream_run.h"
#include "model/model.h"

namespace bitcpm {

// How much text is made to see where two runs part.
struct GreedyLoad {
  std::int32_t texts = 10;                                    // the first windows
  std::int32_t prompt_tokens = 32;                            // of each, or half of a shorter one
  std::int32_t max_tokens = 64;                               // generated, eos ignored
  std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt;  // unset: the backend's default
};

// What the model generates greedily, all texts at once. `progress` gets the tokens so far. Errors:
// kExhausted, kInvalid (longer than the model's positions).
Result<std::vector<GreedyText>> greedy_texts(const Model& model,
                                             std::span<const EvalWindow> windows,
                                             const GreedyLoad& load, TokenProgress progress);

// Where two lists of continuations part, over the texts that both have.
struct GreedyComparison {
  std::size_t texts = 0;
  std::size_t equal = 0;                  // texts alike to their ends
  std::vector<std::int32_t> divergences;  // of the others: index of the first different token
};

// Errors: kInvalid (of different prompts).
Result<GreedyComparison> compare_greedy(std::span<const GreedyText> want,
                                        std::span<const GreedyText> got);

}  // namespace bitcpm
