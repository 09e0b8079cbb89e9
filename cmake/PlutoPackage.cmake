# pluto_install_package(<folder>...): installs the libraries of the folders, their FILE_SET HEADERS and the CMake package Pluto
# that exports them as pluto::<folder>. Every folder that one of them depends on has to be named: CMake stops otherwise.
# Headers go to include/pluto/<folder>/ and are included as in the source tree, "planner/planner.h": they include one
# another by these names, and a root of their own keeps names as common as base/ and model/ out of /usr/include.
include(CMakePackageConfigHelpers)

function(pluto_install_package)
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/Pluto)
  foreach(folder IN LISTS ARGN)
    set_target_properties(pluto_${folder} PROPERTIES EXPORT_NAME ${folder})
    install(TARGETS pluto_${folder} EXPORT PlutoTargets
      ARCHIVE FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pluto)
  endforeach()
  install(EXPORT PlutoTargets NAMESPACE pluto:: DESTINATION ${package})

  set(PLUTO_DATA_FOLDER ${CMAKE_INSTALL_DATADIR}/pluto)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/PlutoConfig.cmake.in ${PROJECT_BINARY_DIR}/PlutoConfig.cmake
    INSTALL_DESTINATION ${package} PATH_VARS PLUTO_DATA_FOLDER)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/PlutoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/PlutoConfig.cmake ${PROJECT_BINARY_DIR}/PlutoConfigVersion.cmake DESTINATION ${package})
  install(DIRECTORY data/ DESTINATION ${PLUTO_DATA_FOLDER})
endfunction()
