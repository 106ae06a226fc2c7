
# The program that checks the model on the board:
#
#   make flash-selftest  writes selftest.elf
#   make selftest        builds it with $compiler; build/gcc/selftest.elf$endings

SELFTEST = $selftest_units
SELFTEST_OBJECTS = $$(SELFTEST:src/%.c=build/gcc/%.o)

selftest: build/gcc/selftest.elf$selftest_images

build/gcc/selftest.elf: $$(SELFTEST_OBJECTS) selftest.ld
	$$(CC) $$(CORE) $$(CFLAGS) $$(LDFLAGS) -T selftest.ld $$(SELFTEST_OBJECTS) $$(LDLIBS) -o $$@

flash-selftest: selftest.elf
	$flash

.PHONY: selftest flash-selftest
