${head_hash}
if(CONFIG_$config)
  zephyr_include_directories(include)
  zephyr_library_named($library)
  zephyr_library_sources(
$units)
  zephyr_library_compile_options($flags)
endif()
