#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/backend.h"
#include "kernels/table.h"

namespace bitcpm {

// Rows of activations in the forms their consumers read: f32, codes, or both.
class CpuLinearInput final : public LinearInput {
 public:
  struct Forms {
    bool floats;
    bool codes;
    kernels::ActForm code_form;
  };

  // Errors: kExhausted.
  static Result<std::unique_ptr<LinearInput>> allocate(std::int64_t max_rows, std::int64_t cols,
                                                       Forms forms);

  std::size_t bytes() const override {
    return values_.size() + codes_.size() + scales_.size() + sums_.size() + lines_.size();
  }

  // Row t, elements from `begin` on, in all forms; whole groups of 32. Disjoint ranges from any
  // thread. `values` may be part of row(t).
  void put(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
           const float* values, std::int64_t count);

  // Where the f32 form of row t is, or null.
  float* row(std::int64_t t) { return has_floats_ ? values_.as<float>() + t * cols_ : nullptr; }
  const float* values() const { return values_.as<float>(); }

  // The codes from row t on.
  kernels::QuantizedRows quantized_from(std::int64_t t) const { return codes_at(t, 0); }

 private:
  CpuLinearInput() = default;
  kernels::QuantizedRows codes_at(std::int64_t t, std::int64_t begin) const;

  std::int64_t cols_ = 0;
  bool has_floats_ = false;
  Buffer values_;
  Buffer codes_, scales_, sums_, lines_;
  kernels::QuantizedRows quantized_{};  // views of the four; codes null without that form
};

}  // namespace bitcpm
