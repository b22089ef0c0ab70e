#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/backend.h"
#include "kernels/table.h"

namespace bitcpm {

// What a weight may read of its activations.
enum class InputForm : std::uint8_t { kFloats, kBf16, kCodes };

// Rows of activations in the forms their consumers read.
class CpuLinearInput final : public LinearInput {
 public:
  struct Forms {
    bool floats = false;
    bool bf16 = false;
    bool codes = false;
    kernels::ActForm code_form = kernels::ActForm::kInt8;
    std::int64_t code_group = kernels::kLeastActGroup;  // in-features per scale
  };

  // Errors: kExhausted.
  static Result<std::unique_ptr<LinearInput>> allocate(std::int64_t max_rows, std::int64_t cols,
                                                       Forms forms);

  std::size_t bytes() const override {
    return values_.size() + bf16_.size() + codes_.size() + scales_.size() + sums_.size() +
           lines_.size();
  }

  // Rows from t on, their elements from `begin` on, in all forms; whole groups. Disjoint ranges
  // from any thread. `values` may be part of the rows themselves.
  void put(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
           const TensorView& values);

  // Where the f32 form of row t is, or null.
  float* row(std::int64_t t) { return has_floats_ ? values_.as<float>() + t * cols_ : nullptr; }
  const float* values() const { return values_.as<float>(); }

  // Rows of bf16; of codes as well, so far apart that sixteen do not fall into one set of a cache.
  const std::uint16_t* bf16_values() const { return bf16_.as<std::uint16_t>(); }
  static std::size_t bf16_pitch(std::size_t cols) { return cols + 32; }

  // The codes from row t on.
  kernels::QuantizedRows quantized_from(std::int64_t t) const { return codes_at(t, 0); }

 private:
  CpuLinearInput() = default;
  kernels::QuantizedRows codes_at(std::int64_t t, std::int64_t begin) const;

  std::int64_t cols_ = 0;
  bool has_floats_ = false;
  Buffer values_;
  Buffer bf16_;
  Buffer codes_, scales_, sums_, lines_;
  kernels::QuantizedRows quantized_{};  // views of the four; codes null without that form
};

// What element k of a row stands for, of kInt8.
double code_value(const kernels::QuantizedRows& row, std::size_t k);

}  // namespace bitcpm
