#pragma once

#include <optional>
#include <string_view>

#include "backend/backend.h"
#include "backend/numerics.h"
#include "model/loader.h"
#include "model/model.h"

namespace bitcpm {

// Multiply-adds and bytes, as the shapes have it: what must be done, however it is done. Attention
// and the element-wise operations are left out of the multiply-adds, activations out of the bytes:
// both are a few percent.
struct Work {
  double int8_macs = 0;
  double int16_macs = 0;  // int16 by ternary, two products of int8 each
  double bf16_macs = 0;
  double f32_macs = 0;
  double bytes = 0;

  double macs() const { return int8_macs + int16_macs + bf16_macs + f32_macs; }
};

// What the passes of one model cost.
class ModelWork {
 public:
  // `kv_cache_dtype`: unset, the backend's default.
  ModelWork(const LoadedModel& loaded, Numerics numerics,
            std::optional<KvCacheDtype> kv_cache_dtype = std::nullopt);

  // `passes` forward passes over `tokens` tokens in all, that make logits of `logits` positions
  // and read `kv_tokens` positions of the KV cache.
  Work of(double passes, double tokens, double logits, double kv_tokens) const;

 private:
  double ternary_macs_per_token_ = 0;
  double dense_macs_per_token_ = 0;
  double head_macs_ = 0;
  bool is_fast_ = false;
  double pass_bytes_ = 0;      // with logits of many positions
  double few_pass_bytes_ = 0;  // of up to few_logits_
  double few_logits_ = 0;
  double kv_bytes_per_token_ = 0;
};

// How near some work came to the limits of its device.
struct Shares {
  double bandwidth = 0;  // bytes per second over what can be read
  double compute = 0;    // time that its multiply-adds take at the peak of their kind over the time

  std::string_view binding() const { return bandwidth >= compute ? "read" : "compute"; }
};

Shares shares_of(const Work& work, double seconds, const DeviceLimits& limits);

}  // namespace bitcpm
