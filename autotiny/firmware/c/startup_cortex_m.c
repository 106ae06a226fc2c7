/* Vector table and reset code of a Cortex-M firmware.
 *
 * board.c sets the clock, where the program has that file; without it the part runs at its reset
 * clock. SystemInit() is for what else your board needs then, before there are variables. The symbols
 * that begin with link_ come from link.ld. */
#include <stdint.h>

extern uint32_t link_stack_top[];
extern uint32_t link_data_start[], link_data_end[], link_data_load[];
#if defined(AT_SLOW_DATA)
extern uint32_t link_slow_start[], link_slow_end[], link_slow_load[];
#endif
extern uint32_t link_bss_start[], link_bss_end[];
extern uint32_t link_arena_start[], link_arena_end[];

int main(void);
void Reset_Handler(void);
void Default_Handler(void);
__attribute__((weak)) void SystemInit(void);

__attribute__((weak)) void SystemInit(void) {}

void Default_Handler(void) {
  for (;;) {
  }
}

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

#if defined(AUTOTINY_BOARD)
void board_start(void); /* calls SystemInit() */
#define START board_start
#else
#define START SystemInit
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))

#if defined(__ARM_FP)
static void enable_fpu(void) {
  REGISTER(0xE000ED88u) |= 0xFu << 20; /* CPACR: full access to CP10 and CP11 */
  __asm volatile("dsb\n isb" ::: "memory");
}
#endif

#if defined(AUTOTINY_L1_CACHES)
/* Cortex-M7 TRM and ARMv7-M: invalidate before enabling, for the tags are random after power-on. */
SMALL static void enable_caches(void) {
  __asm volatile("dsb\n isb" ::: "memory");
  REGISTER(0xE000EF50u) = 0;         /* ICIALLU: drop all instruction lines */
  REGISTER(0xE000ED84u) = 0;         /* CSSELR: the data cache, level 1 */
  __asm volatile("dsb" ::: "memory");
  const uint32_t geometry = REGISTER(0xE000ED80u); /* CCSIDR: sets − 1, ways − 1 */
  const uint32_t sets = (geometry >> 13) & 0x7FFFu;
  const uint32_t ways = (geometry >> 3) & 0x3FFu;
  for (uint32_t set = 0; set <= sets; set++) {
    for (uint32_t way = 0; way <= ways; way++) {
      REGISTER(0xE000EF60u) = set << 5 | way << 30; /* DCISW: lines of 32 bytes, four ways */
    }
  }
  __asm volatile("dsb" ::: "memory");
  REGISTER(0xE000ED14u) |= 3u << 16; /* CCR: IC and DC */
  __asm volatile("dsb\n isb" ::: "memory");
}
#endif

SMALL void Reset_Handler(void) {
#if defined(__ARM_FP)
  enable_fpu(); /* first: the compiler may use FPU registers anywhere below */
#endif
  START();
#if defined(AUTOTINY_L1_CACHES)
  enable_caches();
#endif
  fill(link_data_start, link_data_end, link_data_load);
#if defined(AT_SLOW_DATA)
  fill(link_slow_start, link_slow_end, link_slow_load);
#endif
  fill(link_bss_start, link_bss_end, 0);
  fill(link_arena_start, link_arena_end, 0);
  main();
  Default_Handler();
}

typedef void (*Handler)(void);

/* A handler of that name that is defined elsewhere takes the place of the one that stands still. */
#define HANDLER(name) void name(void) __attribute__((weak, alias("Default_Handler")))

HANDLER(NMI_Handler);
HANDLER(HardFault_Handler);
HANDLER(MemManage_Handler);
HANDLER(BusFault_Handler);
HANDLER(UsageFault_Handler);
HANDLER(SVC_Handler);
HANDLER(DebugMon_Handler);
HANDLER(PendSV_Handler);
HANDLER(SysTick_Handler);

/* The sixteen entries of the core; no interrupt of the part is used. */
__attribute__((section(".vectors"), used)) static const Handler vectors[16] = {
    (Handler)(uintptr_t)link_stack_top,
    Reset_Handler,
    NMI_Handler,
    HardFault_Handler,
    MemManage_Handler,
    BusFault_Handler,
    UsageFault_Handler,
    0,
    0,
    0,
    0,
    SVC_Handler,
    DebugMon_Handler,
    0,
    PendSV_Handler,
    SysTick_Handler,
};
