# A module of headers alone for an installed ITK: writes what itk_module_load() of ITKModuleAPI.cmake reads, and installs it as
# lib/cmake/ITK-5.x/Modules/NAME.cmake. ITK's own macros refuse an installation; they are not part of it.

# Reads DEPENDS, all that itk-module.cmake of a module without sources and tests says beside words.
function(itk_module name)
  cmake_parse_arguments(module "EXCLUDE_FROM_DEFAULT" "DESCRIPTION" "DEPENDS" ${ARGN})
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "itk_module(${name}): unknown argument ${module_UNPARSED_ARGUMENTS}, expected DEPENDS, DESCRIPTION or EXCLUDE_FROM_DEFAULT")
  endif()
  foreach(dependency IN LISTS module_DEPENDS)
    if(NOT dependency IN_LIST ITK_MODULES_ENABLED)
      message(FATAL_ERROR "itk_module(${name}): it depends on ${dependency}, which the ITK in `${ITK_DIR}` does not have")
    endif()
  endforeach()
  set(itk-module "${name}" PARENT_SCOPE)
  set(itk-module-DEPENDS "${module_DEPENDS}" PARENT_SCOPE)
endfunction()

include("${PROJECT_SOURCE_DIR}/itk-module.cmake")
set(module_file "${PROJECT_BINARY_DIR}/Modules/${itk-module}.cmake")
file(WRITE "${module_file}" "set(${itk-module}_LOADED 1)
set(${itk-module}_DEPENDS \"${itk-module-DEPENDS}\")
set(${itk-module}_PUBLIC_DEPENDS \"${itk-module-DEPENDS}\")
set(${itk-module}_TRANSITIVE_DEPENDS \"${itk-module-DEPENDS}\")
set(${itk-module}_PRIVATE_DEPENDS \"\")
set(${itk-module}_LIBRARIES \"${${itk-module}_LIBRARIES}\")
set(${itk-module}_INCLUDE_DIRS \"\")
set(${itk-module}_LIBRARY_DIRS \"\")
set(${itk-module}_RUNTIME_LIBRARY_DIRS \"\")
set(${itk-module}_FACTORY_NAMES \"\")
${${itk-module}_EXPORT_CODE_INSTALL}
")
install(FILES "${module_file}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/ITK-${ITK_VERSION_MAJOR}.${ITK_VERSION_MINOR}/Modules")
