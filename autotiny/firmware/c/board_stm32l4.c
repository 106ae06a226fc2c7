/* STM32L4R5 to L4S9: the clock of the core by PLL, from the internal HSI16 or from a crystal.
 *
 * Registers: RM0432 sections 6.4 (RCC), 5.4 (PWR), 3.7 (FLASH). The voltage stays in range 1, as
 * reset has it, boosted beyond 80 MHz.
 * Settings: source, hsi or hse; oscillator_hz and bypass of the latter; pll_m, pll_n, pll_r. */
#include "board.h"

#define HSI_HZ 16000000u
#define MSI_HZ 4000000u /* the clock after reset */
#if CLOCK_SOURCE_HSE
#define OSCILLATOR_HZ CLOCK_OSCILLATOR_HZ
#else
#define OSCILLATOR_HZ HSI_HZ
#endif
#define INPUT_HZ (OSCILLATOR_HZ / CLOCK_PLL_M)
#define VCO_HZ (INPUT_HZ * CLOCK_PLL_N)

#if VCO_HZ / CLOCK_PLL_R != CLOCK_HZ || CLOCK_HZ > 120000000
#error "oscillator ÷ pll_m × pll_n ÷ pll_r is not clock_hz, of at most 120 MHz"
#endif
#if INPUT_HZ < 2660000 || INPUT_HZ > 16000000 || VCO_HZ < 64000000 || VCO_HZ > 344000000
#error "oscillator ÷ pll_m must be from 2.66 to 16 MHz, times pll_n from 64 to 344 MHz"
#endif
#if CLOCK_PLL_M < 1 || CLOCK_PLL_M > 16 || CLOCK_PLL_N < 8 || CLOCK_PLL_N > 127 || \
    (CLOCK_PLL_R != 2 && CLOCK_PLL_R != 4 && CLOCK_PLL_R != 6 && CLOCK_PLL_R != 8)
#error "pll_m must be from 1 to 16, pll_n from 8 to 127, pll_r 2, 4, 6 or 8"
#endif

/* From the HSI where the crystal does not start: the same clock, or the next below it. */
#define HSI_M ((HSI_HZ + INPUT_HZ - 1u) / INPUT_HZ)

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021008u
#define RCC_PLLCFGR 0x4002100Cu
#define RCC_APB1ENR1 0x40021058u
#define PWR_CR5 0x40007080u
#define FLASH_ACR 0x40022000u

#define HSI_ON (1u << 8)
#define HSI_READY (1u << 10)
#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSI 2u
#define PLL_BY_HSE 3u
#define BY_PLL 3u

enum { TURNS = 0x10000, MICROSECOND = 128 };

/* Whether a register's bits came to a value, within some 100 ms of the reset clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t mask, uint32_t value) {
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    if ((REGISTER(address) & mask) == value) {
      return 1;
    }
  }
  return 0;
}

AT_BOARD(set_clock) static void set_clock(void) {
#if CLOCK_HZ > 80000000
  REGISTER(RCC_APB1ENR1) |= 1u << 28; /* PWREN; reading it back gives the clock time to come */
  (void)REGISTER(RCC_APB1ENR1);
  REGISTER(PWR_CR5) &= ~(1u << 8); /* R1MODE: boosted */
#endif
  /* In range 1 one wait state for each 20 MHz begun beyond the first; prefetch and caches. */
  const uint32_t wait_states = (CLOCK_HZ - 1u) / 20000000u;
  REGISTER(FLASH_ACR) = (REGISTER(FLASH_ACR) & ~15u) | 7u << 8 | wait_states;
  if (!came(FLASH_ACR, 15u, wait_states)) {
    return;
  }
  uint32_t pll = CLOCK_PLL_N << 8 | (CLOCK_PLL_R / 2u - 1u) << 25;
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    pll |= PLL_BY_HSE | (CLOCK_PLL_M - 1u) << 4;
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
  }
