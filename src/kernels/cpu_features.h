#pragma once

namespace bitcpm::kernels {

// What the CPU can do and the operating system saves across context switches.
struct CpuFeatures {
  bool avx2 = false;        // AVX2 and FMA
  bool avx512vnni = false;  // F, BW, DQ, VL and VNNI, and all of avx2
};

CpuFeatures detect_cpu_features();

}  // namespace bitcpm::kernels
