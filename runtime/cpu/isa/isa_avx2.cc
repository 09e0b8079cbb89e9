#include "runtime/cpu/isa/isa_kernels.h"

#define PLUTO_ISA avx2
#define PLUTO_LANES 8
#include "runtime/cpu/isa/isa_set.inl"
