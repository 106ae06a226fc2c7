/* STM32F405 to F417: the clock of the core by PLL, from the internal HSI or from a crystal.
 *
 * Registers: RM0090 sections 7.3 (RCC), 5.4 (PWR), 3.9 (FLASH).
 * Settings: source, hsi or hse; oscillator_hz and bypass of the latter; pll_m, pll_n, pll_p. */
#include "board.h"

#define HSI_HZ 16000000u
#if CLOCK_SOURCE_HSE
#define OSCILLATOR_HZ CLOCK_OSCILLATOR_HZ
#else
#define OSCILLATOR_HZ HSI_HZ
#endif
#define INPUT_HZ (OSCILLATOR_HZ / CLOCK_PLL_M)
#define VCO_HZ (INPUT_HZ * CLOCK_PLL_N)

#if VCO_HZ / CLOCK_PLL_P != CLOCK_HZ
#error "oscillator ÷ pll_m × pll_n ÷ pll_p is not clock_hz"
#endif
#if INPUT_HZ < 1000000 || INPUT_HZ > 2000000 || VCO_HZ < 100000000 || VCO_HZ > 432000000
#error "oscillator ÷ pll_m must be from 1 to 2 MHz, times pll_n from 100 to 432 MHz"
#endif
#if CLOCK_PLL_M < 2 || CLOCK_PLL_M > 63 || CLOCK_PLL_N < 50 || CLOCK_PLL_N > 432
#error "pll_m must be from 2 to 63, pll_n from 50 to 432"
#endif
#if (CLOCK_PLL_P != 2 && CLOCK_PLL_P != 4 && CLOCK_PLL_P != 6 && CLOCK_PLL_P != 8) || CLOCK_HZ > 168000000
#error "pll_p must be 2, 4, 6 or 8, clock_hz at most 168 MHz"
#endif

/* From the HSI where the crystal does not start: the same clock, or the next below it. */
#define HSI_M ((HSI_HZ + INPUT_HZ - 1u) / INPUT_HZ)
/* What the PLL gives to USB: at most 48 MHz. */
#define PLL_Q ((VCO_HZ + 47999999u) / 48000000u)

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_APB1ENR 0x40023840u
#define PWR_CR 0x40007000u
#define PWR_CSR 0x40007004u
#define FLASH_ACR 0x40023C00u

#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSE (1u << 22)
#define VOLTAGE_READY (1u << 14)
#define BY_PLL 2u

enum { TURNS = 0x10000 };

/* Whether a register's bits came to a value, within some 30 ms of the reset clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t mask, uint32_t value) {
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    if ((REGISTER(address) & mask) == value) {
      return 1;
    }
  }
  return 0;
}

AT_BOARD(set_clock) static void set_clock(void) {
  REGISTER(RCC_APB1ENR) |= 1u << 28; /* PWREN; reading it back gives the clock time to come */
  (void)REGISTER(RCC_APB1ENR);
  REGISTER(PWR_CR) |= 1u << 14; /* VOS: scale 1 */
  /* At 2.7 to 3.6 V one wait state for each 30 MHz begun beyond the first; prefetch and caches. */
  const uint32_t wait_states = (CLOCK_HZ - 1u) / 30000000u;
  REGISTER(FLASH_ACR) = 7u << 8 | wait_states;
  if (!came(FLASH_ACR, 7u, wait_states)) {
    return;
  }
  uint32_t pll = CLOCK_PLL_N << 6 | (CLOCK_PLL_P / 2u - 1u) << 16 | PLL_Q << 24;
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    pll |= PLL_BY_HSE | CLOCK_PLL_M;
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
    pll |= HSI_M;
  }
#else
  pll |= CLOCK_PLL_M;
#endif
  REGISTER(RCC_PLLCFGR) = (REGISTER(RCC_PLLCFGR) & 0xF0000000u) | pll;
  REGISTER(RCC_CR) |= PLL_ON; /* only now the voltage scale counts */
  REGISTER(RCC_CFGR) = 5u << 10 | 4u << 13; /* APB1: ÷ 4, at most 42 MHz; APB2: ÷ 2, at most 84 */
  if (came(RCC_CR, PLL_READY, PLL_READY) && came(PWR_CSR, VOLTAGE_READY, VOLTAGE_READY)) {
    REGISTER(RCC_CFGR) |= BY_PLL;
    (void)came(RCC_CFGR, 3u << 2, BY_PLL << 2);
  }
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(RCC_CFGR) >> 2 & 3u) != BY_PLL) {
    return HSI_HZ;
  }
  const uint32_t pll = REGISTER(RCC_PLLCFGR);
  const uint32_t oscillator = (pll & PLL_BY_HSE) != 0 ? OSCILLATOR_HZ : HSI_HZ;
  return oscillator / (pll & 63u) * (pll >> 6 & 511u) / (2u * (pll >> 16 & 3u) + 2u);
}
