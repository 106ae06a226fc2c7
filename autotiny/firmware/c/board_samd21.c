/* Clock of a SAM D21: its 48 MHz loop, without a crystal, by the values that the factory measured.
 *
 * DS40001882: out of reset the core runs at 1 MHz (OSC8M ÷ 8). NVMCTRL: flash waits one cycle at
 * 48 MHz. SYSCTRL, DFLL48M in open loop: DFLLVAL takes the coarse value of the NVM software
 * calibration area and 512, the middle, as the fine one; then it runs at 47 to 49 MHz. Each write to
 * the loop waits until it is ready. Errata (DFLL48M): a write to it can freeze the part unless
 * ONDEMAND was cleared before. GCLK: generator 0 drives the core. */
#include "board.h"

#if CLOCK_HZ != 48000000u
#error "the DFLL of a SAM D21 runs at 48 MHz"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define REGISTER16(address) (*(volatile uint16_t *)(address))
#define REGISTER8(address) (*(volatile uint8_t *)(address))
#define CALIBRATION REGISTER(0x00806024u) /* bits 26 to 31: the coarse value */
#define CPUSEL REGISTER8(0x40000408u)     /* the core divides by 2 to this */
#define PCLKSR REGISTER(0x4000080Cu)      /* bit 4: the loop is ready */
#define OSC8M REGISTER(0x40000820u)       /* bits 8 and 9: divides by 2 to this */
#define DFLLCTRL REGISTER16(0x40000824u)  /* bit 1: on; bit 7: on demand only */
#define DFLLVAL REGISTER(0x40000828u)     /* bits 0 to 9: fine; bits 10 to 15: coarse */
#define GCLK_STATUS REGISTER8(0x40000C01u)
#define GENCTRL REGISTER(0x40000C04u) /* bits 0 to 3: of which generator; 8 to 12: its source; 16: on */
#define GENCTRL_ID REGISTER8(0x40000C04u)
#define NVM_CTRLB REGISTER(0x41004004u) /* bits 1 to 4: wait states */

enum { FROM_OSC8M = 6, FROM_DFLL = 7 };

AT_BOARD(dfll_ready) static uint32_t dfll_ready(void) {
  for (uint32_t turns = 0; turns < 2000; turns++) {
    if (PCLKSR & 1u << 4) {
      return 1;
    }
  }
  return 0;
}

/* The generators lie in a clock domain of their own; a write crosses over in some cycles. */
AT_BOARD(gclk_settle) static void gclk_settle(void) {
  for (uint32_t turns = 0; turns < 2000 && (GCLK_STATUS & 1u << 7); turns++) {
  }
}

AT_BOARD(board_start) void board_start(void) {
  NVM_CTRLB = (NVM_CTRLB & ~(0xFu << 1)) | 1u << 1;
  DFLLCTRL = 1u << 1; /* on, and no longer on demand */
  if (dfll_ready()) {
    const uint32_t coarse = CALIBRATION >> 26;
    DFLLVAL = (coarse == 0x3F ? 0x1F : coarse) << 10 | 512; /* 0x3F: not calibrated */
    if (dfll_ready()) {
      GENCTRL = 0u | FROM_DFLL << 8 | 1u << 16;
      gclk_settle();
    }
  }
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  GENCTRL_ID = 0; /* what the next read is of */
  const uint32_t source = GENCTRL >> 8 & 0x1Fu;
  uint32_t hz = 32768;
  if (source == FROM_DFLL) hz = 48000000;
  if (source == FROM_OSC8M) hz = 8000000u >> (OSC8M >> 8 & 3u);
  return hz >> (CPUSEL & 7u);
}
