#ifndef IRQ_H
#define IRQ_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Interrupts of the part: a function `void IRQ28_Handler(void)` of yours handles number 28, as
 * IRQn_Type of the vendor's device header counts them. */
#define IRQ_COUNT $count

/* Has the core take its vectors from a table with all of them; call it before the first is enabled. */
void irq_start(void);

/* Lets an interrupt through, of a number below IRQ_COUNT. */
void irq_enable(uint32_t number);

#ifdef __cplusplus
}
#endif
#endif
