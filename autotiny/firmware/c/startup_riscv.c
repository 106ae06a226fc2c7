/* Reset code of a bare RISC-V firmware.
 *
 * board.c sets the clock, where the program has that file; without it the part runs at its reset
 * clock. SystemInit() is for what else your board needs then, before there are variables. The symbols
 * that begin with link_ come from link.ld. */
#include <stdint.h>

extern uint32_t link_data_start[], link_data_end[], link_data_load[];
#if defined(AT_SLOW_DATA)
extern uint32_t link_slow_start[], link_slow_end[], link_slow_load[];
#endif
extern uint32_t link_bss_start[], link_bss_end[];
extern uint32_t link_arena_start[], link_arena_end[];

int main(void);
void start_c(void);
__attribute__((weak)) void SystemInit(void);

__attribute__((weak)) void SystemInit(void) {}

#if defined(AUTOTINY_BOARD)
void board_start(void); /* calls SystemInit() */
#define START board_start
#else
#define START SystemInit
#endif

/* Runs once, so it is kept small: the compiler would unroll it. */
#if defined(__clang__)
#define SMALL __attribute__((minsize))
#else
#define SMALL __attribute__((optimize("Os")))
#endif

/* Words from `source`, or zeros if there is none. */
SMALL __attribute__((noinline)) static void fill(uint32_t *word, const uint32_t *end, const uint32_t *source) {
  while (word < end) {
    *word++ = source ? *source++ : 0;
  }
}

/* The stack must stand before any C runs; mtvec points at a loop that keeps the fault visible. */
__asm(".section .vectors,\"ax\",@progbits\n"
      ".global Reset_Handler\n"
      ".type Reset_Handler, @function\n"
      "Reset_Handler:\n"
      "  la sp, link_stack_top\n"
      "  la t0, Default_Handler\n"
      "  csrw mtvec, t0\n"
      "  j start_c\n"
      ".size Reset_Handler, . - Reset_Handler\n"
      ".balign 4\n"
      ".global Default_Handler\n"
      ".type Default_Handler, @function\n"
      "Default_Handler:\n"
      "  j Default_Handler\n"
      ".size Default_Handler, . - Default_Handler\n"
      ".text\n");

/* Only assembly calls it, which the linker does not see where it optimizes. */
SMALL __attribute__((used)) void start_c(void) {
  START();
  fill(link_data_start, link_data_end, link_data_load);
#if defined(AT_SLOW_DATA)
  fill(link_slow_start, link_slow_end, link_slow_load);
#endif
  fill(link_bss_start, link_bss_end, 0);
  fill(link_arena_start, link_arena_end, 0);
  main();
  for (;;) {
  }
}
