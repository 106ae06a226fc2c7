// Variables that may lie in a slower memory than others: linker scripts know their section.
#ifndef AT_SLOW_H
#define AT_SLOW_H

#if defined(__ELF__)
#define AT_SLOW __attribute__((section(".data.slow")))
#else
#define AT_SLOW
#endif
#endif
