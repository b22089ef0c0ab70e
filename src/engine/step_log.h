#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bitcpm {

// What the engine's steps added up to since it started. A step is one forward pass with the
// planning before and the sampling and delivering after it; waiting for work is in none.
struct StepTotals {
  // Bounds of vLLM's vllm:iteration_tokens_total.
  static constexpr std::array<std::int32_t, 14> kTokenBounds = {
      1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536};

  std::int64_t steps = 0;
  std::int64_t tokens = 0;     // rows of all forward passes
  double forward_seconds = 0;  // the model: layers and head
  double sample_seconds = 0;   // logits to tokens and log-probabilities
  double host_seconds = 0;     // scheduling, batch building, delivery of events
  // Steps of at most kTokenBounds[i] tokens and of more than the bound before.
  std::array<std::int64_t, kTokenBounds.size()> steps_by_tokens{};

  void count(std::int32_t step_tokens);  // one more step; its seconds are added by the caller
  StepTotals operator-(const StepTotals& earlier) const;
  double seconds() const { return forward_seconds + sample_seconds + host_seconds; }
};

// Splits a stretch of time into shares without a gap.
class Stopwatch {
 public:
  // Adds what passed since construction or the last call.
  void lap(double& seconds) {
    const auto now = Clock::now();
    seconds += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace bitcpm
