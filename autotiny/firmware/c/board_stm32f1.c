/* STM32F101 to F103: the clock of the core by PLL, from a crystal or from the internal HSI.
 *
 * Registers: RM0008 section 7.3 (RCC), PM0075 section 3.1 (FLASH_ACR).
 * Settings: source, hse or hsi; oscillator_hz and bypass of the former; pll_m, 1 or 2, and pll_n.
 * The HSI reaches the PLL as 4 MHz, so 64 MHz are the most without a crystal. */
#include "board.h"

#define HSI_HZ 8000000u
#define HSI_INPUT_HZ 4000000u
#if CLOCK_SOURCE_HSE
#define INPUT_HZ (CLOCK_OSCILLATOR_HZ / CLOCK_PLL_M)
#else
#define INPUT_HZ HSI_INPUT_HZ
#endif

#if INPUT_HZ * CLOCK_PLL_N != CLOCK_HZ
#error "oscillator_hz ÷ pll_m × pll_n is not clock_hz (hsi: 4 MHz × pll_n)"
#endif
#if CLOCK_PLL_N < 2 || CLOCK_PLL_N > 16 || CLOCK_HZ < 16000000 || CLOCK_HZ > 72000000
#error "pll_n must be from 2 to 16, clock_hz from 16 to 72 MHz"
#endif
#if CLOCK_SOURCE_HSE && (CLOCK_PLL_M < 1 || CLOCK_PLL_M > 2 || CLOCK_OSCILLATOR_HZ < 4000000 || \
    CLOCK_OSCILLATOR_HZ > 25000000)
#error "pll_m must be 1 or 2, oscillator_hz from 4 to 25 MHz"
#endif

/* From the HSI: the stated clock, or the next that its PLL reaches below it. */
#if CLOCK_HZ / HSI_INPUT_HZ < 16
#define HSI_N (CLOCK_HZ / HSI_INPUT_HZ)
#else
#define HSI_N 16u
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021004u
#define FLASH_ACR 0x40022000u

#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSE (1u << 16)
#define BY_PLL 2u

enum { TURNS = 0x10000 };

/* Whether a register's bits came to a value, within some 50 ms of the reset clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t mask, uint32_t value) {
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    if ((REGISTER(address) & mask) == value) {
      return 1;
    }
  }
  return 0;
}

AT_BOARD(set_clock) static void set_clock(void) {
  /* One wait state for each 24 MHz begun beyond the first, with the prefetch buffer. */
  REGISTER(FLASH_ACR) = 1u << 4 | (CLOCK_HZ - 1u) / 24000000u;
  uint32_t buses = 4u << 8 | 2u << 14; /* APB1: ÷ 2, at most 36 MHz; ADC: APB2 ÷ 6 */
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    buses |= PLL_BY_HSE | (CLOCK_PLL_M - 1u) << 17 | (CLOCK_PLL_N - 2u) << 18;
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
    buses |= (HSI_N - 2u) << 18;
  }
#else
  buses |= (HSI_N - 2u) << 18;
#endif
  REGISTER(RCC_CFGR) = buses;
  REGISTER(RCC_CR) |= PLL_ON;
  if (came(RCC_CR, PLL_READY, PLL_READY)) {
    REGISTER(RCC_CFGR) = buses | BY_PLL;
    (void)came(RCC_CFGR, 3u << 2, BY_PLL << 2);
  }
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  const uint32_t now = REGISTER(RCC_CFGR);
  if ((now >> 2 & 3u) != BY_PLL) {
    return HSI_HZ;
  }
  return ((now & PLL_BY_HSE) != 0 ? INPUT_HZ : HSI_INPUT_HZ) * ((now >> 18 & 15u) + 2u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APB1ENR
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_CFGR) >> 8 & 7u)
#elif SERIAL_TX_PIN_PA9
#define PIN 9u
#define USART 0x40013800u /* USART1 */
#define USART_ENABLE RCC_APB2ENR
#define USART_ON (1u << 14)
#define PRESCALER (REGISTER(RCC_CFGR) >> 11 & 7u)
#else
#error "tx_pin must be pa2 or pa9"
#endif

#define RCC_APB2ENR 0x40021018u
#define RCC_APB1ENR 0x4002101Cu
#define GPIO_MODE (0x40010800u + PIN / 8u * 4u) /* GPIOA_CRL, GPIOA_CRH */
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x0Cu)
#define USART_BRR (USART + 0x08u)
#define USART_STATUS (USART + 0x00u)
#define USART_DATA (USART + 0x04u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_APB2ENR) |= 1u << 2; /* port A */
  REGISTER(USART_ENABLE) |= USART_ON;
  (void)REGISTER(USART_ENABLE); /* the clocks take a while */
  const uint32_t prescaler = PRESCALER;
  const uint32_t hz = board_clock_hz() >> (prescaler < 4u ? 0u : prescaler - 3u);
  REGISTER(USART_BRR) = (hz + SERIAL_BAUD / 2u) / SERIAL_BAUD;
  REGISTER(USART_CR1) = 1u << 13 | 1u << 3; /* UE, TE */
  /* By its alternate function, push-pull. */
  REGISTER(GPIO_MODE) = (REGISTER(GPIO_MODE) & ~(15u << PLACE)) | 10u << PLACE;
}

AT_BOARD(selftest_put) __attribute__((weak)) void selftest_put(char character) {
  if ((REGISTER(USART_ENABLE) & USART_ON) == 0) {
    start_serial();
  }
  (void)came(USART_STATUS, CAN_TAKE, CAN_TAKE);
  REGISTER(USART_DATA) = (uint8_t)character;
}

#endif
