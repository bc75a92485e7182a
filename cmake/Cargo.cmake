# Where the library comes from, and what it needs beside it in the build folder. scripts/package_library.sh calls cargo.

get_filename_component(PROMEM_REPOSITORY_DIR "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

# The libtorch that the library is built with and linked to in the build folder.
if(NOT PROMEM_LIBTORCH)
  foreach(candidate IN ITEMS "$ENV{LIBTORCH}" "${PROMEM_REPOSITORY_DIR}/.deps/libtorch/torch")
    if(candidate AND EXISTS "${candidate}/lib")
      get_filename_component(PROMEM_LIBTORCH "${candidate}" REALPATH)
      break()
    endif()
  endforeach()
endif()
set(PROMEM_LIBTORCH "${PROMEM_LIBTORCH}" CACHE PATH
  "libtorch's folder, the one with lib; default: LIBTORCH of the environment, else what `make setup` fetched")
if(PROMEM_LIBTORCH AND NOT EXISTS "${PROMEM_LIBTORCH}/lib")
  message(FATAL_ERROR "PROMEM_LIBTORCH: `${PROMEM_LIBTORCH}` has no folder lib, expected libtorch's folder")
endif()
set(PROMEM_LIBTORCH_ENVIRONMENT "")
if(PROMEM_LIBTORCH)
  set(PROMEM_LIBTORCH_ENVIRONMENT "LIBTORCH=${PROMEM_LIBTORCH}")
endif()

# Sets `result` to a library in the build folder, under its full name and with the usual links beside it, and makes the target promem_cargo.
function(promem_library result)
  if(APPLE)
    set(full "libpromem.${PROJECT_VERSION}.dylib")
    set(soname "libpromem.${PROMEM_SOVERSION}.dylib")
    set(plain "libpromem.dylib")
  elseif(UNIX)
    set(full "libpromem.so.${PROJECT_VERSION}")
    set(soname "libpromem.so.${PROMEM_SOVERSION}")
    set(plain "libpromem.so")
  else()
    message(FATAL_ERROR "${CMAKE_SYSTEM_NAME}: expected Linux or macOS")
  endif()

  if(PROMEM_PREBUILT)
    if(NOT EXISTS "${PROMEM_PREBUILT}")
      message(FATAL_ERROR "PROMEM_PREBUILT: `${PROMEM_PREBUILT}` does not exist, expected a ${plain}")
    endif()
    get_filename_component(built "${PROMEM_PREBUILT}" ABSOLUTE)
    add_custom_target(promem_cargo_build)
  else()
    find_program(PROMEM_CARGO cargo HINTS "$ENV{HOME}/.cargo/bin" REQUIRED)
    set(built "${PROJECT_BINARY_DIR}/cargo/release/${plain}")
    add_custom_target(promem_cargo_build
      COMMAND "${CMAKE_COMMAND}" -E env "CARGO=${PROMEM_CARGO}" ${PROMEM_LIBTORCH_ENVIRONMENT}
        "${PROMEM_REPOSITORY_DIR}/scripts/package_library.sh" "${PROJECT_BINARY_DIR}/cargo"
      WORKING_DIRECTORY "${PROMEM_REPOSITORY_DIR}"
      BYPRODUCTS "${built}"
      COMMENT "cargo build --release --lib, without paths of this machine"
      VERBATIM
      USES_TERMINAL)
  endif()

  set(folder "${PROJECT_BINARY_DIR}/lib")
  file(MAKE_DIRECTORY "${folder}")
  add_custom_target(promem_cargo ALL
    COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${built}" "${folder}/${full}"
    COMMAND "${CMAKE_COMMAND}" -E create_symlink "${full}" "${folder}/${soname}"
    COMMAND "${CMAKE_COMMAND}" -E create_symlink "${soname}" "${folder}/${plain}"
    BYPRODUCTS "${folder}/${full}"
    VERBATIM)
  add_dependencies(promem_cargo promem_cargo_build)
  set(${result} "${folder}/${full}" PARENT_SCOPE)
  set(PROMEM_LIBRARY_NAMES "${full};${soname};${plain}" PARENT_SCOPE)
  set(PROMEM_SONAME "${soname}" PARENT_SCOPE)
endfunction()

# Links to libtorch's libraries in `folder`: the library looks for them beside itself, in the build folder as in an installation.
function(promem_link_libtorch folder)
  if(NOT PROMEM_LIBTORCH)
    message(STATUS "libtorch was not found (`make setup`, or PROMEM_LIBTORCH): programs find it by LD_LIBRARY_PATH")
    return()
  endif()
  file(GLOB libraries "${PROMEM_LIBTORCH}/lib/*.so*" "${PROMEM_LIBTORCH}/lib/*.dylib" "${PROMEM_LIBTORCH}/../nvidia/*/lib/*.so*")
  foreach(library IN LISTS libraries)
    get_filename_component(name "${library}" NAME)
    file(CREATE_LINK "${library}" "${folder}/${name}" SYMBOLIC)
  endforeach()
endfunction()

# The default model, where the library looks for it from `folder`.
function(promem_link_model folder)
  set(model "${PROMEM_REPOSITORY_DIR}/models/promem-compact.safetensors")
  if(EXISTS "${model}")
    file(MAKE_DIRECTORY "${folder}/share/promem")
    file(CREATE_LINK "${model}" "${folder}/share/promem/promem-compact.safetensors" SYMBOLIC)
  endif()
endfunction()
