#pragma once
// Facts about this host and process that only the operating system knows.

#include <string>

#include "base/units.h"

namespace pluto {

std::string host_name();
std::string cpu_model();
int cpu_cores();               ///< cores this process may run on (its affinity mask)
Bytes host_memory();           ///< of the machine, or of the container when its limit is lower
Bytes available_memory();      ///< what could be allocated now without swapping or meeting the
                               ///< container's limit
Bytes resident_memory();       ///< of this process, now
Bytes peak_resident_memory();  ///< of this process, so far
double processor_seconds_of_thread();  ///< CPU time of the calling thread
double utc_seconds();                  ///< since 1970
std::string utc_text(double seconds);  ///< ISO 8601, to the second, "Z"; fractions are cut off

}  // namespace pluto
