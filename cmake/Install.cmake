# What `cmake --install` puts where. Everything finds the rest from its own place, so that the whole may be moved.
include(CMakePackageConfigHelpers)

list(GET PROMEM_LIBRARY_NAMES 0 PROMEM_FULL_NAME)
list(TRANSFORM PROMEM_LIBRARY_NAMES PREPEND "${PROJECT_BINARY_DIR}/lib/" OUTPUT_VARIABLE libraries)
install(PROGRAMS ${libraries} DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES
  include/promem.h include/promem.hpp
  include/itkProMemPromptMasks.h include/itkProMemSegmentationImageFilter.h include/itkProMemSegmentationImageFilter.hxx
  include/itkProMemSegmentationPrompts.hxx
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES LICENSE NOTICE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# libtorch and what that needs, beside the library, which looks for it there first. GPU libraries come along where libtorch has them.
if(PROMEM_INSTALL_LIBTORCH)
  if(NOT PROMEM_LIBTORCH)
    message(FATAL_ERROR "PROMEM_INSTALL_LIBTORCH: libtorch was not found, expected it in PROMEM_LIBTORCH, in LIBTORCH of the environment or in "
                        "`${PROJECT_SOURCE_DIR}/.deps/libtorch/torch` (`make setup`)")
  endif()
  file(GLOB libtorch "${PROMEM_LIBTORCH}/lib/libtorch_cpu.*" "${PROMEM_LIBTORCH}/lib/libc10.*" "${PROMEM_LIBTORCH}/lib/libtorch_cuda.*")
  get_filename_component(libtorch_root "${PROMEM_LIBTORCH}/.." REALPATH)
  configure_file(cmake/InstallLibtorch.cmake.in InstallLibtorch.cmake @ONLY)
  install(SCRIPT "${PROJECT_BINARY_DIR}/InstallLibtorch.cmake")
endif()

# The library looks for its default model here, from the folder that it lies in.
set(model models/promem-compact.safetensors)
if(EXISTS "${PROJECT_SOURCE_DIR}/${model}")
  install(FILES ${model} DESTINATION share/promem)
else()
  message(STATUS "${model} is not there: users name a model")
endif()

set(config "${CMAKE_INSTALL_LIBDIR}/cmake/ProMem")
configure_package_config_file(cmake/ProMemConfig.cmake.in ProMemConfig.cmake
  INSTALL_DESTINATION "${config}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(ProMemConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/ProMemConfig.cmake" "${PROJECT_BINARY_DIR}/ProMemConfigVersion.cmake" cmake/ProMemTargets.cmake cmake/ProMemITK.cmake
  DESTINATION "${config}")

file(STRINGS Cargo.toml PROMEM_DESCRIPTION REGEX "^description = " LIMIT_COUNT 1)
string(REGEX REPLACE "^description = \"(.*)\"$" "\\1" PROMEM_DESCRIPTION "${PROMEM_DESCRIPTION}")
file(RELATIVE_PATH PROMEM_PREFIX_FROM_PC "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
if(NOT APPLE)
  set(PROMEM_LINK_OPTION "-Wl,--allow-shlib-undefined")
endif()
configure_file(cmake/promem.pc.in promem.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/promem.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
