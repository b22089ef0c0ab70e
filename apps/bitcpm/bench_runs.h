#pragma once

#include <string_view>

#include "base/result.h"
#include "bench_source.h"
#include "commands.h"

namespace bitcpm {

// What `bitcpm bench` can measure; each prints its report. docs/benchmarks.md says what they mean.
Result<ExitCode> bench_kernels(const BenchOptions& options);
Result<ExitCode> bench_decode(const BenchOptions& options);
Result<ExitCode> bench_prefill(const BenchOptions& options);
Result<ExitCode> bench_numerics(const BenchOptions& options);

// English and Chinese prose of more than a thousand tokens, for bench_numerics().
std::string_view bench_text();

}  // namespace bitcpm
