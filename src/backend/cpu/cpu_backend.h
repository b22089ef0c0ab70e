#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/numerics.h"
#include "base/result.h"

namespace bitcpm {

struct CpuOptions {
  int threads = 0;  // 0: usable_cpus()
  // A level of kernels/dispatch.h, or "auto": the one that the environment variable BITCPM_ISA
  // names, or else the best.
  std::string isa = "auto";
  Numerics numerics = Numerics::kFast;
};

// The CPU of this machine. Its KV cache is f32 for exact numerics and bf16 for fast ones, unless
// another is asked for.
// Errors: kInvalid (unknown level), kUnsupported (a level this CPU lacks).
Result<std::unique_ptr<Backend>> make_cpu_backend(const CpuOptions& options);

}  // namespace bitcpm
