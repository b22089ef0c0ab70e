#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/numerics.h"
#include "measure/spread.h"
#include "measure/work.h"

namespace bitcpm {

// One weight matrix of a model, prepared for its backend as often as it takes to come from memory.
class LinearProbe {
 public:
  // `copies_bytes`: how much the copies together should weigh; at least one is made. `is_head`: a
  // matrix that makes logits. Errors: kExhausted.
  static Result<LinearProbe> make(Backend& backend, Numerics numerics, QuantizedMatrix matrix,
                                  bool is_head, std::size_t copies_bytes);

  // Seconds of one product with `tokens` rows: `repeat` measurements, each the mean of as many
  // calls as take a twentieth of a second. The input is ready before. Errors: kExhausted.
  Result<Spread> seconds_per_call(std::int32_t tokens, int repeat) const;

  // Of one such call.
  Work work(std::int32_t tokens) const;
  std::size_t copies() const { return copies_.size(); }

 private:
  explicit LinearProbe(Backend& backend) : backend_(&backend) {}

  Backend* backend_;
  double Work::*macs_ = &Work::f32_macs;  // its kind of arithmetic
  std::vector<std::unique_ptr<PreparedWeight>> copies_;
};

// Twice the last cache of this machine: copies of a matrix that weigh as much come from memory.
std::size_t beyond_cache_bytes();

}  // namespace bitcpm
