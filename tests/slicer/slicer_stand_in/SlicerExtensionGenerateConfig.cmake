# What Slicer writes into the description that the Extensions Manager shows.
foreach(variable HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${variable}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${variable} is not set")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/description.txt" "${variable} ${EXTENSION_${variable}}\n")
endforeach()
