/* The second core of a part whose cores send each other words through a FIFO in their SIO (RP2040
 * data sheet 2.3.1.4, RP2350 data sheet 3.1.5). It is launched when the first task is given to it,
 * as the boot ROM expects it (2.8.2 and 5.3): 0, 0, 1, vector table, stack, entry, each echoed. */
#include "cores.h"

/* The words of the FIFO: status, write, read. */
#define FIFO(word) (((volatile uint32_t *)AT_CORE_FIFO)[word])
enum { STATUS, WRITE, READ };
enum { VALID = 1, READY = 2 };

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define VECTOR_TABLE REGISTER(0xE000ED08u)

void autotiny_waiting(void);
void autotiny_idle(void);
void autotiny_second_core(void);

/* A debugger or an emulator can stand where a core has nothing to do but wait for the other. */
__attribute__((noinline)) void autotiny_waiting(void) { __asm volatile("" ::: "memory"); }
__attribute__((noinline)) void autotiny_idle(void) { __asm volatile("" ::: "memory"); }

uint64_t autotiny_second_stack[128];

static void push(uint32_t word) {
  while (!(FIFO(STATUS) & READY)) {
  }
  __asm volatile("dmb" ::: "memory");
  FIFO(WRITE) = word;
  __asm volatile("sev");
}

static uint32_t pop(void) {
  while (!(FIFO(STATUS) & VALID)) __asm volatile("wfe");
  const uint32_t word = FIFO(READ);
  __asm volatile("dmb" ::: "memory");
  return word;
}

void autotiny_second_core(void) {
#if defined(__ARM_FP)
  REGISTER(0xE000ED88u) |= 0xFu << 20; /* CPACR: each core has its own FPU */
  __asm volatile("dsb\n isb" ::: "memory");
#endif
  for (;;) {
    autotiny_idle();
    ((void (*)(void))(uintptr_t)pop())();
    push(0);
  }
}

static void launch(void) {
  const uint32_t words[6] = {0, 0, 1, VECTOR_TABLE, (uint32_t)(uintptr_t)(autotiny_second_stack + 128),
                             (uint32_t)(uintptr_t)autotiny_second_core};
  for (int sent = 0; sent < 6;) {
    if (words[sent] == 0) {
      while (FIFO(STATUS) & VALID) (void)FIFO(READ);
      __asm volatile("sev");
    }
    push(words[sent]);
    sent = pop() == words[sent] ? sent + 1 : 0;
  }
}

void at_start_task(void (*task)(void)) {
  static int launched;
  if (!launched) {
    launch();
    launched = 1;
  }
  push((uint32_t)(uintptr_t)task);
}

void at_await_task(void) {
  autotiny_waiting();
  (void)pop();
}
