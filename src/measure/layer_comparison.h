#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "measure/logits_source.h"
#include "model/model.h"

namespace bitcpm {

// How far the hidden states of one point of the decoder are apart, over all positions.
struct PointDrift {
  HiddenPoint point = HiddenPoint::kResidual;
  std::int32_t stage = 0;  // as an observer sees it (model.h)
  double mean_cosine = 0;
  double least_cosine = 1;
  double mean_square = 0;     // squared difference per value
  double relative_error = 0;  // |got - want| / |want|, of everything as one vector

  // "embedding", "layer 0 attention", "layer 0 mlp", "layer 0", …, "final norm"; layers count
  // from 0, as in the checkpoint's names.
  std::string name(std::int32_t num_layers) const;
};

// Both models on the same windows, one pass of each per window. The points come in the order in
// which the decoder reaches them. The models must agree in layers and width; the last
// two are the elements of their KV caches. Errors: kInvalid (they
// do not, or a window is longer than their positions), kExhausted.
Result<std::vector<PointDrift>> compare_layers(const Model& want, const Model& got,
                                               std::span<const EvalWindow> windows,
                                               RowProgress progress,
                                               std::optional<KvCacheDtype> want_kv = std::nullopt,
                                               std::optional<KvCacheDtype> got_kv = std::nullopt);

}  // namespace bitcpm
