#pragma once

#include "base/result.h"
#include "bench_source.h"
#include "commands.h"

namespace bitcpm {

// What `bitcpm bench` can measure; each prints its report. docs/benchmarks.md says what they mean.
Result<ExitCode> bench_kernels(const BenchOptions& options);
Result<ExitCode> bench_attention(const BenchOptions& options);
Result<ExitCode> bench_decode(const BenchOptions& options);
Result<ExitCode> bench_prefill(const BenchOptions& options);
Result<ExitCode> bench_latency(const BenchOptions& options);
Result<ExitCode> bench_throughput(const BenchOptions& options);

}  // namespace bitcpm
