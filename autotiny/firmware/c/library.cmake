
# Debian's compiler has no C library but picolibc, which it must be told of.
execute_process(
  COMMAND $${CMAKE_C_COMPILER} -E -include string.h "$${CMAKE_CURRENT_LIST_DIR}/../src/startup.c"
  RESULT_VARIABLE without_library OUTPUT_QUIET ERROR_QUIET)
if(without_library)
  string(APPEND CMAKE_C_FLAGS_INIT " $library")
  set(AUTOTINY_LIBRARY $library)
endif()
