# Builds $title firmware with $compiler, as the Makefile does.
#
#   cmake -B build/cmake -DCMAKE_TOOLCHAIN_FILE=cmake/toolchain.cmake
#   cmake --build build/cmake      build/cmake/firmware.elf$endings$also

cmake_minimum_required(VERSION 3.13)
project($name C)

# The core's flags once more: -DCMAKE_C_FLAGS of one's own takes the place of the toolchain's.
add_compile_options(
  $core_flags $${AUTOTINY_LIBRARY} -std=gnu11 $optimize -ffunction-sections -fdata-sections -fno-math-errno -fomit-frame-pointer
  -Wall$defines)

# A program of those C files, by that linker script.
function(add_program program script)
  set(elf $${program}.elf)
  add_executable($${elf} $${ARGN})
  target_link_options($${elf} PRIVATE
    $core_flags $${AUTOTINY_LIBRARY} -nostartfiles -Wl,--gc-sections,--nmagic "-T$${CMAKE_CURRENT_SOURCE_DIR}/$${script}")
  target_link_libraries($${elf} PRIVATE m)
  set_target_properties($${elf} PROPERTIES SUFFIX ""
    LINK_DEPENDS "$${CMAKE_CURRENT_SOURCE_DIR}/$${script}")
${image_commands}endfunction()

add_program(firmware link.ld $units)
$selftest