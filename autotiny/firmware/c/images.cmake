  add_custom_command(TARGET $${elf} POST_BUILD
    COMMAND $${CMAKE_OBJCOPY} -O binary $${elf} $${program}.bin
    COMMAND $${CMAKE_OBJCOPY} -O ihex $${elf} $${program}.hex
    BYPRODUCTS $${program}.bin $${program}.hex
    WORKING_DIRECTORY "$$<TARGET_FILE_DIR:$${elf}>"
    VERBATIM)
