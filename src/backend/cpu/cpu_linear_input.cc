#include "backend/cpu/cpu_linear_input.h"

#include <algorithm>
#include <string>
#include <utility>

namespace bitcpm {
namespace {

using kernels::kQuadEvery;

// Both planes, and a line so that rows do not all begin in one set of a cache.
std::size_t code_pitch(std::size_t cols) { return 2 * cols + 64; }

}  // namespace

Result<std::unique_ptr<LinearInput>> CpuLinearInput::allocate(std::int64_t max_rows,
                                                              std::int64_t cols, Forms forms) {
  BITCPM_CHECK(!forms.codes || (cols % forms.code_group == 0 &&
                                forms.code_group >= std::int64_t{kernels::kLeastActGroup}));
  const auto rows = static_cast<std::size_t>(max_rows);
  const auto width = static_cast<std::size_t>(cols);
  const auto group = static_cast<std::size_t>(forms.code_group);
  const std::size_t count = rows * width;
  const std::size_t groups = count / group;
  std::unique_ptr<CpuLinearInput> input(new CpuLinearInput);
  input->cols_ = cols;
  input->has_floats_ = forms.floats;
  const auto take = [](bool wanted, std::size_t bytes, Buffer& buffer) {
    if (wanted) buffer = Buffer::allocate(bytes);
    return !wanted || buffer.size() == bytes;
  };
  const bool named = forms.codes && forms.code_form == kernels::ActForm::kInt8;
  if (!take(forms.floats, count * sizeof(float), input->values_) ||
      !take(forms.bf16, rows * bf16_pitch(width) * sizeof(std::uint16_t), input->bf16_) ||
      !take(forms.codes, rows * code_pitch(width), input->codes_) ||
      !take(forms.codes, groups * sizeof(float), input->scales_) ||
      !take(forms.codes, groups * sizeof(std::int32_t), input->sums_) ||
      !take(named, count / kQuadEvery, input->lines_)) {
    return Error{Errc::kExhausted, "no memory for " + std::to_string(max_rows) + " rows of " +
                                       std::to_string(cols) + " activations"};
  }
  input->quantized_ = {input->codes_.as<std::int8_t>(),
                       input->scales_.as<float>(),
                       input->sums_.as<std::int32_t>(),
                       input->lines_.as<std::uint8_t>(),
                       code_pitch(width),
                       group,
                       width / group,
                       forms.code_form};
  return std::unique_ptr<LinearInput>(std::move(input));
}

kernels::QuantizedRows CpuLinearInput::codes_at(std::int64_t t, std::int64_t begin) const {
  const auto row = static_cast<std::size_t>(t);
  const auto column = static_cast<std::size_t>(begin);
  const std::size_t element = row * static_cast<std::size_t>(cols_) + column;
  kernels::QuantizedRows rows = quantized_;
  rows.codes += row * rows.pitch + 2 * column;
  rows.scales += element / rows.group;
  rows.minus_sums += element / rows.group;
  if (rows.lines != nullptr) rows.lines += element / kQuadEvery;
  return rows;
}

void CpuLinearInput::put(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
                         const TensorView& values) {
  for (std::int64_t i = 0; i < values.rows; ++i) {
    const float* from = values.row(i);
    if (has_floats_ && from != row(t + i) + begin) {
      std::copy_n(from, values.cols, row(t + i) + begin);
    }
    if (bf16_.size() == 0) continue;
    const std::size_t row =
        static_cast<std::size_t>(t + i) * bf16_pitch(static_cast<std::size_t>(cols_));
    table.round_to_bf16(from, static_cast<std::size_t>(values.cols),
                        bf16_.as<std::uint16_t>() + row + begin);
  }
  if (quantized_.codes == nullptr) return;
  table.quantize({values.data, static_cast<std::size_t>(values.rows),
                  static_cast<std::size_t>(values.cols), static_cast<std::size_t>(values.stride)},
                 codes_at(t, begin));
}

double code_value(const kernels::QuantizedRows& row, std::size_t k) {
  BITCPM_CHECK(row.form == kernels::ActForm::kInt8);
  const std::int8_t* first = row.codes + k / row.group * 2 * row.group + k % row.group;
  return static_cast<double>(row.scales[k / row.group]) * (first[0] + first[row.group]);
}

}  // namespace bitcpm
