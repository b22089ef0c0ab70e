#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "measure/spread.h"
#include "measure/work.h"
#include "model/model.h"

namespace bitcpm {

// Streams whose contexts nobody had to compute.
struct ContextLoad {
  std::int32_t streams = 1;
  std::int32_t tokens = 1;   // of each stream in a pass: one as in decoding, more as in a prompt
  std::int32_t context = 1;  // of each stream's last token, itself included; >= tokens
  std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt;  // unset: the backend's default
};

// Forward passes of a load over a cache of random keys and values, on which speed does not depend.
class AttentionProbe {
 public:
  // `model` must outlive this. Errors: kInvalid (longer than the model's positions, or more than
  // 65,536 tokens in a pass), kExhausted (the cache does not fit).
  static Result<AttentionProbe> make(const Model& model, const ContextLoad& load);

  // Seconds of a whole pass, layers and head, and of the attention of all layers in such a pass:
  // `repeat` measurements, each the mean of as many as take a fifth of a second.
  Spread pass_seconds(int repeat);
  Spread attention_seconds(int repeat);

  // Of that attention: the multiply-adds of every row with every position of its context, and one
  // reading of the contexts' keys and values.
  Work work() const;

 private:
  AttentionProbe(const Model& model, const ContextLoad& load, Workspace workspace)
      : model_(&model), load_(load), workspace_(std::move(workspace)) {}

  Status fill_cache();
  BatchView batch() const { return {tokens_, slices_, logits_rows_}; }

  const Model* model_;
  ContextLoad load_;
  Workspace workspace_;
  std::unique_ptr<KvCache> cache_;
  std::vector<std::int32_t> blocks_;  // [streams, blocks of a stream]
  std::vector<TokenId> tokens_;
  std::vector<SequenceSlice> slices_;
  std::vector<std::int32_t> logits_rows_;
};

}  // namespace bitcpm
