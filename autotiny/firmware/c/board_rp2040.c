/* RP2040: the second stage of its boot, and the clock of the core by PLL from the crystal.
 *
 * Registers: RP2040 data sheet, sections 2.8.1.3 (boot), 2.14 (resets), 2.15 (clocks), 2.16 (XOSC),
 * 2.18 (PLL), 2.19 (pins and pads), 4.2 (UART), 4.10 (SSI, which reads the flash). */
#include "board.h"

/* ---- The second stage ----
 *
 * The boot ROM copies the first 256 bytes of flash to SRAM, checks the CRC at their end and calls
 * them. They set up the SSI so that it reads the flash by four lines at half of the core's clock,
 * without a command before each address ("continuous read"), and go on at the vector table behind
 * them. Made for chips of Winbond's W25Q kind, in which QE, bit 1 of the second status register,
 * turns on the four lines; it is set here where it is not.
 *
 * The CRC is the last word (CRC-32 of the 252 bytes before it: polynomial 0x04c11db7, begun with
 * 0xffffffff, neither reflected nor inverted): change no instruction without it. */
__asm(
    ".syntax unified\n"
    ".section .boot, \"ax\", %progbits\n"
    ".balign 4\n"
    ".thumb\n"
    "boot2:\n"
    "  push {lr}\n"             /* zero where the boot ROM calls */
    "  ldr r0, boot2_pads\n"
    "  movs r1, #0x21\n"        /* SCLK: 8 mA, fast edges */
    "  str r1, [r0, #4]\n"
    "  ldr r1, [r0, #8]\n"      /* SD0 to SD3: no Schmitt trigger, which delays what is read */
    "  movs r2, #2\n"
    "  bics r1, r2\n"
    "  str r1, [r0, #8]\n"
    "  str r1, [r0, #12]\n"
    "  str r1, [r0, #16]\n"
    "  str r1, [r0, #20]\n"
    "  ldr r4, boot2_ssi\n"
    "  movs r5, #0\n"
    "  movs r6, #1\n"
    "  str r5, [r4, #0x08]\n"   /* SSIENR: off while it is set up */
    "  movs r1, #2\n"
    "  str r1, [r4, #0x14]\n"   /* BAUDR: clock of the core ÷ 2 */
    "  movs r0, #0xf0\n"
    "  str r6, [r4, r0]\n"      /* RX_SAMPLE_DLY: read one clock later */
    "  ldr r1, boot2_bytes\n"
    "  str r1, [r4, #0x00]\n"   /* CTRLR0: bytes, one line, each way */
    "  str r6, [r4, #0x08]\n"
    "  movs r0, #0x35\n"        /* second status register */
    "  bl boot2_status\n"
    "  movs r1, #2\n"
    "  tst r0, r1\n"
    "  bne 2f\n"
    "  movs r0, #0x06\n"        /* write enable */
    "  str r0, [r4, #0x60]\n"
    "  bl boot2_wait\n"
    "  ldr r0, [r4, #0x60]\n"
    "  str r6, [r4, #0x60]\n"   /* write both status registers: 0, QE */
    "  str r5, [r4, #0x60]\n"
    "  str r1, [r4, #0x60]\n"
    "  bl boot2_wait\n"
    "  ldr r0, [r4, #0x60]\n"
    "  ldr r0, [r4, #0x60]\n"
    "  ldr r0, [r4, #0x60]\n"
    "1:\n"
    "  movs r0, #0x05\n"        /* first status register: busy? */
    "  bl boot2_status\n"
    "  tst r0, r6\n"
    "  bne 1b\n"
    "2:\n"
    "  str r5, [r4, #0x08]\n"
    "  ldr r1, boot2_words\n"
    "  str r1, [r4, #0x00]\n"   /* CTRLR0: words, four lines, address then data */
    "  str r5, [r4, #0x04]\n"   /* CTRLR1: one word */
    "  movs r7, #0xf4\n"        /* SPI_CTRLR0 */
    "  ldr r1, boot2_enter\n"
    "  str r1, [r4, r7]\n"      /* command by one line, 32 bits of address and mode by four, 4 waits */
    "  str r6, [r4, #0x08]\n"
    "  movs r1, #0xeb\n"        /* fast read, quad I/O */
    "  str r1, [r4, #0x60]\n"
    "  movs r1, #0xa0\n"        /* address 0; a mode that makes the flash expect no further command */
    "  str r1, [r4, #0x60]\n"
    "  bl boot2_wait\n"
    "  str r5, [r4, #0x08]\n"
    "  ldr r1, boot2_read\n"
    "  str r1, [r4, r7]\n"      /* the same without a command: each access of the core reads */
    "  str r6, [r4, #0x08]\n"
    "  pop {r0}\n"
    "  cmp r0, #0\n"
    "  beq 3f\n"
    "  bx r0\n"
    "3:\n"
    "  ldr r0, boot2_vectors\n"
    "  ldr r1, boot2_vtor\n"
    "  str r0, [r1]\n"
    "  ldmia r0!, {r1, r2}\n"
    "  msr msp, r1\n"
    "  bx r2\n"
    /* Until what was given to the SSI has been sent. */
    "boot2_wait:\n"
    "  ldr r2, [r4, #0x28]\n"   /* SR */
    "  lsrs r3, r2, #3\n"       /* bit 2: nothing left to send */
    "  bcc boot2_wait\n"
    "  lsrs r3, r2, #1\n"       /* bit 0: busy */
    "  bcs boot2_wait\n"
    "  bx lr\n"
    /* The status register of the flash that command r0 reads. */
    "boot2_status:\n"
    "  push {lr}\n"
    "  str r0, [r4, #0x60]\n"
    "  str r0, [r4, #0x60]\n"
    "  bl boot2_wait\n"
    "  ldr r0, [r4, #0x60]\n"
    "  ldr r0, [r4, #0x60]\n"
    "  pop {pc}\n"
    ".balign 4\n"
    "boot2_pads: .word 0x40020000\n"
    "boot2_ssi: .word 0x18000000\n"
    "boot2_bytes: .word 0x00070000\n"
    "boot2_words: .word 0x005f0300\n"
    "boot2_enter: .word 0x00002221\n"
    "boot2_read: .word 0xa0002022\n"
    "boot2_vectors: .word 0x10000100\n"
    "boot2_vtor: .word 0xe000ed08\n"
    ".org 252\n"
    ".word 0xf663c6eb\n"
    ".text\n");

