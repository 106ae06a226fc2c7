${head_hash}# A library by CMake alone: target_link_libraries(my_program $library)

add_library($library STATIC
$units)
target_include_directories($library PUBLIC "$${CMAKE_CURRENT_LIST_DIR}/include")
target_compile_options($library PRIVATE $flags)
