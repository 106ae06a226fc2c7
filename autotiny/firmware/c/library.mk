
# Debian's compiler has no C library but picolibc, which it must be told of.
CORE := $$(CORE) $$(shell $$(CC) -E -include string.h src/startup.c >/dev/null 2>&1 || echo $library)
