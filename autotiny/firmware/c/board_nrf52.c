/* Clock and flash cache of an nRF52840, for board.h.
 *
 * Product specification, section CLOCK: out of reset the core runs from the internal oscillator, at
 * 64 MHz; once the 32 MHz crystal swings, the same 64 MHz come from it. There is no divider, so both
 * are 64 MHz, and flash needs no setting for it. Section NVMC: the instruction cache is off out of
 * reset. Section Debug and trace: from revision 3 on the debug port stays closed after a reset, unless
 * the program opens it; it does here if UICR says so, as in older parts. */
#include "board.h"

#if CLOCK_HZ != 64000000u
#error "the core of an nRF52840 runs at 64 MHz"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define TASKS_HFCLKSTART REGISTER(0x40000000u)
#define EVENTS_HFCLKSTARTED REGISTER(0x40000100u)
#define APPROTECT_DISABLE REGISTER(0x40000558u)
#define UICR_APPROTECT REGISTER(0x10001208u)
#define REVISION REGISTER(0x10000134u) /* 5: revision 3; in nRF MDK alone */
#define ICACHECNF REGISTER(0x4001E540u) /* bit 0: cache on */

AT_BOARD(board_start) void board_start(void) {
  if (REVISION >= 5) {
    APPROTECT_DISABLE = UICR_APPROTECT;
  }
  ICACHECNF = 1;
  EVENTS_HFCLKSTARTED = 0;
  TASKS_HFCLKSTART = 1;
  /* The crystal takes 0.4 ms, a turn of this loop at least 6 cycles. */
  for (uint32_t turns = 0; turns < 30000 && EVENTS_HFCLKSTARTED == 0; turns++) {
  }
  SystemInit();
}

/* Of either source, which the crystal makes the more exact. */
AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) { return CLOCK_HZ; }
