#include "kernels/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace bitcpm::kernels {
namespace {

#if defined(__x86_64__)
// A bit of EAX in leaf 7, subleaf 1, which not every compiler's __builtin_cpu_supports knows.
bool has_feature(int bit) {
  unsigned last = 0;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &last, &ebx, &ecx, &edx) == 0 || last < 1) return false;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> bit & 1) != 0;
}

constexpr int kAvxVnni = 4;
constexpr int kAvx512Bf16 = 5;

// Whether there are AMX tiles, with products of int8 and bf16, that this process may use: their
// state is large, so Linux (5.16 and later) saves it for those that asked (arch/x86: "Using XSTATE
// features in user space applications").
bool may_use_amx() {
#if defined(__linux__)
  constexpr unsigned kNeeded =
      1u << 22 | 1u << 24 | 1u << 25;          // of EDX in leaf 7: bf16, tiles, int8
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILE_DATA
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kNeeded) != kNeeded) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

CpuFeatures detect_cpu_features() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  __builtin_cpu_init();  // checks the operating system's side (XGETBV) as well
  cpu.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  cpu.avxvnni = cpu.avx2 && has_feature(kAvxVnni);
  cpu.avx512vnni = cpu.avx2 && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  cpu.amx = cpu.avx512vnni && has_feature(kAvx512Bf16) && may_use_amx();
#elif defined(__aarch64__)
  const unsigned long features = getauxval(AT_HWCAP);
  cpu.neon = (features & HWCAP_ASIMD) != 0;
  cpu.dotprod = cpu.neon && (features & HWCAP_ASIMDDP) != 0;
  cpu.i8mm = cpu.neon && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
  return cpu;
}

}  // namespace bitcpm::kernels
