#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pluto {

void check_failed(const char* file, int line, const char* condition, const char* message) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%s)\nThis is a bug in Pluto.\n", file, line,
               condition, message);
  std::abort();
}

}  // namespace pluto