/* ---- The clock ---- */

#if BOOT_BYTES != 256
#error "boot_bytes must be 256: the boot ROM reads so many"
#endif
#if CLOCK_PLL_POSTDIV1 < 1 || CLOCK_PLL_POSTDIV1 > 7 || CLOCK_PLL_POSTDIV2 < 1 || CLOCK_PLL_POSTDIV2 > 7
#error "pll_postdiv1 and pll_postdiv2 must be from 1 to 7"
#endif
#if CLOCK_PLL_FBDIV < 16 || CLOCK_PLL_FBDIV > 320
#error "pll_fbdiv must be from 16 to 320"
#endif
#if CLOCK_CRYSTAL_HZ < 5000000 || CLOCK_CRYSTAL_HZ > 15000000
#error "crystal_hz must be from 5 to 15 MHz"
#endif
#if CLOCK_HZ > 133000000
#error "clock_hz must be at most 133 MHz"
#endif
#if CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV / (CLOCK_PLL_POSTDIV1 * CLOCK_PLL_POSTDIV2) != CLOCK_HZ
#error "crystal_hz × pll_fbdiv ÷ (pll_postdiv1 × pll_postdiv2) is not clock_hz"
#endif
#if CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV > 1600000000u || CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV < 750000000u
#error "crystal_hz × pll_fbdiv must be from 750 to 1600 MHz"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SET(address) REGISTER((address) + 0x2000u)
#define CLEAR(address) REGISTER((address) + 0x3000u)

#define RESETS_RESET 0x4000C000u
#define RESETS_DONE 0x4000C008u
#define PLL_SYS_RESET (1u << 12)

#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_SYS_CTRL 0x4000803Cu
#define CLK_SYS_DIV 0x40008040u
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_PERI_CTRL 0x40008048u

#define XOSC_CTRL 0x40024000u
#define XOSC_STATUS 0x40024004u
#define XOSC_STARTUP 0x4002400Cu

#define PLL_CS 0x40028000u
#define PLL_PWR 0x40028004u
#define PLL_FBDIV 0x40028008u
#define PLL_PRIM 0x4002800Cu

enum { ROSC_HZ = 6500000, TURNS = 100000 };

