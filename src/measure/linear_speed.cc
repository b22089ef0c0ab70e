#include "measure/linear_speed.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <utility>

#include "base/cpu_budget.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMeasureSeconds = 0.05;

Result<Buffer> copy_of(const Buffer& from) {
  Buffer to = Buffer::allocate(from.size());
  if (to.size() != from.size()) {
    return Error{Errc::kExhausted, "no memory for copies of a weight matrix"};
  }
  if (from.size() > 0) std::memcpy(to.data(), from.data(), from.size());
  return to;
}

Result<QuantizedMatrix> copy_of(const QuantizedMatrix& from) {
  QuantizedMatrix to;
  to.form = from.form;
  to.rows = from.rows;
  to.cols = from.cols;
  to.group = from.group;
  BITCPM_ASSIGN(to.codes, copy_of(from.codes));
  BITCPM_ASSIGN(to.scales, copy_of(from.scales));
  return to;
}

// What the head and the other matrices become in the model.
Result<std::unique_ptr<PreparedWeight>> prepare(Backend& backend, const QuantizedMatrix& matrix,
                                                bool is_head) {
  if (is_head) return backend.prepare_head(matrix, false);
  BITCPM_ASSIGN(QuantizedMatrix copy, copy_of(matrix));
  return backend.prepare(std::move(copy));
}

}  // namespace

Result<LinearProbe> LinearProbe::make(Backend& backend, Numerics numerics, QuantizedMatrix matrix,
                                      bool is_head, std::size_t copies_bytes) {
  LinearProbe probe(backend);
  const bool is_ternary = matrix.form == WeightForm::kTernary;
  const bool is_fast = numerics == Numerics::kFast;
  if (is_fast) {
    const bool is_bf16 = !is_head && matrix.form == WeightForm::kBf16;
    if (is_head || is_ternary) probe.macs_ = &Work::int8_macs;
    if (is_bf16) probe.macs_ = &Work::bf16_macs;
  }
  if (!is_fast && is_ternary) probe.macs_ = &Work::int16_macs;
  std::size_t bytes = 0;
  do {
    BITCPM_ASSIGN(std::unique_ptr<PreparedWeight> copy, prepare(backend, matrix, is_head));
    bytes += copy->bytes();
    probe.copies_.push_back(std::move(copy));
  } while (bytes < copies_bytes);
  return probe;
}

Result<Spread> LinearProbe::seconds_per_call(std::int32_t tokens, int repeat) const {
  const std::int64_t rows = copies_.front()->rows();
  const std::int64_t cols = copies_.front()->cols();
  std::vector<const PreparedWeight*> consumers;
  for (const auto& copy : copies_) consumers.push_back(copy.get());
  BITCPM_ASSIGN(const std::unique_ptr<LinearInput> input,
                backend_->make_linear_input(tokens, cols, consumers));
  std::vector<float> values(static_cast<std::size_t>(tokens * cols));
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  for (float& value : values) value = normal(rng);
  backend_->load_input(TensorView::dense(values.data(), tokens, cols), *input);
  BITCPM_ASSIGN(Buffer out,
                backend_->allocate(static_cast<std::size_t>(tokens * rows) * sizeof(float)));
  const TensorView y = TensorView::dense(out.as<float>(), tokens, rows);

  std::size_t next = 0;
  const auto time_calls = [&](std::size_t calls) {
    const Clock::time_point start = Clock::now();
    for (std::size_t i = 0; i < calls; ++i) {
      const LinearTarget target{copies_[next++ % copies_.size()].get(), y};
      backend_->linear(*input, {&target, 1});
    }
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  time_calls(1);  // the output's pages
  std::size_t calls = 1;
  double taken = time_calls(calls);
  while (taken < kMeasureSeconds / 4) taken = time_calls(calls *= 2);
  calls = std::max<std::size_t>(
      1, static_cast<std::size_t>(static_cast<double>(calls) * kMeasureSeconds / taken));
  std::vector<double> seconds;
  for (int i = 0; i < repeat; ++i)
    seconds.push_back(time_calls(calls) / static_cast<double>(calls));
  return spread_of(std::move(seconds));
}

Work LinearProbe::work(std::int32_t tokens) const {
  const PreparedWeight& weight = *copies_.front();
  Work work;
  work.*macs_ = static_cast<double>(weight.rows() * weight.cols()) * tokens;
  work.bytes = static_cast<double>(weight.product_bytes());
  return work;
}

std::size_t beyond_cache_bytes() { return 2 * last_cache_bytes(); }

}  // namespace bitcpm
