# Options of the project and the one INTERFACE target that carries warnings and sanitizers.
option(PLUTO_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(PLUTO_BUILD_BENCH "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(PLUTO_CUDA "Build the CUDA backend when the toolkit is found" ON)
set(PLUTO_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

add_library(pluto_build_flags INTERFACE)
target_compile_options(pluto_build_flags INTERFACE -Wall -Wextra -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees uninitialised optionals and overlapping string copies where there are none (GCC bugs 80635, 105651).
  target_compile_options(pluto_build_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(PLUTO_SANITIZE)
  target_compile_options(pluto_build_flags INTERFACE
    -fsanitize=${PLUTO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  set(PLUTO_SANITIZER_LINK_OPTIONS -fsanitize=${PLUTO_SANITIZE})  # of whoever links a library of ours, also an installed one
  target_link_options(pluto_build_flags INTERFACE ${PLUTO_SANITIZER_LINK_OPTIONS})
endif()

# Test code itself: the same warnings, linked against the sanitizers' runtime. Under the address sanitizer it is compiled plainly, which takes a third of
# the time; what is under test stays instrumented. The thread sanitizer has to see every atomic, also those of the tests.
add_library(pluto_test_flags INTERFACE)
if(PLUTO_SANITIZE MATCHES "address")
  get_target_property(plain_flags pluto_build_flags INTERFACE_COMPILE_OPTIONS)
  list(FILTER plain_flags EXCLUDE REGEX "sanitize")
  target_compile_options(pluto_test_flags INTERFACE ${plain_flags} -O0 -g0)
  target_link_options(pluto_test_flags INTERFACE -fsanitize=${PLUTO_SANITIZE})
else()
  target_link_libraries(pluto_test_flags INTERFACE pluto_build_flags)
endif()
