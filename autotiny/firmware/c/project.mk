# Builds $title firmware.
#
#   make          with $compiler; build/firmware.elf, .bin and .hex
#   make zig      with zig (pip install ziglang): the very bytes of firmware.elf beside this file
#   make flash    writes build/firmware.elf to the board
#   make clean

CC = $compiler
OBJCOPY = $objcopy
ZIG = python3 -m ziglang

CORE = $core_flags
CFLAGS = -std=gnu11 $optimize -ffunction-sections -fdata-sections -fno-math-errno -fomit-frame-pointer -Wall$defines
LDFLAGS = -nostartfiles -Wl,--gc-sections -T link.ld
LDLIBS = -lm

ZIGFLAGS = $zig_flags

SOURCES = $units
OBJECTS = $$(SOURCES:src/%.c=build/%.o)
HEADERS = $$(wildcard src/*.h)

all: build/firmware.elf build/firmware.bin build/firmware.hex

build/%.o: src/%.c $$(HEADERS) Makefile | build
	$$(CC) $$(CORE) $$(CFLAGS) -c $$< -o $$@

build/firmware.elf: $$(OBJECTS) link.ld
	$$(CC) $$(CORE) $$(CFLAGS) $$(LDFLAGS) $$(OBJECTS) $$(LDLIBS) -o $$@

build/firmware.bin: build/firmware.elf
	$$(OBJCOPY) -O binary $$< $$@

build/firmware.hex: build/firmware.elf
	$$(OBJCOPY) -O ihex $$< $$@

zig: | build
	$$(ZIG) cc $$(ZIGFLAGS) $$(SOURCES) -T link.ld -o build/firmware.elf

flash: build/firmware.elf
	$flash

build:
	mkdir -p build

clean:
	rm -rf build

.PHONY: all zig flash clean
