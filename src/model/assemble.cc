#include "model/assemble.h"

#include <utility>
#include <vector>

#include "backend/backend.h"
#include "tensor/ternary_codec.h"

namespace bitcpm {
namespace {

// Takes weights in order and hands each to its place in ModelWeights.
class Assembler {
 public:
  Assembler(NextWeight next, bool head_tied, Backend& backend)
      : next_(next), head_tied_(head_tied), backend_(backend) {}

  Result<ModelWeights> assemble(std::int32_t layers) {
    ModelWeights weights;
    BITCPM_TRY(tables(weights));
    for (std::int32_t i = 0; i < layers; ++i) {
      LayerWeights& layer = weights.layers.emplace_back();
      BITCPM_ASSIGN(layer.input_layernorm, norm());
      BITCPM_ASSIGN(layer.post_attention_layernorm, norm());
      for (auto* weight : {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj,
                           &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
        BITCPM_ASSIGN(*weight, projection());
      }
    }
    BITCPM_ASSIGN(weights.norm, norm());
    if (!head_tied_) {
      BITCPM_ASSIGN(weights.lm_head, head());
    }
    return weights;
  }

 private:
  // The embedding, and the head if they are one matrix: in a form that serves both.
  Status tables(ModelWeights& weights) {
    BITCPM_ASSIGN(SourceWeight source, next_());
    if (head_tied_) {
      weights.lm_head = std::move(source.ready);
      if (weights.lm_head == nullptr) {
        BITCPM_ASSIGN(weights.lm_head, backend_.prepare_head(source.matrix, true));
      }
      return {};
    }
    BITCPM_ASSIGN(weights.embed_tokens, prepared(std::move(source)));
    return {};
  }

  Result<std::unique_ptr<PreparedWeight>> head() {
    BITCPM_ASSIGN(SourceWeight source, next_());
    if (source.ready != nullptr) return std::move(source.ready);
    return backend_.prepare_head(source.matrix, false);
  }

  Result<std::unique_ptr<PreparedWeight>> projection() {
    BITCPM_ASSIGN(SourceWeight source, next_());
    return prepared(std::move(source));
  }

  Result<std::unique_ptr<PreparedWeight>> prepared(SourceWeight source) {
    if (source.ready != nullptr) return std::move(source.ready);
    return backend_.prepare(std::move(source.matrix));
  }

  Result<Buffer> norm() {
    BITCPM_ASSIGN(const SourceWeight source, next_());
    std::vector<float> values(static_cast<std::size_t>(source.matrix.cols));
    decode_row(source.matrix, 0, values);
    return backend_.upload(values);
  }

  NextWeight next_;
  bool head_tied_;
  Backend& backend_;
};

}  // namespace

Result<ModelWeights> assemble_weights(NextWeight next, bool head_tied, std::int32_t layers,
                                      Backend& backend) {
  return Assembler(next, head_tied, backend).assemble(layers);
}

}  // namespace bitcpm
