/* Clock of an RP2350: PLL_SYS from the 12 MHz crystal; and what its boot ROM looks for.
 *
 * RP2350 data sheet. Section 8.1 (clocks): out of reset the core runs from the ring oscillator, at
 * about 11 MHz; a glitchless multiplexer leaves its auxiliary input before that is changed, and
 * SELECTED says what it has come to. Section 8.2 (XOSC): STARTUP × 256 cycles until it counts as
 * stable. Section 8.6 (PLL): crystal ÷ REFDIV × FBDIV = 750 to 1600 MHz, ÷ POSTDIV1 ÷ POSTDIV2; the
 * dividers of the loop are written before it has power, the post dividers once it is locked. Section
 * 7.5 (RESETS). Section 2.1.3: a write at + 0x2000 sets bits, at + 0x3000 clears them.
 * The QMI stays as the boot ROM set it for the flash that it found: at most the core clock ÷ 3. */
#include "board.h"

#if BOOT_BYTES != 512
#error "boot_bytes must be 512: the image block, and room up to where vectors may lie"
#endif
#if CLOCK_PLL_POSTDIV1 < 1 || CLOCK_PLL_POSTDIV1 > 7 || CLOCK_PLL_POSTDIV2 < 1 || CLOCK_PLL_POSTDIV2 > 7
#error "pll_postdiv1 and pll_postdiv2 must be from 1 to 7"
#endif
#if CLOCK_PLL_FBDIV < 16 || CLOCK_PLL_FBDIV > 320
#error "pll_fbdiv must be from 16 to 320"
#endif
#if CLOCK_CRYSTAL_HZ < 1000000 || CLOCK_CRYSTAL_HZ > 15000000
#error "crystal_hz must be from 1 to 15 MHz"
#endif
#if CLOCK_HZ > 150000000
#error "clock_hz must be at most 150 MHz"
#endif
#if CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV / (CLOCK_PLL_POSTDIV1 * CLOCK_PLL_POSTDIV2) != CLOCK_HZ
#error "crystal_hz × pll_fbdiv ÷ (pll_postdiv1 × pll_postdiv2) is not clock_hz"
#endif
#if CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV > 1600000000u || CLOCK_CRYSTAL_HZ * CLOCK_PLL_FBDIV < 750000000u
#error "crystal_hz × pll_fbdiv must be from 750 to 1600 MHz"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SET 0x2000u
#define CLEAR 0x3000u
#define CLK_REF_CTRL REGISTER(0x40010030u) /* bits 0 and 1: 0 ring oscillator, 2 crystal */
#define CLK_REF_SELECTED 0x40010038u
#define CLK_SYS_CTRL REGISTER(0x4001003Cu) /* bit 0: 0 clk_ref, 1 auxiliary; bits 5 to 7: which, 0 PLL_SYS */
#define CLK_SYS_SELECTED 0x40010044u
#define CLK_PERI_CTRL REGISTER(0x40010048u) /* bit 11: on; bits 5 to 7: 0 clk_sys */
#define RESUS_CTRL REGISTER(0x40010084u)
#define RESET 0x40020000u /* bit 14: PLL_SYS */
#define RESET_DONE 0x40020008u
#define XOSC_CTRL REGISTER(0x40048000u)
#define XOSC_STATUS 0x40048004u /* bit 31: stable */
#define XOSC_STARTUP REGISTER(0x4004800Cu)
#define PLL_CS 0x40050000u /* bit 31: locked; bits 0 to 5: REFDIV */
#define PLL_PWR 0x40050004u /* off: bit 0 all, bit 3 post dividers, bit 5 oscillator */
#define PLL_FBDIV REGISTER(0x40050008u)
#define PLL_PRIM REGISTER(0x4005000Cu) /* bits 16 to 18: POSTDIV1; bits 12 to 14: POSTDIV2 */

