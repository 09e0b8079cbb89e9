#include "runtime/cpu/isa/isa_kernels.h"

#include <cstring>
#include <initializer_list>

namespace pluto::cpu {

namespace baseline {
extern const IsaKernels kKernels;
}
#ifdef PLUTO_CPU_X86
namespace avx2 {
extern const IsaKernels kKernels;
}
namespace avx512 {
extern const IsaKernels kKernels;
}
#endif

const IsaKernels* find_isa_kernels(const char* name) {
#ifdef PLUTO_CPU_X86
  // Processors with FMA have F16C too; clang 14 has no word for it here.
  if (std::strcmp(name, "avx512") == 0) {
    const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("fma");
    return has ? &avx512::kKernels : nullptr;
  }
  if (std::strcmp(name, "avx2") == 0) {
    const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has ? &avx2::kKernels : nullptr;
  }
#endif
  return std::strcmp(name, "baseline") == 0 ? &baseline::kKernels : nullptr;
}

const IsaKernels& isa_kernels() {
  for (const char* name : {"avx512", "avx2"}) {
    if (const IsaKernels* kernels = find_isa_kernels(name)) return *kernels;
  }
  return baseline::kKernels;
}

}  // namespace pluto::cpu
