# pluto_add_library(): one function for every folder. It holds the rank table and stops configuration when a
# folder declares a dependency that is not of strictly lower rank. Each target sees only its own folder and
# the folders it declares (transitively), through one symlink per folder in the build tree; an undeclared
# include does not compile.
set(PLUTO_RANK_base 0)
set(PLUTO_RANK_model 1)
set(PLUTO_RANK_plan 2)
set(PLUTO_RANK_runtime 2)
set(PLUTO_RANK_db 3)
set(PLUTO_RANK_profiler 3)
set(PLUTO_RANK_costmodel 3)
set(PLUTO_RANK_executor 3)
set(PLUTO_RANK_planner 4)
set(PLUTO_RANK_cli 5)

# pluto_add_library(<folder> HEADERS ... SOURCES ... [DEPENDS <folder>...] [PRIVATE_LINK <target>...])
# HEADERS are the public ones: a public header includes no other. Of PRIVATE_LINK, libraries of headers alone stand in
# $<BUILD_INTERFACE:...>: who links an installed library (PlutoPackage.cmake) does not need them.
function(pluto_add_library name)
  cmake_parse_arguments(arg "" "" "HEADERS;SOURCES;DEPENDS;PRIVATE_LINK" ${ARGN})
  if(NOT DEFINED PLUTO_RANK_${name})
    message(FATAL_ERROR "pluto_add_library: folder '${name}' has no rank in cmake/PlutoLibrary.cmake")
  endif()
  foreach(dependency IN LISTS arg_DEPENDS)
    if(NOT PLUTO_RANK_${dependency} LESS PLUTO_RANK_${name})
      message(FATAL_ERROR "pluto_add_library: ${name} (rank ${PLUTO_RANK_${name}}) may not depend on "
        "${dependency} (rank ${PLUTO_RANK_${dependency}}): only on strictly lower ranks")
    endif()
  endforeach()

  set(root ${PROJECT_BINARY_DIR}/pluto_include/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)

  add_library(pluto_${name} STATIC ${arg_SOURCES})
  add_library(pluto::${name} ALIAS pluto_${name})
  set(headers)
  foreach(header IN LISTS arg_HEADERS)
    list(APPEND headers ${root}/${name}/${header})
  endforeach()
  target_sources(pluto_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${root} FILES ${headers})
  set_target_properties(pluto_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  foreach(dependency IN LISTS arg_DEPENDS)
    target_link_libraries(pluto_${name} PUBLIC pluto_${dependency})
  endforeach()
  target_compile_features(pluto_${name} PUBLIC cxx_std_20)
  target_link_libraries(pluto_${name} PRIVATE $<BUILD_INTERFACE:pluto_build_flags> ${arg_PRIVATE_LINK})
  target_link_options(pluto_${name} INTERFACE "$<INSTALL_INTERFACE:${PLUTO_SANITIZER_LINK_OPTIONS}>")
endfunction()
