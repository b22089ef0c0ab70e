#pragma once

namespace bitcpm::kernels {

// What the CPU can do and the operating system saves across context switches.
struct CpuFeatures {
  bool avx2 = false;        // AVX2 and FMA
  bool avxvnni = false;     // AVX-VNNI, and all of avx2
  bool avx512vnni = false;  // F, BW, DQ, VL and VNNI, and all of avx2
  bool amx = false;         // AMX tiles of int8 and bf16, AVX512-BF16, and all of avx512vnni
  bool neon = false;        // Advanced SIMD of 64-bit Arm
  bool dotprod = false;     // FEAT_DotProd, and neon
  bool i8mm = false;        // FEAT_I8MM, and neon
};

// Asks Linux to let this process use AMX tiles where there are any, for the threads it has and will
// have.
CpuFeatures detect_cpu_features();

}  // namespace bitcpm::kernels
