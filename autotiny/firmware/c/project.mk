# Builds $title firmware.
#
#   make            with $compiler; build/gcc/firmware.elf$endings
#   make zig        with zig (pip install ziglang); build/zig/firmware.elf, the very bytes of firmware.elf
#   make flash      writes to the board what was built last; firmware.elf, as it was measured, if nothing was
#   make clean

CC = $compiler
OBJCOPY = $objcopy
ZIG = python3 -m ziglang

CORE = $core_flags$library_rules
CFLAGS = -std=gnu11 $optimize -ffunction-sections -fdata-sections -fno-math-errno -fomit-frame-pointer -Wall$defines
LDFLAGS = -nostartfiles -Wl,--gc-sections,--nmagic
LDLIBS = -lm

ZIGFLAGS = $zig_flags

SOURCES = $units
OBJECTS = $$(SOURCES:src/%.c=build/gcc/%.o)
HEADERS = $$(wildcard src/*.h)

all: build/gcc/firmware.elf$images

zig: build/zig/firmware.elf

build/gcc/%.o: src/%.c $$(HEADERS) Makefile | build/gcc
	$$(CC) $$(CORE) $$(CFLAGS) -c $$< -o $$@

build/gcc/firmware.elf: $$(OBJECTS) link.ld
	$$(CC) $$(CORE) $$(CFLAGS) $$(LDFLAGS) -T link.ld $$(OBJECTS) $$(LDLIBS) -o $$@

${image_rules}build/zig/firmware.elf: $$(SOURCES) $$(HEADERS) link.ld Makefile | build/zig
	$$(ZIG) cc $$(ZIGFLAGS) $$(SOURCES) -T link.ld -o $$@

# What was built last, made again where its sources are newer still.
flash:
	@$$(MAKE) --no-print-directory write ELF="$$$$(ls -t build/*/firmware.elf 2>/dev/null | head -n 1)"

write: $$(or $$(ELF),firmware.elf)
	$flash

build/gcc build/zig:
	mkdir -p $$@

clean:
	rm -rf build
$selftest_rules
.PHONY: all zig flash write clean