#endif
  if ((pll & 3u) == 0) { /* no crystal */
    pll |= PLL_BY_HSI | (HSI_M - 1u) << 4;
    REGISTER(RCC_CR) |= HSI_ON;
    if (!came(RCC_CR, HSI_READY, HSI_READY)) {
      return;
    }
  }
  REGISTER(RCC_PLLCFGR) = pll;
  REGISTER(RCC_CR) |= PLL_ON;
  if (came(RCC_CR, PLL_READY, PLL_READY)) {
    REGISTER(RCC_PLLCFGR) = pll | 1u << 24; /* PLLREN: the output for the core */
    /* To more than 80 MHz by way of half of it, for a microsecond at least. Buses: ÷ 1. */
    REGISTER(RCC_CFGR) = 8u << 4;
    REGISTER(RCC_CFGR) |= BY_PLL;
    (void)came(RCC_CFGR, 3u << 2, BY_PLL << 2);
    for (uint32_t turn = 0; turn < MICROSECOND; turn++) {
      __asm volatile("" ::: "memory");
    }
    REGISTER(RCC_CFGR) = BY_PLL;
  }
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(RCC_CFGR) >> 2 & 3u) != BY_PLL) {
    return MSI_HZ;
  }
  const uint32_t pll = REGISTER(RCC_PLLCFGR);
  uint32_t oscillator = HSI_HZ;
  if ((pll & 3u) == PLL_BY_HSE) {
    oscillator = OSCILLATOR_HZ;
  }
  return oscillator / ((pll >> 4 & 15u) + 1u) * (pll >> 8 & 127u) / (2u * (pll >> 25 & 3u) + 2u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PORT 0u
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APB1ENR1
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_CFGR) >> 8 & 7u)
#define ALTERNATE 7u
#elif SERIAL_TX_PIN_PA9
#define PORT 0u
#define PIN 9u
#define USART 0x40013800u /* USART1 */
#define USART_ENABLE RCC_APB2ENR
#define USART_ON (1u << 14)
#define PRESCALER (REGISTER(RCC_CFGR) >> 11 & 7u)
#define ALTERNATE 7u
#elif SERIAL_TX_PIN_PD8
#define PORT 3u
#define PIN 8u
#define USART 0x40004800u /* USART3 */
#define USART_ENABLE RCC_APB1ENR1
#define USART_ON (1u << 18)
#define PRESCALER (REGISTER(RCC_CFGR) >> 8 & 7u)
#define ALTERNATE 7u
#elif SERIAL_TX_PIN_PG7
#define PORT 6u
#define PIN 7u
#define USART 0x40008000u /* LPUART1 */
#define USART_ENABLE RCC_APB1ENR2
#define USART_ON (1u << 0)
#define PRESCALER (REGISTER(RCC_CFGR) >> 8 & 7u)
#define ALTERNATE 8u
#else
#error "tx_pin must be pa2, pa9, pd8 or pg7"
#endif

#define RCC_AHB2ENR 0x4002104Cu
#define RCC_APB1ENR2 0x4002105Cu
#define RCC_APB2ENR 0x40021060u
#define PWR_CR2 0x40007004u
#define GPIO_MODER (0x48000000u + 0x400u * PORT)
#define GPIO_AFR (GPIO_MODER + 0x20u + PIN / 8u * 4u)
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x00u)
#define USART_BRR (USART + 0x0Cu)
#define USART_STATUS (USART + 0x1Cu)
#define USART_DATA (USART + 0x28u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_AHB2ENR) |= 1u << PORT;
  REGISTER(USART_ENABLE) |= USART_ON;
  (void)REGISTER(USART_ENABLE); /* the clocks take a while */
#if SERIAL_TX_PIN_PG7
  REGISTER(RCC_APB1ENR1) |= 1u << 28; /* PWREN */
  (void)REGISTER(RCC_APB1ENR1);
  REGISTER(PWR_CR2) |= 1u << 9; /* IOSV: VDDIO2 supplies port G */
#endif
  const uint32_t prescaler = PRESCALER;
  const uint32_t hz = board_clock_hz() >> (prescaler < 4u ? 0u : prescaler - 3u);
#if SERIAL_TX_PIN_PG7
  REGISTER(USART_BRR) = (hz / SERIAL_BAUD) << 8 | ((hz % SERIAL_BAUD) << 8) / SERIAL_BAUD;
#else
  REGISTER(USART_BRR) = (hz + SERIAL_BAUD / 2u) / SERIAL_BAUD;
#endif
  REGISTER(USART_CR1) = 9u; /* UE, TE */
  REGISTER(GPIO_AFR) = (REGISTER(GPIO_AFR) & ~(15u << PLACE)) | ALTERNATE << PLACE;
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
