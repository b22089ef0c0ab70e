#include "backend/cpu/cpu_linear_input.h"

#include <algorithm>
#include <string>
#include <utility>

namespace bitcpm {

using kernels::kActGroup;

Result<std::unique_ptr<LinearInput>> CpuLinearInput::allocate(std::int64_t max_rows,
                                                              std::int64_t cols, Forms forms) {
  BITCPM_CHECK(cols % static_cast<std::int64_t>(kActGroup) == 0);
  const auto count = static_cast<std::size_t>(max_rows * cols);
  const std::size_t groups = count / kActGroup;
  std::unique_ptr<CpuLinearInput> input(new CpuLinearInput);
  input->cols_ = cols;
  input->has_floats_ = forms.floats;
  const auto take = [](bool wanted, std::size_t bytes, Buffer& buffer) {
    if (wanted) buffer = Buffer::allocate(bytes);
    return !wanted || buffer.size() == bytes;
  };
  const std::size_t padded =
      static_cast<std::size_t>(max_rows) * bf16_pitch(static_cast<std::size_t>(cols));
  if (!take(forms.floats, count * sizeof(float), input->values_) ||
      !take(forms.bf16, padded * sizeof(std::uint16_t), input->bf16_) ||
      !take(forms.codes, count * planes_of(forms.code_form), input->codes_) ||
      !take(forms.codes, groups * sizeof(float), input->scales_) ||
      !take(forms.codes, groups * sizeof(std::int32_t), input->sums_) ||
      !take(forms.codes && forms.code_form == kernels::ActForm::kInt8Outlier, groups,
            input->lines_)) {
    return Error{Errc::kExhausted, "no memory for " + std::to_string(max_rows) + " rows of " +
                                       std::to_string(cols) + " activations"};
  }
  input->quantized_ = {input->codes_.as<std::int8_t>(), input->scales_.as<float>(),
                       input->sums_.as<std::int32_t>(), input->lines_.as<std::uint8_t>(),
                       static_cast<std::size_t>(cols),  forms.code_form};
  return std::unique_ptr<LinearInput>(std::move(input));
}

kernels::QuantizedRows CpuLinearInput::codes_at(std::int64_t t, std::int64_t begin) const {
  const auto first = static_cast<std::size_t>(t * cols_ + begin);
  kernels::QuantizedRows rows = quantized_;
  rows.codes += first * planes_of(rows.form);
  rows.scales += first / kActGroup;
  rows.minus_sums += first / kActGroup;
  if (rows.lines != nullptr) rows.lines += first / kActGroup;
  return rows;
}

void CpuLinearInput::put(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
                         const float* values, std::int64_t count) {
  if (has_floats_ && values != row(t) + begin) std::copy_n(values, count, row(t) + begin);
  if (bf16_.size() > 0) {
    const std::size_t row =
        static_cast<std::size_t>(t) * bf16_pitch(static_cast<std::size_t>(cols_));
    table.round_to_bf16(values, static_cast<std::size_t>(count),
                        bf16_.as<std::uint16_t>() + row + begin);
  }
  if (quantized_.codes == nullptr) return;
  table.quantize(values, static_cast<std::size_t>(count), codes_at(t, begin));
}

}  // namespace bitcpm
