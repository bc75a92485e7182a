# The one file that knows cargo: where the library comes from.

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
      COMMAND "${PROMEM_CARGO}" build --release --lib --locked --target-dir "${PROJECT_BINARY_DIR}/cargo"
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
      BYPRODUCTS "${built}"
      COMMENT "cargo build --release --lib"
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
