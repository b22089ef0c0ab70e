#include "backend/cpu/cpu_linear_input.h"

#include <string>
#include <utility>

namespace bitcpm {

using kernels::kActGroup;

Result<std::unique_ptr<LinearInput>> CpuLinearInput::allocate(std::int64_t max_rows,
                                                              std::int64_t cols, Form form) {
  BITCPM_CHECK(cols % static_cast<std::int64_t>(kActGroup) == 0);
  const auto count = static_cast<std::size_t>(max_rows * cols);
  std::unique_ptr<CpuLinearInput> input(new CpuLinearInput);
  input->cols_ = cols;
  const auto take = [](std::size_t bytes, Buffer& buffer) {
    buffer = Buffer::allocate(bytes);
    return buffer.size() == bytes;
  };
  bool taken = take(count * sizeof(float), input->values_);
  if (form != Form::kFloat) {
    const std::size_t groups = count / kActGroup;
    taken = taken && take(count, input->codes_) && take(groups * 4, input->scales_) &&
            take(groups * 4, input->sums_) &&
            take(form == Form::kWideInt8 ? groups * sizeof(kernels::Extra) : 0, input->extras_);
    input->quantized_ = {input->codes_.as<std::int8_t>(), input->scales_.as<float>(),
                         input->sums_.as<std::int32_t>(), input->extras_.as<kernels::Extra>(),
                         static_cast<std::size_t>(cols)};
  }
  if (!taken) {
    return Error{Errc::kExhausted, "no memory for " + std::to_string(max_rows) + " rows of " +
                                       std::to_string(cols) + " activations"};
  }
  return std::unique_ptr<LinearInput>(std::move(input));
}

void CpuLinearInput::finish(const kernels::KernelTable& table, std::int64_t t, std::int64_t begin,
                            std::int64_t end) {
  if (quantized_.codes == nullptr) return;
  const auto first = static_cast<std::size_t>(t * cols_ + begin);
  const std::size_t group = first / kActGroup;
  kernels::QuantizedRows out = quantized_;
  out.codes += first;
  out.scales += group;
  out.sums += group;
  if (out.extras != nullptr) out.extras += group;
  table.quantize(values_.as<float>() + first, static_cast<std::size_t>(end - begin), out);
}

}  // namespace bitcpm
