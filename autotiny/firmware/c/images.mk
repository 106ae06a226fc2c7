build/gcc/%.bin: build/gcc/%.elf
	$$(OBJCOPY) -O binary $$< $$@

build/gcc/%.hex: build/gcc/%.elf
	$$(OBJCOPY) -O ihex $$< $$@