#define PLL_SYS_BIT (1u << 14)
#define ROSC_HZ 11000000u

/* Section 5.9: a block within the first 4 KB of flash says what the image is. Its items: an executable
 * for the secure Arm cores of an RP2350; its vector table, which follows here. The block is the only
 * one of its loop, so the way to the next is 0. */
struct image_def {
  uint32_t start, image_type, vector_table;
  const void *vectors;
  uint32_t last, to_next, end, unused[121];
};
extern const struct image_def autotiny_image_def;
__attribute__((section(".boot"), used)) const struct image_def autotiny_image_def = {
    .start = 0xFFFFDED3u,
    .image_type = 0x10210142u,
    .vector_table = 0x00000203u,
    .vectors = &autotiny_image_def + 1,
    .last = 0x000003FFu,
    .end = 0xAB123579u,
};

/* Whether one of these bits comes up. A turn is at least 6 cycles; the slowest wait, for the crystal,
 * takes about 6 ms. */
AT_BOARD(comes_up) static uint32_t comes_up(uint32_t address, uint32_t bits) {
  for (uint32_t turns = 0; turns < 100000; turns++) {
    if (REGISTER(address) & bits) {
      return 1;
    }
  }
  return 0;
}

AT_BOARD(start_pll) static uint32_t start_pll(void) {
  REGISTER(RESET + SET) = PLL_SYS_BIT;
  REGISTER(RESET + CLEAR) = PLL_SYS_BIT;
  if (!comes_up(RESET_DONE, PLL_SYS_BIT)) {
    return 0;
  }
  REGISTER(PLL_CS) = 1; /* REFDIV */
  PLL_FBDIV = CLOCK_PLL_FBDIV;
  REGISTER(PLL_PWR + CLEAR) = 1u << 0 | 1u << 5;
  if (!comes_up(PLL_CS, 1u << 31)) {
    return 0;
  }
  PLL_PRIM = CLOCK_PLL_POSTDIV1 << 16 | CLOCK_PLL_POSTDIV2 << 12;
  REGISTER(PLL_PWR + CLEAR) = 1u << 3;
  return 1;
}

AT_BOARD(set_clock) static void set_clock(void) {
  RESUS_CTRL = 0; /* nothing switches clk_sys back by itself */
  XOSC_CTRL = 0xAA0u; /* 1 to 15 MHz */
  XOSC_STARTUP = CLOCK_CRYSTAL_HZ / 1000 * 6 / 256; /* 6 ms */
  XOSC_CTRL = 0xFABu << 12 | 0xAA0u;
  if (!comes_up(XOSC_STATUS, 1u << 31)) {
    return;
  }
  CLK_SYS_CTRL &= ~1u;
  if (!comes_up(CLK_SYS_SELECTED, 1u << 0)) {
    return;
  }
  CLK_REF_CTRL = 2;
  if (!comes_up(CLK_REF_SELECTED, 1u << 2)) {
    return;
  }
  if (!start_pll()) {
    return;
  }
  CLK_SYS_CTRL = 0; /* PLL_SYS stands at the auxiliary input ... */
  CLK_SYS_CTRL = 1; /* ... which is taken */
  comes_up(CLK_SYS_SELECTED, 1u << 1);
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  CLK_PERI_CTRL = 1u << 11;
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if (REGISTER(CLK_SYS_SELECTED) & 1u << 1) {
    if (CLK_SYS_CTRL >> 5 & 7u) {
      return ROSC_HZ; /* as out of reset */
    }
    const uint32_t loop = CLOCK_CRYSTAL_HZ / (REGISTER(PLL_CS) & 0x3Fu) * PLL_FBDIV;
    return loop / (PLL_PRIM >> 16 & 7u) / (PLL_PRIM >> 12 & 7u);
  }
  return REGISTER(CLK_REF_SELECTED) & 1u << 2 ? CLOCK_CRYSTAL_HZ : ROSC_HZ;
}
