/* STM32F745 to F756: the clock of the core by PLL, from the internal HSI or from a crystal.
 *
 * Registers: RM0385 sections 5.3 (RCC), 4.4 (PWR), 3.7 (FLASH).
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
#if (CLOCK_PLL_P != 2 && CLOCK_PLL_P != 4 && CLOCK_PLL_P != 6 && CLOCK_PLL_P != 8) || \
    CLOCK_HZ > 216000000
#error "pll_p must be 2, 4, 6 or 8, clock_hz at most 216 MHz"
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
#define PWR_CR1 0x40007000u
#define PWR_CSR1 0x40007004u
#define FLASH_ACR 0x40023C00u

#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSE (1u << 22)
#define VOLTAGE_READY (1u << 14)
#define OVERDRIVE (1u << 16)
#define OVERDRIVE_SWITCHED (1u << 17)
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
  REGISTER(PWR_CR1) |= 3u << 14; /* VOS: scale 1 */
  /* At 2.7 to 3.6 V one wait state for each 30 MHz begun beyond the first. The ART accelerator and
   * its prefetch serve only what is linked to the flash's ITCM address: they stay off. */
  const uint32_t wait_states = (CLOCK_HZ - 1u) / 30000000u;
  REGISTER(FLASH_ACR) = wait_states;
  if (!came(FLASH_ACR, 15u, wait_states)) {
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
#if CLOCK_HZ > 180000000
  REGISTER(PWR_CR1) |= OVERDRIVE;
  if (!came(PWR_CSR1, OVERDRIVE, OVERDRIVE)) {
    return;
  }
  REGISTER(PWR_CR1) |= OVERDRIVE_SWITCHED;
  if (!came(PWR_CSR1, OVERDRIVE_SWITCHED, OVERDRIVE_SWITCHED)) {
    return;
  }
#endif
  REGISTER(RCC_CFGR) = 5u << 10 | 4u << 13; /* APB1: ÷ 4, at most 54 MHz; APB2: ÷ 2, at most 108 */
  if (came(RCC_CR, PLL_READY, PLL_READY) && came(PWR_CSR1, VOLTAGE_READY, VOLTAGE_READY)) {
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
  uint32_t oscillator = HSI_HZ;
  if ((pll & PLL_BY_HSE) != 0) {
    oscillator = OSCILLATOR_HZ;
  }
  return oscillator / (pll & 63u) * (pll >> 6 & 511u) / (2u * (pll >> 16 & 3u) + 2u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PORT 0u
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APB1ENR
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_CFGR) >> 10 & 7u)
#elif SERIAL_TX_PIN_PA9
#define PORT 0u
#define PIN 9u
#define USART 0x40011000u /* USART1 */
#define USART_ENABLE RCC_APB2ENR
#define USART_ON (1u << 4)
#define PRESCALER (REGISTER(RCC_CFGR) >> 13 & 7u)
#elif SERIAL_TX_PIN_PD8
#define PORT 3u
#define PIN 8u
#define USART 0x40004800u /* USART3 */
#define USART_ENABLE RCC_APB1ENR
#define USART_ON (1u << 18)
#define PRESCALER (REGISTER(RCC_CFGR) >> 10 & 7u)
#else
#error "tx_pin must be pa2, pa9 or pd8"
#endif

#define RCC_AHB1ENR 0x40023830u
#define RCC_APB2ENR 0x40023844u
#define GPIO_MODER (0x40020000u + 0x400u * PORT)
#define GPIO_AFR (GPIO_MODER + 0x20u + PIN / 8u * 4u)
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x00u)
#define USART_BRR (USART + 0x0Cu)
#define USART_STATUS (USART + 0x1Cu)
#define USART_DATA (USART + 0x28u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_AHB1ENR) |= 1u << PORT;
  REGISTER(USART_ENABLE) |= USART_ON;
  (void)REGISTER(USART_ENABLE); /* the clocks take a while */
  const uint32_t prescaler = PRESCALER;
  const uint32_t hz = board_clock_hz() >> (prescaler < 4u ? 0u : prescaler - 3u);
  REGISTER(USART_BRR) = (hz + SERIAL_BAUD / 2u) / SERIAL_BAUD;
  REGISTER(USART_CR1) = 9u; /* UE, TE */
  REGISTER(GPIO_AFR) = (REGISTER(GPIO_AFR) & ~(15u << PLACE)) | 7u << PLACE;
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
