#include "runtime/cpu/isa/isa_kernels.h"

#define PLUTO_ISA avx512
#define PLUTO_LANES 16
#include "runtime/cpu/isa/isa_set.inl"
