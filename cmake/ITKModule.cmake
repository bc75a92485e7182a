# The repository as a module of ITK. ITK's own macros make it, in ITK's sources (Modules/Remote) or from ITK's build folder; for an installed ITK, which
# has no such macros, ITKModuleInstalled.cmake stands in.
set(ProMem_LIBRARIES ProMem::cpp)
set(targets "
set(ProMem_LIBRARY \"${PROMEM_LIBRARY}\")
set(ProMem_INCLUDE_DIR \"${PROJECT_SOURCE_DIR}/include\")
set(PROMEM_SONAME \"${PROMEM_SONAME}\")
include(\"${PROJECT_SOURCE_DIR}/cmake/ProMemTargets.cmake\")")
set(ProMem_EXPORT_CODE_BUILD "${targets}")
# What is installed beside ITK, or found by CMAKE_PREFIX_PATH.
set(ProMem_EXPORT_CODE_INSTALL "find_package(ProMem ${PROJECT_VERSION} CONFIG REQUIRED HINTS \"\${ITK_INSTALL_PREFIX}\")")

if(NOT ITK_SOURCE_DIR)
  find_package(ITK 5 REQUIRED)
endif()
if(ITK_SOURCE_DIR)
  itk_module_impl()
elseif(EXISTS "${ITK_CMAKE_DIR}/ITKModuleMacros.cmake")
  list(APPEND CMAKE_MODULE_PATH "${ITK_CMAKE_DIR}")
  include(ITKModuleExternal)
else()
  include(cmake/ITKModuleInstalled.cmake)
endif()
