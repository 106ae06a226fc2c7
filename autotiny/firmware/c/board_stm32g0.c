/* STM32G0x1: the clock of the core by PLL, from the internal HSI16 or from a crystal.
 *
 * Registers: RM0444 sections 5.4 (RCC), 3.7 (FLASH). The voltage stays in range 1, as reset has it.
 * Settings: source, hsi or hse; oscillator_hz and bypass of the latter; pll_m, pll_n, pll_r. */
#include "board.h"

#define HSI_HZ 16000000u
#if CLOCK_SOURCE_HSE
#define OSCILLATOR_HZ CLOCK_OSCILLATOR_HZ
#else
#define OSCILLATOR_HZ HSI_HZ
#endif
#define INPUT_HZ (OSCILLATOR_HZ / CLOCK_PLL_M)
#define VCO_HZ (INPUT_HZ * CLOCK_PLL_N)

#if VCO_HZ / CLOCK_PLL_R != CLOCK_HZ || CLOCK_HZ > 64000000
#error "oscillator ÷ pll_m × pll_n ÷ pll_r is not clock_hz, of at most 64 MHz"
#endif
#if INPUT_HZ < 2660000 || INPUT_HZ > 16000000 || VCO_HZ < 96000000 || VCO_HZ > 344000000
#error "oscillator ÷ pll_m must be from 2.66 to 16 MHz, times pll_n from 96 to 344 MHz"
#endif
#if CLOCK_PLL_M < 1 || CLOCK_PLL_M > 8 || CLOCK_PLL_N < 8 || CLOCK_PLL_N > 86 || \
    CLOCK_PLL_R < 2 || CLOCK_PLL_R > 8
#error "pll_m must be from 1 to 8, pll_n from 8 to 86, pll_r from 2 to 8"
#endif

/* From the HSI where the crystal does not start: the same clock, or the next below it. */
#define HSI_M ((HSI_HZ + INPUT_HZ - 1u) / INPUT_HZ)

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021008u
#define RCC_PLLCFGR 0x4002100Cu
#define FLASH_ACR 0x40022000u

#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSI 2u
#define PLL_BY_HSE 3u
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
  /* In range 1: none to 24 MHz, one wait state to 48, two to 64; prefetch and instruction cache. */
  const uint32_t wait_states = (CLOCK_HZ > 24000000u) + (CLOCK_HZ > 48000000u);
  REGISTER(FLASH_ACR) = (REGISTER(FLASH_ACR) & ~7u) | 3u << 8 | wait_states;
  if (!came(FLASH_ACR, 7u, wait_states)) {
    return;
  }
  uint32_t pll = CLOCK_PLL_N << 8 | (CLOCK_PLL_R - 1u) << 29;
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    pll |= PLL_BY_HSE | (CLOCK_PLL_M - 1u) << 4;
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
    pll |= PLL_BY_HSI | (HSI_M - 1u) << 4;
  }
#else
  pll |= PLL_BY_HSI | (HSI_M - 1u) << 4;
#endif
  REGISTER(RCC_PLLCFGR) = pll;
  REGISTER(RCC_CR) |= PLL_ON;
  if (came(RCC_CR, PLL_READY, PLL_READY)) {
    REGISTER(RCC_PLLCFGR) = pll | 1u << 28; /* PLLREN: the output for the core */
    REGISTER(RCC_CFGR) = BY_PLL;            /* buses: ÷ 1 */
    (void)came(RCC_CFGR, 7u << 3, BY_PLL << 3);
  }
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(RCC_CFGR) >> 3 & 7u) != BY_PLL) {
    return HSI_HZ;
  }
  const uint32_t pll = REGISTER(RCC_PLLCFGR);
  uint32_t oscillator = HSI_HZ;
  if ((pll & 3u) == PLL_BY_HSE) {
    oscillator = OSCILLATOR_HZ;
  }
  return oscillator / ((pll >> 4 & 7u) + 1u) * (pll >> 8 & 127u) / ((pll >> 29) + 1u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PORT 0u
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APBENR1
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_CFGR) >> 12 & 7u)
#elif SERIAL_TX_PIN_PA9
#define PORT 0u
#define PIN 9u
#define USART 0x40013800u /* USART1 */
#define USART_ENABLE RCC_APBENR2
#define USART_ON (1u << 14)
#define PRESCALER (REGISTER(RCC_CFGR) >> 12 & 7u)
#else
#error "tx_pin must be pa2 or pa9"
#endif

#define RCC_IOPENR 0x40021034u
#define RCC_APBENR1 0x4002103Cu
#define RCC_APBENR2 0x40021040u
#define GPIO_MODER (0x50000000u + 0x400u * PORT)
#define GPIO_AFR (GPIO_MODER + 0x20u + PIN / 8u * 4u)
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x00u)
#define USART_BRR (USART + 0x0Cu)
#define USART_STATUS (USART + 0x1Cu)
#define USART_DATA (USART + 0x28u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_IOPENR) |= 1u << PORT;
  REGISTER(USART_ENABLE) |= USART_ON;
  (void)REGISTER(USART_ENABLE); /* the clocks take a while */
  const uint32_t prescaler = PRESCALER;
  const uint32_t hz = board_clock_hz() >> (prescaler < 4u ? 0u : prescaler - 3u);
  REGISTER(USART_BRR) = (hz + SERIAL_BAUD / 2u) / SERIAL_BAUD;
  REGISTER(USART_CR1) = 9u; /* UE, TE */
  REGISTER(GPIO_AFR) = (REGISTER(GPIO_AFR) & ~(15u << PLACE)) | 1u << PLACE;
  REGISTER(GPIO_MODER) = (REGISTER(GPIO_MODER) & ~(3u << PIN * 2u)) | 2u << PIN * 2u;
}

AT_BOARD(selftest_put) __attribute__((weak)) void selftest_put(char character) {
  if ((REGISTER(USART_ENABLE) & USART_ON) == 0) {
    start_serial();
  }
  (void)came(USART_STATUS, CAN_TAKE, CAN_TAKE);
  REGISTER(USART_DATA) = (uint8_t)character;
}

#endif
