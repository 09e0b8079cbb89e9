#include "runtime/cpu/parallel.h"

#include <omp.h>

namespace pluto::cpu {

ThreadCount::ThreadCount(int threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(threads);
}

ThreadCount::~ThreadCount() { omp_set_num_threads(before_); }

}  // namespace pluto::cpu
