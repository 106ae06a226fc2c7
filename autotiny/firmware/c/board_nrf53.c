/* Clock and cache of an nRF5340's application core, for board.h; it runs as secure code.
 *
 * Product specification, section CLOCK: out of reset the core runs at half of the internal
 * oscillator's 128 MHz; HFCLKCTRL divides. Once the 32 MHz crystal swings, the same 128 MHz come from
 * it. Section CACHE: off out of reset. Section FICR: the values of TRIMCNF belong into the registers
 * they name, up to the first that is not written. Section Debug and trace: the debug port stays
 * closed after a reset, unless the program opens it; it does here if UICR says so. */
#include "board.h"

#if CLOCK_HZ != 128000000u && CLOCK_HZ != 64000000u
#error "the application core of an nRF5340 runs at 128 or 64 MHz"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define TRIMCNF 0x00FF0300u /* 32 pairs of address and value */
#define UICR_APPROTECT REGISTER(0x00FF8000u)
#define UICR_SECUREAPPROTECT REGISTER(0x00FF801Cu)
#define APPROTECT_DISABLE REGISTER(0x50006544u)
#define SECUREAPPROTECT_DISABLE REGISTER(0x5000654Cu)
#define CACHE_ENABLE REGISTER(0x50001500u)
#define TASKS_HFCLKSTART REGISTER(0x50005000u)
#define EVENTS_HFCLKSTARTED REGISTER(0x50005100u)
#define HFCLKSRC REGISTER(0x50005514u)  /* 1: what the task starts is the crystal */
#define HFCLKCTRL REGISTER(0x50005558u) /* the core divides by 2 to this */

AT_BOARD(board_start) void board_start(void) {
  for (uint32_t pair = TRIMCNF; pair < TRIMCNF + 32 * 8; pair += 8) {
    const uint32_t address = REGISTER(pair);
    if (address == 0xFFFFFFFFu) {
      break;
    }
    REGISTER(address) = REGISTER(pair + 4);
  }
  APPROTECT_DISABLE = UICR_APPROTECT;
  SECUREAPPROTECT_DISABLE = UICR_SECUREAPPROTECT;
  CACHE_ENABLE = 1;
  HFCLKCTRL = CLOCK_HZ == 64000000u;
  EVENTS_HFCLKSTARTED = 0;
  HFCLKSRC = 1;
  TASKS_HFCLKSTART = 1;
  /* The crystal takes below 1 ms, a turn of this loop at least 6 cycles. */
  for (uint32_t turns = 0; turns < 100000 && EVENTS_HFCLKSTARTED == 0; turns++) {
  }
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) { return 128000000u >> (HFCLKCTRL & 1u); }
