#include "runtime/cpu/isa/isa_kernels.h"

#define PLUTO_ISA baseline
#define PLUTO_LANES 4
#include "runtime/cpu/isa/isa_set.inl"
