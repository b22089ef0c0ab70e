#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/cpu_features.h"
#include "kernels/table.h"

namespace bitcpm::kernels {

// The table of one level: "scalar"; on x86-64 "avx2", "avxvnni", "avx512vnni", "amx"; on
// 64-bit Arm "neon", "dotprod", "i8mm"; or "auto" for the best this CPU has. Errors: kInvalid (no
// such level), kUnsupported (the CPU lacks it).
Result<KernelTable> make_kernel_table(const CpuFeatures& cpu, std::string_view want);

// Levels this build holds and this CPU can run, lowest first: for tests and `bitcpm version`.
std::vector<std::string> runnable_levels(const CpuFeatures& cpu);

}  // namespace bitcpm::kernels
