#include "cli/window.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace pluto {

int table_width() {
  winsize window{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

int window_width() {
  const int width = table_width();
  return width == 0 ? kPipedWidth : width;
}

}  // namespace pluto
