#pragma once

#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/table.h"

namespace bitcpm::kernels {

#if defined(__x86_64__)
void install_avxvnni_evex(KernelTable& table);  // avxvnni/kernels_evex_test.cc
#endif

// For tests: every level that this CPU can run, scalar first, and avxvnni in the encodings of
// AVX-512 where the CPU has those.
inline std::vector<KernelTable> testable_tables() {
  const CpuFeatures cpu = detect_cpu_features();
  std::vector<KernelTable> tables;
  for (const std::string& level : runnable_levels(cpu)) {
    tables.push_back(make_kernel_table(cpu, level).value());
  }
#if defined(__x86_64__)
  if (cpu.avx512vnni) {
    tables.push_back(make_kernel_table(cpu, "avx2").value());
    install_avxvnni_evex(tables.back());
    tables.back().isa = "avxvnni as AVX-512";
  }
#endif
  return tables;
}

}  // namespace bitcpm::kernels
