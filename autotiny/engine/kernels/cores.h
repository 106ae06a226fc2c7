// Work for a second core: at_start_task starts a task there, at_await_task waits until it is done.
// Where the firmware knows no second core (AT_CORE_FIFO is not defined), it is done at once.
#ifndef AT_CORES_H
#define AT_CORES_H

#include "port.h"

#if defined(AT_CORE_FIFO)
void at_start_task(void (*task)(void));
void at_await_task(void);
#else
AT_INLINE void at_start_task(void (*task)(void)) { task(); }
AT_INLINE void at_await_task(void) {}
#endif

#endif
