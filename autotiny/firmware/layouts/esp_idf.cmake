${head_hash}
idf_component_register(
  SRCS
$units
  INCLUDE_DIRS include)
target_compile_options($${COMPONENT_LIB} PRIVATE $flags)
