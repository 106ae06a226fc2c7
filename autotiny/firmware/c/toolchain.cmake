# The compiler and the core of $title; -DCMAKE_C_COMPILER=/path/to/$compiler names another one.

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR $processor)
if(NOT CMAKE_C_COMPILER)
  set(CMAKE_C_COMPILER $compiler)
endif()
set(CMAKE_C_FLAGS_INIT "$core_flags")
$library_commands
# CMake tries the compiler before there is a linker script.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
