# ProMem::promem (the C library) and ProMem::cpp (promem.hpp), from ProMem_INCLUDE_DIR and ProMem_LIBRARY. In the build folder and in an installation.
if(NOT TARGET ProMem::promem)
  add_library(ProMem::promem SHARED IMPORTED GLOBAL)
  set_target_properties(ProMem::promem PROPERTIES
    IMPORTED_LOCATION "${ProMem_LIBRARY}"
    IMPORTED_SONAME "${PROMEM_SONAME}"
    INTERFACE_INCLUDE_DIRECTORIES "${ProMem_INCLUDE_DIR}")
  if(NOT APPLE)
    # The library finds libtorch when the program starts; the linker need not.
    set_target_properties(ProMem::promem PROPERTIES INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined")
  endif()

  add_library(ProMem::cpp INTERFACE IMPORTED GLOBAL)
  set_target_properties(ProMem::cpp PROPERTIES
    INTERFACE_COMPILE_FEATURES cxx_std_17
    INTERFACE_LINK_LIBRARIES ProMem::promem)
endif()
