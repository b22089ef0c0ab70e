#include "backend/cpu/cpu_limits.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <thread>
#include <vector>

#include "base/cpu_budget.h"
#include "base/function_ref.h"
#include "base/memory_budget.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 5;
constexpr double kRunSeconds = 0.06;           // long against waking a thread and reading the clock
constexpr std::size_t kCallRounds = 512;       // of a peak loop between two looks at the clock
constexpr std::size_t kCallBytes = 1u << 20;   // of a read likewise
constexpr std::size_t kLeastBytes = 64 << 20;  // per thread

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Units per second of all threads together. call(thread, i) is the i-th call of that thread and
// returns the units it did.
double run_once(int threads, FunctionRef<double(int thread, std::size_t i)> call) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
  std::barrier together(threads);
  const auto work = [&](int thread) {
    call(thread, 0);  // touches what it needs before the clock starts
    together.arrive_and_wait();
    const Clock::time_point start = Clock::now();
    double units = 0;
    double elapsed = 0;
    for (std::size_t i = 1; elapsed < kRunSeconds; ++i) {
      units += call(thread, i);
      elapsed = seconds_since(start);
    }
    rates[static_cast<std::size_t>(thread)] = units / elapsed;
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

double best_rate(int threads, FunctionRef<double(int thread, std::size_t i)> call) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) best = std::max(best, run_once(threads, call));
  return best;
}

// Bytes that each thread reads in turn: four times the last cache among all of them.
std::size_t bytes_per_thread(int threads) {
  const auto count = static_cast<std::size_t>(threads);
  const std::size_t wanted = std::max(kLeastBytes, 4 * last_cache_bytes() / count);
  const std::size_t affordable = usable_memory_bytes() / 4 / count;
  return std::max(std::min(wanted, affordable) / kCallBytes, std::size_t{1}) * kCallBytes;
}

Result<double> read_rate(const kernels::KernelTable& table, int threads) {
  const std::size_t share = bytes_per_thread(threads);
  Buffer buffer = Buffer::allocate(share * static_cast<std::size_t>(threads));
  if (buffer.size() == 0) {
    return Error{Errc::kExhausted, "no memory to measure its bandwidth with"};
  }
  return best_rate(threads, [&](int thread, std::size_t i) {
    std::byte* own = buffer.data() + static_cast<std::size_t>(thread) * share;
    // Written once, since pages that nobody wrote are all the same page of zeros.
    if (i == 0 && *own == std::byte{0}) std::fill_n(own, share, std::byte{1});
    table.read_bytes(own + i % (share / kCallBytes) * kCallBytes, kCallBytes);
    return static_cast<double>(kCallBytes);
  });
}

}  // namespace

Result<DeviceLimits> measure_cpu_limits(const kernels::KernelTable& table, int threads) {
  DeviceLimits limits;
  limits.int8_instruction = table.int8_instruction;
  BITCPM_ASSIGN(limits.read_bytes_per_s, read_rate(table, threads));
  limits.int8_macs_per_s = best_rate(threads, [&](int, std::size_t) {
    table.int8_peak(kCallRounds);
    return static_cast<double>(kCallRounds * kernels::kInt8PeakMacs);
  });
  const auto float_rate = [&](void (*peak)(std::size_t)) {
    return best_rate(threads, [&](int, std::size_t) {
      peak(kCallRounds);
      return static_cast<double>(kCallRounds * kernels::kF32PeakMacs);
    });
  };
  limits.f32_macs_per_s = float_rate(table.f32_peak);
  // Where the same instructions do both, the same figure.
  limits.bf16_macs_per_s =
      table.bf16_peak == table.f32_peak ? limits.f32_macs_per_s : float_rate(table.bf16_peak);
  return limits;
}

}  // namespace bitcpm
