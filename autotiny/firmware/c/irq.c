/* The interrupts of the part, for a program that calls irq_start(); others have nothing of this. */
#include "irq.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define VTOR 0xE000ED08u
#define NVIC_ISER(word) (0xE000E100u + 4u * (word))

/* Behind the constants of the model, so that these lie where they were measured. */
#define BEHIND(name) __attribute__((section(".board." #name)))

typedef void (*Handler)(void);

extern uint32_t link_stack_top[];
$declared

/* What nobody handles stands still here, where a debugger finds it. */
BEHIND(irq_unhandled) static void irq_unhandled(void) {
  for (;;) {
  }
}

#define HANDLER(name) \
  void name(void);    \
  void name(void) __attribute__((weak, alias("irq_unhandled")))

$handlers

BEHIND(irq_vectors)
__attribute__((aligned($alignment))) static const Handler irq_vectors[16 + IRQ_COUNT] = {
$core
$entries
};

BEHIND(irq_start) void irq_start(void) {
  REGISTER(VTOR) = (uint32_t)(uintptr_t)irq_vectors;
  __asm volatile("dsb\n isb" ::: "memory");
}

BEHIND(irq_enable) void irq_enable(uint32_t number) {
  REGISTER(NVIC_ISER(number / 32u)) = 1u << number % 32u;
}
