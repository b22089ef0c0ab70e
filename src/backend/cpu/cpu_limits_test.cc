#include "backend/cpu/cpu_limits.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/dispatch.h"

namespace bitcpm {
namespace {

// Protects: every level brings loops that the compiler did not fold away, so the figures are rates
// that a machine can have; with more threads than CPUs too.
TEST(CpuLimits, ArePositiveFiniteAndPossible) {
  const kernels::CpuFeatures cpu = kernels::detect_cpu_features();
  for (const std::string& level : kernels::runnable_levels(cpu)) {
    const kernels::KernelTable table = kernels::make_kernel_table(cpu, level).value();
    for (const int threads : {1, 3}) {
      const DeviceLimits limits = measure_cpu_limits(table, threads).value();
      for (const double rate : {limits.read_bytes_per_s, limits.int8_macs_per_s,
                                limits.bf16_macs_per_s, limits.f32_macs_per_s}) {
        EXPECT_TRUE(std::isfinite(rate)) << level;
        EXPECT_GT(rate, 1e6) << level;
      }
      // No core does 4096 int8 or 512 f32 multiply-adds in a cycle of a fifth of a nanosecond.
      EXPECT_LT(limits.int8_macs_per_s, threads * 4096 * 5e9) << level;
      EXPECT_LT(limits.bf16_macs_per_s, threads * 2048 * 5e9) << level;
      EXPECT_LT(limits.f32_macs_per_s, threads * 512 * 5e9) << level;
    }
  }
}

}  // namespace
}  // namespace bitcpm
