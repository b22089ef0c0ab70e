#include "model/model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/checksum.h"
#include "tensor/row_stride.h"

namespace bitcpm {
namespace {

// Where each row-wise activation starts in one allocation; every width is a multiple of 16 floats,
// so that all rows stay on cache lines.
class Carver {
 public:
  explicit Carver(float* base) : base_(base) {}
  TensorView take(std::int64_t rows, std::int64_t cols) {
    const std::int64_t stride = row_stride(cols);
    const TensorView view{base_ == nullptr ? nullptr : base_ + used_, rows, cols, stride};
    used_ += static_cast<std::size_t>(rows * stride);
    return view;
  }
  std::size_t used() const { return used_; }

 private:
  float* base_;
  std::size_t used_ = 0;
};

}  // namespace

std::size_t ModelWeights::bytes() const {
  std::size_t total = norm.size();
  for (const auto* table : {&embed_tokens, &lm_head}) total += *table ? (*table)->bytes() : 0;
  for (const LayerWeights& layer : layers) {
    total += layer.input_layernorm.size() + layer.post_attention_layernorm.size();
    for (const auto* weight : {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj,
                               &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
      total += (*weight)->bytes();
    }
  }
  return total;
}

std::size_t ModelWeights::pass_bytes(bool screened) const {
  const bool embedding_apart = &embedding() != &head();
  const std::size_t read = screened ? head().top_logits_bytes() : head().product_bytes();
  return bytes() - (embedding_apart ? embedding().bytes() : 0) - (head().bytes() - read);
}

std::uint64_t Model::fingerprint() const {
  std::vector<std::uint64_t> parts;
  for (const std::int32_t size :
       {config_.hidden_size, config_.intermediate_size, config_.num_hidden_layers,
        config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim,
        config_.vocab_size}) {
    parts.push_back(static_cast<std::uint64_t>(size));
  }
  const auto norm_bytes = static_cast<std::size_t>(config_.hidden_size) * sizeof(float);
  const auto add = [&](const Buffer& norm) {
    parts.push_back(checksum(norm.bytes().first(std::min(norm_bytes, norm.size()))));
  };
  for (const LayerWeights& layer : weights_.layers) {
    add(layer.input_layernorm);
    add(layer.post_attention_layernorm);
  }
  add(weights_.norm);
  return checksum(std::as_bytes(std::span(parts)));
}

Activations Activations::first_rows(std::int64_t count) const {
  return {.h = h.first_rows(count),
          .delta = delta.first_rows(count),
          .q = q.first_rows(count),
          .k = k.first_rows(count),
          .v = v.first_rows(count),
          .cos = cos.first_rows(count),
          .sin = sin.first_rows(count)};
}

Result<Workspace> Model::make_workspace(std::int32_t max_rows, std::int32_t max_model_len) const {
  BITCPM_CHECK(max_rows > 0 && max_model_len > 0);
  Workspace w(Rope(config_.rope, config_.head_dim, max_model_len));
  const auto layout = [&](float* base) {
    Carver carver(base);
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t q_width = std::int64_t{config_.num_attention_heads} * config_.head_dim;
    const std::int64_t kv_width = std::int64_t{config_.num_key_value_heads} * config_.head_dim;
    Activations& a = w.rows_;
    for (TensorView* view : {&a.h, &a.delta, &w.final_}) *view = carver.take(max_rows, hidden);
    a.q = carver.take(max_rows, q_width);
    for (TensorView* view : {&a.k, &a.v}) *view = carver.take(max_rows, kv_width);
    for (TensorView* view : {&a.cos, &a.sin}) *view = carver.take(max_rows, w.rope_.pairs());
    w.logits_ = carver.take(std::min(max_rows, kMaxLogitsRows), config_.vocab_size);
    return carver.used() * sizeof(float);
  };
  BITCPM_ASSIGN(w.buffer_, backend_->allocate(layout(nullptr)));
  layout(w.buffer_.as<float>());
  BITCPM_ASSIGN(w.inputs_, make_inputs(max_rows));
  return w;
}

Result<LinearInputs> Model::make_inputs(std::int32_t max_rows) const {
  std::vector<const PreparedWeight*> hidden;
  std::vector<const PreparedWeight*> attention;
  std::vector<const PreparedWeight*> mlp;
  for (const LayerWeights& layer : weights_.layers) {
    for (const auto* weight :
         {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.gate_proj, &layer.up_proj}) {
      hidden.push_back(weight->get());
    }
    attention.push_back(layer.o_proj.get());
    mlp.push_back(layer.down_proj.get());
  }
  const PreparedWeight* head = &weights_.head();
  const std::int64_t width = config_.hidden_size;
  LinearInputs inputs;
  BITCPM_ASSIGN(inputs.hidden, backend_->make_linear_input(max_rows, width, hidden));
  BITCPM_ASSIGN(inputs.attention,
                backend_->make_linear_input(max_rows, config_.kv_head_query_width(), attention));
  BITCPM_ASSIGN(inputs.mlp, backend_->make_linear_input(max_rows, config_.intermediate_size, mlp));
  BITCPM_ASSIGN(inputs.head,
                backend_->make_linear_input(std::min(max_rows, kMaxLogitsRows), width, {&head, 1}));
  return inputs;
}

void Model::attend(std::int32_t layer, const BatchView& batch, const KvCache& cache, TensorView q,
                   LinearInput& out) const {
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  backend_->paged_attention(q, batch, cache, layer, scale, out);
}

void Model::attend(std::int32_t layer, const BatchView& batch, const KvCache& cache,
                   Workspace& workspace) const {
  const auto rows = static_cast<std::int64_t>(batch.tokens.size());
  attend(layer, batch, cache, workspace.rows_.q.first_rows(rows), *workspace.inputs_.attention);
}

void Model::attention(const LayerWeights& layer, std::int32_t index, const BatchView& batch,
                      KvCache& cache, const Activations& rows, const LinearInputs& inputs) const {
  const std::array<LinearTarget, 3> qkv = {LinearTarget{layer.q_proj.get(), rows.q},
                                           LinearTarget{layer.k_proj.get(), rows.k},
                                           LinearTarget{layer.v_proj.get(), rows.v}};
  backend_->linear(*inputs.hidden, qkv);
  backend_->rope_append_kv(rows.q, rows.k, rows.v, {rows.cos, rows.sin}, batch, cache, index);
  attend(index, batch, cache, rows.q, *inputs.attention);
  const LinearTarget out{layer.o_proj.get(), rows.delta};
  backend_->linear(*inputs.attention, {&out, 1});
}

void Model::mlp(const LayerWeights& layer, const Activations& rows,
                const LinearInputs& inputs) const {
  backend_->gated_linear(*inputs.hidden, rows.h.rows, *layer.gate_proj, *layer.up_proj,
                         *inputs.mlp);
  const LinearTarget down{layer.down_proj.get(), rows.delta};
  backend_->linear(*inputs.mlp, {&down, 1});
}

// h = E[token] * scale_emb; per layer h += attn(rms(h)) * s, h += mlp(rms(h)) * s with
// s = scale_depth / sqrt(L); the add of each branch is fused with the norm that follows it.
void Model::forward(const BatchView& batch, KvCache& cache, Workspace& workspace,
                    const HiddenObserver* observer) const {
  const auto tokens = static_cast<std::int64_t>(batch.tokens.size());
  BITCPM_CHECK(tokens > 0 && tokens <= workspace.max_rows());
  const Activations rows = workspace.rows_.first_rows(tokens);
  const TensorView final =
      workspace.final_.first_rows(static_cast<std::int64_t>(batch.logits_rows.size()));
  const auto observe = [&](HiddenPoint point, std::int32_t stage, TensorView h) {
    if (observer != nullptr) (*observer)(point, stage, h);
  };
  for (const SequenceSlice& sequence : batch.sequences) {
    for (std::int32_t i = 0; i < sequence.num_rows; ++i) {
      workspace.rope_.angles(sequence.first_position + i, rows.cos.row(sequence.first_row + i),
                             rows.sin.row(sequence.first_row + i));
    }
  }

  const LinearInputs& inputs = workspace.inputs_;
  const float scale = config_.residual_scale;
  const float eps = config_.rms_norm_eps;
  backend_->embed(weights_.embedding(), batch.tokens, config_.embedding_scale, rows.h);
  observe(HiddenPoint::kResidual, 0, rows.h);
  backend_->rms_norm(rows.h, weights_.layers[0].input_layernorm, eps, *inputs.hidden);
  const std::int32_t layers = config_.num_hidden_layers;
  for (std::int32_t i = 0; i < layers; ++i) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(i)];
    attention(layer, i, batch, cache, rows, inputs);
    observe(HiddenPoint::kAttention, i + 1, rows.delta);
    backend_->add_scaled_rms_norm(rows.delta, scale, rows.h, layer.post_attention_layernorm, eps,
                                  *inputs.hidden);
    mlp(layer, rows, inputs);
    observe(HiddenPoint::kMlp, i + 1, rows.delta);
    if (i + 1 < layers) {
      const LayerWeights& next = weights_.layers[static_cast<std::size_t>(i) + 1];
      backend_->add_scaled_rms_norm(rows.delta, scale, rows.h, next.input_layernorm, eps,
                                    *inputs.hidden);
    } else {
      backend_->final_norm(rows.delta, scale, rows.h, batch.logits_rows, weights_.norm, eps,
                           config_.logit_divisor, final);
    }
    observe(HiddenPoint::kResidual, i + 1, rows.h);
  }
  observe(HiddenPoint::kResidual, layers + 1, final);
}

TensorView Model::logits(std::int32_t first, std::int32_t count, Workspace& workspace,
                         std::int32_t top) const {
  BITCPM_CHECK(first >= 0 && count > 0 && count <= kMaxLogitsRows &&
               first + count <= workspace.max_rows());
  const TensorView in = workspace.final_.row_range(first, count);
  const LinearTarget out{&weights_.head(), workspace.logits_.first_rows(count)};
  backend_->load_input(in, *workspace.inputs_.head);
  if (top == 0) {
    backend_->linear(*workspace.inputs_.head, {&out, 1});
  } else {
    backend_->top_logits(*workspace.inputs_.head, *out.weight, top, out.out);
  }
  return out.out;
}

}  // namespace bitcpm