/* Whether a bit came within some milliseconds of a slow clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t bit) {
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    if ((REGISTER(address) & bit) != 0) {
      return 1;
    }
  }
  return 0;
}

/* Whether the crystal is what clk_ref runs by now. */
AT_BOARD(start_crystal) static int start_crystal(void) {
  REGISTER(XOSC_STARTUP) = (CLOCK_CRYSTAL_HZ / 1000u + 128u) / 256u; /* 1 ms, in 256 periods */
  REGISTER(XOSC_CTRL) = 0xFABAA0u;                                    /* on, 1 to 15 MHz */
  if (!came(XOSC_STATUS, 1u << 31)) {
    return 0;
  }
  REGISTER(CLK_REF_CTRL) = 2;
  return came(CLK_REF_SELECTED, 1u << 2);
}

/* Whether the PLL is locked to the crystal. */
AT_BOARD(start_pll) static int start_pll(void) {
  SET(RESETS_RESET) = PLL_SYS_RESET; /* whatever ran before */
  CLEAR(RESETS_RESET) = PLL_SYS_RESET;
  if (!came(RESETS_DONE, PLL_SYS_RESET)) {
    return 0;
  }
  REGISTER(PLL_CS) = 1; /* the crystal ÷ 1 */
  REGISTER(PLL_FBDIV) = CLOCK_PLL_FBDIV;
  CLEAR(PLL_PWR) = 1u | 1u << 5; /* PD, VCOPD */
  if (!came(PLL_CS, 1u << 31)) {
    return 0;
  }
  REGISTER(PLL_PRIM) = CLOCK_PLL_POSTDIV1 << 16 | CLOCK_PLL_POSTDIV2 << 12;
  CLEAR(PLL_PWR) = 1u << 3; /* POSTDIVPD */
  return 1;
}

AT_BOARD(board_start) void board_start(void) {
  CLEAR(CLK_SYS_CTRL) = 1; /* by clk_ref, while the PLL is set up */
  if (came(CLK_SYS_SELECTED, 1) && start_crystal() && start_pll()) {
    REGISTER(CLK_SYS_DIV) = 1u << 8;
    REGISTER(CLK_SYS_CTRL) = 0; /* AUXSRC: PLL */
    SET(CLK_SYS_CTRL) = 1;
    (void)came(CLK_SYS_SELECTED, 2);
  }
  REGISTER(CLK_PERI_CTRL) = 1u << 11; /* by the clock of the core */
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(CLK_SYS_SELECTED) & 2u) != 0) {
    return CLOCK_HZ;
  }
  return (REGISTER(CLK_REF_SELECTED) & 1u << 2) != 0 ? CLOCK_CRYSTAL_HZ : ROSC_HZ;
}

/* ---- The serial port ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN != 0 && SERIAL_TX_PIN != 12 && SERIAL_TX_PIN != 16 && SERIAL_TX_PIN != 28
#error "UART0 sends on pin 0, 12, 16 or 28"
#endif

#define IO_AND_PADS (1u << 5 | 1u << 8)
#define UART0_RESET (1u << 22)
#define PIN_CTRL (0x40014004u + 8u * SERIAL_TX_PIN)

#define UART_DATA 0x40034000u
#define UART_FLAGS 0x40034018u
#define UART_IBRD 0x40034024u
#define UART_FBRD 0x40034028u
#define UART_LCR 0x4003402Cu
#define UART_CR 0x40034030u

/* Periods of the clock in a sixteenth of a bit, times 64. */
#define DIVISOR(hz) ((hz) * 4u / SERIAL_BAUD)

AT_BOARD(start_serial) static void start_serial(void) {
  CLEAR(RESETS_RESET) = IO_AND_PADS | UART0_RESET;
  (void)came(RESETS_DONE, UART0_RESET);
  const uint32_t divisor = board_clock_hz() == CLOCK_HZ ? DIVISOR(CLOCK_HZ) : DIVISOR(CLOCK_CRYSTAL_HZ);
  REGISTER(UART_IBRD) = divisor >> 6;
  REGISTER(UART_FBRD) = divisor & 63u;
  REGISTER(UART_LCR) = 3u << 5 | 1u << 4; /* 8 bits, no parity, one stop bit; FIFO */
  REGISTER(UART_CR) = 1u | 1u << 8;       /* on, sends */
  REGISTER(PIN_CTRL) = 2;
}

AT_BOARD(selftest_put) __attribute__((weak)) void selftest_put(char character) {
  const int is_reset = (REGISTER(RESETS_DONE) & UART0_RESET) == 0;
  if (is_reset || (REGISTER(UART_CR) & 1u) == 0) {
    start_serial();
  }
  for (uint32_t turn = 0; turn < TURNS && (REGISTER(UART_FLAGS) & 1u << 5) != 0; turn++) {
  }
  REGISTER(UART_DATA) = (uint8_t)character;
}

#endif
