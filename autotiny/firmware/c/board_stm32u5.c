/* STM32U575 and U585: the clock of the core by PLL1, from the internal HSI16 or from a crystal.
 *
 * Registers: RM0456 sections 11.8 (RCC), 10.10 (PWR), 7.9 (FLASH), 8.7 (ICACHE). Voltage range 1, with
 * the booster, whose clock is that of the PLL's source.
 * Settings: source, hsi or hse; oscillator_hz and bypass of the latter; pll_m, pll_n, pll_r. The core
 * is supplied by the LDO, as reset has it; with supply = "smps" by the step-down converter, which only
 * packages with its pins have, and only where the board has its coil. */
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

#if VCO_HZ / CLOCK_PLL_R != CLOCK_HZ || CLOCK_HZ > 160000000
#error "oscillator ÷ pll_m × pll_n ÷ pll_r is not clock_hz, of at most 160 MHz"
#endif
#if INPUT_HZ < 4000000 || INPUT_HZ > 16000000 || VCO_HZ < 128000000 || VCO_HZ > 544000000
#error "oscillator ÷ pll_m must be from 4 to 16 MHz, times pll_n from 128 to 544 MHz"
#endif
#if CLOCK_PLL_M < 1 || CLOCK_PLL_M > 16 || CLOCK_PLL_N < 4 || CLOCK_PLL_N > 512 || \
    CLOCK_PLL_R > 128 || CLOCK_PLL_R % 2 != 0
#error "pll_m must be from 1 to 16, pll_n from 4 to 512, pll_r even and at most 128"
#endif

/* From the HSI where the crystal does not start: the same clock, or the next below it. */
#define HSI_M ((HSI_HZ + INPUT_HZ - 1u) / INPUT_HZ)
/* Of the PLL's input: 8 to 16 MHz or 4 to 8. */
#define RANGE(hz) ((hz) >= 8000000u ? 3u << 2 : 0u)
/* Of the booster: the source ÷ 1, 2 or 4, at most 16 MHz. */
#define BOOST(hz) (((hz) > 16000000u) + ((hz) > 32000000u))

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x46020C00u
#define RCC_CFGR1 0x46020C1Cu
#define RCC_PLL1CFGR 0x46020C28u
#define RCC_PLL1DIVR 0x46020C34u
#define RCC_AHB3ENR 0x46020C94u
#define PWR_CR3 0x46020808u
#define PWR_VOSR 0x4602080Cu
#define PWR_SVMSR 0x4602083Cu
#define FLASH_ACR 0x40022000u
#define ICACHE_CR 0x40030400u
#define ICACHE_SR 0x40030404u

#define BOOST_READY (1u << 14)
#define VOLTAGE_READY (1u << 15)
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

enum { TURNS = 0x10000 };

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
  if (came(ICACHE_SR, 1u, 0)) { /* it empties itself after reset */
    REGISTER(ICACHE_CR) |= 1u;
  }
  REGISTER(RCC_AHB3ENR) |= 1u << 2; /* PWREN; reading it back gives the clock time to come */
  (void)REGISTER(RCC_AHB3ENR);
#if CLOCK_SUPPLY_SMPS
  REGISTER(PWR_CR3) |= 1u << 1; /* REGSEL */
  (void)came(PWR_SVMSR, 1u << 1, 1u << 1);
#endif
  REGISTER(PWR_VOSR) = 3u << 16; /* VOS: range 1, before a crystal of more than 25 MHz starts */
  if (!came(PWR_VOSR, VOLTAGE_READY, VOLTAGE_READY)) {
    return;
  }
  uint32_t pll = 0;
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    pll = PLL_BY_HSE | RANGE(INPUT_HZ) | (CLOCK_PLL_M - 1u) << 8 | BOOST(OSCILLATOR_HZ) << 12;
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
  }
#endif
  if (pll == 0) { /* no crystal */
    pll = PLL_BY_HSI | RANGE(HSI_HZ / HSI_M) | (HSI_M - 1u) << 8;
    REGISTER(RCC_CR) |= HSI_ON;
    if (!came(RCC_CR, HSI_READY, HSI_READY)) {
      return;
    }
  }
  REGISTER(RCC_PLL1CFGR) = pll;
  REGISTER(RCC_PLL1DIVR) =
      (CLOCK_PLL_N - 1u) | 1u << 9 | 1u << 16 | (CLOCK_PLL_R - 1u) << 24; /* P, Q: as after reset */
  REGISTER(PWR_VOSR) = 3u << 16 | 1u << 18; /* BOOSTEN */
  if (!came(PWR_VOSR, BOOST_READY, BOOST_READY)) {
    return;
  }
  /* In range 1 one wait state for each 32 MHz begun beyond the first; prefetch. */
  const uint32_t wait_states = (CLOCK_HZ - 1u) / 32000000u;
  REGISTER(FLASH_ACR) = 1u << 8 | wait_states;
  if (!came(FLASH_ACR, 15u, wait_states)) {
    return;
  }
  REGISTER(RCC_CR) |= PLL_ON;
  if (came(RCC_CR, PLL_READY, PLL_READY)) {
    REGISTER(RCC_PLL1CFGR) = pll | 1u << 18; /* PLL1REN: the output for the core */
    REGISTER(RCC_CFGR1) = BY_PLL;            /* buses: ÷ 1, as after reset */
    (void)came(RCC_CFGR1, 3u << 2, BY_PLL << 2);
  }
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(RCC_CFGR1) >> 2 & 3u) != BY_PLL) {
    return MSI_HZ;
  }
  const uint32_t pll = REGISTER(RCC_PLL1CFGR);
  const uint32_t factors = REGISTER(RCC_PLL1DIVR);
  uint32_t oscillator = HSI_HZ;
  if ((pll & 3u) == PLL_BY_HSE) {
    oscillator = OSCILLATOR_HZ;
  }
  return oscillator / ((pll >> 8 & 15u) + 1u) * ((factors & 511u) + 1u) / ((factors >> 24 & 127u) + 1u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PORT 0u
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APB1ENR1
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_CFGR2) >> 4 & 7u)
#elif SERIAL_TX_PIN_PA9
#define PORT 0u
#define PIN 9u
#define USART 0x40013800u /* USART1 */
#define USART_ENABLE RCC_APB2ENR
#define USART_ON (1u << 14)
#define PRESCALER (REGISTER(RCC_CFGR2) >> 8 & 7u)
#elif SERIAL_TX_PIN_PD8
#define PORT 3u
#define PIN 8u
#define USART 0x40004800u /* USART3 */
#define USART_ENABLE RCC_APB1ENR1
#define USART_ON (1u << 18)
#define PRESCALER (REGISTER(RCC_CFGR2) >> 4 & 7u)
#else
#error "tx_pin must be pa2, pa9 or pd8"
#endif

#define RCC_AHB2ENR1 0x46020C8Cu
#define RCC_CFGR2 0x46020C20u
#define RCC_APB1ENR1 0x46020C9Cu
#define RCC_APB2ENR 0x46020CA4u
#define GPIO_MODER (0x42020000u + 0x400u * PORT)
#define GPIO_AFR (GPIO_MODER + 0x20u + PIN / 8u * 4u)
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x00u)
#define USART_BRR (USART + 0x0Cu)
#define USART_STATUS (USART + 0x1Cu)
#define USART_DATA (USART + 0x28u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_AHB2ENR1) |= 1u << PORT;
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
