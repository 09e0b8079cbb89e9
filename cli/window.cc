#include "cli/window.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace pluto {

int window_width() {
  winsize window{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return kPipedWidth;
  return window.ws_col;
}

}  // namespace pluto
