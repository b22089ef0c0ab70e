#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "backend/backend.h"
#include "base/function_ref.h"
#include "base/result.h"
#include "io/model_config.h"
#include "model/rope.h"
#include "model/weights.h"

namespace bitcpm {

// One batch's intermediate results, a row per token. Views into a Workspace.
struct Activations {
  TensorView h;         // [rows, hidden] residual stream
  TensorView delta;     // [rows, hidden] output of a branch
  TensorView q;         // [rows, heads * head_dim]
  TensorView k, v;      // [rows, kv heads * head_dim]
  TensorView cos, sin;  // [rows, head_dim / 2]

  Activations first_rows(std::int64_t count) const;
};

// The inputs of the linears, one per width and use.
struct LinearInputs {
  std::unique_ptr<LinearInput> hidden;     // normalised input of a branch
  std::unique_ptr<LinearInput> attention;  // [rows, heads * head_dim], into o_proj
  std::unique_ptr<LinearInput> mlp;        // [rows, intermediate], into down_proj
  std::unique_ptr<LinearInput> head;       // [kMaxLogitsRows, hidden]
};

// Memory of forward passes of up to max_rows tokens. One per engine thread.
class Workspace {
 public:
  std::int32_t max_rows() const { return static_cast<std::int32_t>(rows_.h.rows); }
  std::size_t bytes() const {
    return buffer_.size() + inputs_.hidden->bytes() + inputs_.attention->bytes() +
           inputs_.mlp->bytes() + inputs_.head->bytes();
  }

 private:
  friend class Model;
  explicit Workspace(Rope rope) : rope_(std::move(rope)) {}

  Rope rope_;
  Buffer buffer_;
  Activations rows_;
  LinearInputs inputs_;
  TensorView final_;   // [rows, hidden] of the last forward's logits_rows
  TensorView logits_;  // [kMaxLogitsRows, vocab]
};

// What an observer of a forward pass is shown.
enum class HiddenPoint : std::uint8_t {
  kResidual,   // stage 0: after the embedding; 1 … L: after that layer, both [tokens, hidden];
               // L + 1: [logits rows, hidden], after the final norm and the division
  kAttention,  // 1 … L: what that layer's attention adds, before the residual scale
  kMlp,        // 1 … L: the same of its feed-forward
};
using HiddenObserver = FunctionRef<void(HiddenPoint point, std::int32_t stage, TensorView h)>;

// One decoder of the MiniCPM / Llama family: immutable weights and the forward pass. The two
// classes differ in three constants (muP: embedding, residual and logit scale), all 1 for Llama.
class Model {
 public:
  // logits() works on this many rows at most, so that a long prompt's log-probabilities never need
  // [prompt, vocab] floats at once.
  static constexpr std::int32_t kMaxLogitsRows = 64;

  Model(ModelConfig config, ModelWeights weights, Backend& backend)
      : config_(std::move(config)), weights_(std::move(weights)), backend_(&backend) {}

  const ModelConfig& config() const { return config_; }
  Backend& backend() const { return *backend_; }
  std::size_t weight_bytes() const { return weights_.bytes(); }
  // Up to how many rows logits() reads less of the head where it is asked for the top only.
  std::int64_t most_screened_rows() const { return backend_->most_screened_rows(weights_.head()); }
  // What a forward pass with `logits_rows` rows of logits reads.
  std::size_t pass_bytes(std::int64_t logits_rows) const {
    return weights_.pass_bytes(logits_rows <= most_screened_rows());
  }

  // Tells checkpoints apart: a checksum of the shape and of all norms, which every form and every
  // numerics keep as they are. Equal for a checkpoint and what `pack` makes of it.
  std::uint64_t fingerprint() const;

  // By default, elements of the backend's own choice.
  KvShape kv_shape(std::optional<KvCacheDtype> dtype = std::nullopt) const {
    return {config_.num_hidden_layers, config_.num_key_value_heads, config_.head_dim,
            dtype.value_or(backend_->default_kv_cache_dtype())};
  }

  // Errors: kExhausted.
  Result<Workspace> make_workspace(std::int32_t max_rows, std::int32_t max_model_len) const;

  // Runs the batch: its K and V enter `cache`, and the normalised hidden states of
  // batch.logits_rows wait in the workspace for logits(). batch.tokens.size() <= max_rows().
  // Equations: MiniCPM (arXiv:2404.06395, section 3), Llama (arXiv:2302.13971).
  void forward(const BatchView& batch, KvCache& cache, Workspace& workspace,
               const HiddenObserver* observer = nullptr) const;

  // Attention of one layer to `cache`, as within forward(), for whatever queries the last pass of
  // as many rows left in the workspace: to measure it alone.
  void attend(std::int32_t layer, const BatchView& batch, const KvCache& cache,
              Workspace& workspace) const;

  // Logits of entries [first, first + count) of the last forward's logits_rows;
  // count <= kMaxLogitsRows. top > 0: only the `top` largest of each row, ties included, are
  // needed; others may be minus infinity. -> [count, vocab], valid until the next call.
  TensorView logits(std::int32_t first, std::int32_t count, Workspace& workspace,
                    std::int32_t top = 0) const;

 private:
  Result<LinearInputs> make_inputs(std::int32_t max_rows) const;
  void attend(std::int32_t layer, const BatchView& batch, const KvCache& cache, TensorView q,
              LinearInput& out) const;
  void attention(const LayerWeights& layer, std::int32_t index, const BatchView& batch,
                 KvCache& cache, const Activations& rows, const LinearInputs& inputs) const;
  void mlp(const LayerWeights& layer, const Activations& rows, const LinearInputs& inputs) const;

  ModelConfig config_;
  ModelWeights weights_;
  Backend* backend_;
};

}  // namespace bitcpm
