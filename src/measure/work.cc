#include "measure/work.h"

#include "model/tensor_slots.h"

namespace bitcpm {

ModelWork::ModelWork(const LoadedModel& loaded, Numerics numerics,
                     std::optional<KvCacheDtype> kv_cache_dtype) {
  const ModelConfig& config = loaded.model->config();
  double projections = 0;
  for (const TensorSlot& slot : tensor_slots(config)) {
    const auto values = static_cast<double>(slot.rows * slot.cols);
    if (slot.kind == SlotKind::kProjection) projections += values;
    if (slot.kind == SlotKind::kHead) head_macs_ = values;
  }
  ternary_macs_per_token_ = static_cast<double>(loaded.report.ternary_parameters);
  dense_macs_per_token_ = projections - ternary_macs_per_token_;
  is_fast_ = numerics == Numerics::kFast;
  const std::int64_t few = loaded.model->most_screened_rows();
  few_logits_ = static_cast<double>(few);
  pass_bytes_ = static_cast<double>(loaded.model->pass_bytes(few + 1));
  few_pass_bytes_ = static_cast<double>(loaded.model->pass_bytes(few));
  kv_bytes_per_token_ =
      static_cast<double>(kv_bytes_per_token(loaded.model->kv_shape(kv_cache_dtype)));
}

Work ModelWork::of(double passes, double tokens, double logits, double kv_tokens) const {
  Work work;
  (is_fast_ ? work.int8_macs : work.int16_macs) = tokens * ternary_macs_per_token_;
  (is_fast_ ? work.bf16_macs : work.f32_macs) = tokens * dense_macs_per_token_;
  (is_fast_ ? work.int8_macs : work.f32_macs) += logits * head_macs_;
  const bool few = logits <= passes * few_logits_;
  work.bytes = passes * (few ? few_pass_bytes_ : pass_bytes_) + kv_tokens * kv_bytes_per_token_;
  return work;
}

Shares shares_of(const Work& work, double seconds, const DeviceLimits& limits) {
  const double int8_macs = work.int8_macs + 2 * work.int16_macs;
  const double compute_seconds = int8_macs / limits.int8_macs_per_s +
                                 work.bf16_macs / limits.bf16_macs_per_s +
                                 work.f32_macs / limits.f32_macs_per_s;
  return {work.bytes / limits.read_bytes_per_s / seconds, compute_seconds / seconds};
}

}  // namespace bitcpm
