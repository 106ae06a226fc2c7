/* STM32H743 and H753, STM32H7A3 and H7B3: the clock of the core by PLL1, from the internal HSI or
 * from a crystal.
 *
 * Registers: RM0433 and RM0455, the sections of the registers of RCC, PWR, SYSCFG and FLASH.
 * Settings: silicon, h743 or h7a3; source, hsi or hse; oscillator_hz and bypass of the latter; pll_m,
 * pll_n, pll_p; of an h7a3, supply, ldo or smps.
 *
 * What supplies the core can be said once after power-on, and only then the voltage can be raised. An
 * H743 has but the LDO. On an H7A3 what reset has is written back, which is the LDO too, unless the
 * part has a step-down converter (a Q at the end of its name): that needs the `supply` its board is
 * wired for. The wrong one can stop the part until it is powered up anew with BOOT0 high. */
#include "board.h"

#define HSI_HZ 64000000u
#if CLOCK_SOURCE_HSE
#define OSCILLATOR_HZ CLOCK_OSCILLATOR_HZ
#else
#define OSCILLATOR_HZ HSI_HZ
#endif
#define INPUT_HZ (OSCILLATOR_HZ / CLOCK_PLL_M)
#define VCO_HZ (INPUT_HZ * CLOCK_PLL_N)

#if CLOCK_SILICON_H743
#define MOST_HZ 480000000u
#define MOST_VCO_HZ 960000000u
#define LEAST_VCO_HZ 192000000u
#elif CLOCK_SILICON_H7A3
#define MOST_HZ 280000000u
#define MOST_VCO_HZ 560000000u
#define LEAST_VCO_HZ 128000000u
#else
#error "silicon must be h743 or h7a3"
#endif
#if VCO_HZ / CLOCK_PLL_P != CLOCK_HZ || CLOCK_HZ > MOST_HZ
#error "oscillator ÷ pll_m × pll_n ÷ pll_p is not clock_hz, of at most 480 MHz (h7a3: 280)"
#endif
#if INPUT_HZ <= 2000000 || INPUT_HZ > 16000000 || VCO_HZ < LEAST_VCO_HZ || VCO_HZ > MOST_VCO_HZ
#error "oscillator ÷ pll_m must be from 2 to 16 MHz, × pll_n from 192 to 960 (h7a3: 128 to 560)"
#endif
#if CLOCK_PLL_M < 1 || CLOCK_PLL_M > 63 || CLOCK_PLL_N < 4 || CLOCK_PLL_N > 512 || \
    CLOCK_PLL_P > 128 || CLOCK_PLL_P % 2 != 0
#error "pll_m must be from 1 to 63, pll_n from 4 to 512, pll_p even and at most 128"
#endif

/* From the HSI where the crystal does not start: the same clock, or the next below it. */
#define HSI_M ((HSI_HZ + INPUT_HZ - 1u) / INPUT_HZ)
/* Of the PLL's input: 8 to 16 MHz, 4 to 8 or 2 to 4. */
#define RANGE(hz) ((hz) >= 8000000u ? 3u : (hz) >= 4000000u ? 2u : 1u)

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CR 0x58024400u
#define RCC_CFGR 0x58024410u
#define RCC_D1CFGR 0x58024418u /* of an H7A3: CDCFGR1, CDCFGR2, SRDCFGR */
#define RCC_D2CFGR 0x5802441Cu
#define RCC_D3CFGR 0x58024420u
#define RCC_PLLCKSELR 0x58024428u
#define RCC_PLLCFGR 0x5802442Cu
#define RCC_PLL1DIVR 0x58024430u
#define RCC_APB4ENR 0x580244F4u
#define PWR_CSR1 0x58024804u
#define PWR_CR3 0x5802480Cu
#define PWR_D3CR 0x58024818u /* of an H7A3: SRDCR */
#define SYSCFG_PWRCR 0x5800042Cu
#define FLASH_ACR 0x52002000u
#define DBGMCU_IDC 0x5C001000u

#define HSE_ON (1u << 16)
#define HSE_BYPASS (1u << 18)
#define HSE_READY (1u << 17)
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define PLL_BY_HSE 2u
#define BY_PLL 3u
#define VOLTAGE_READY (1u << 13)

enum { TURNS = 0x10000, REVISION_V = 0x2003 };

/* Whether a register's bits came to a value, within some 10 ms of the reset clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t mask, uint32_t value) {
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    if ((REGISTER(address) & mask) == value) {
      return 1;
    }
  }
  return 0;
}

/* The factor of the PLL that the voltage allows; 0 if there is none. */
AT_BOARD(raise_voltage) static uint32_t raise_voltage(void) {
#if CLOCK_SILICON_H743 || CLOCK_SUPPLY_LDO
  REGISTER(PWR_CR3) = (REGISTER(PWR_CR3) & ~7u) | 2u; /* LDOEN */
#elif CLOCK_SUPPLY_SMPS
  REGISTER(PWR_CR3) = (REGISTER(PWR_CR3) & ~7u) | 4u; /* SMPSEN */
#else
  REGISTER(PWR_CR3) = REGISTER(PWR_CR3);
#endif
  if (!came(PWR_CSR1, VOLTAGE_READY, VOLTAGE_READY)) {
    return 0;
  }
  REGISTER(PWR_D3CR) = 3u << 14; /* VOS: scale 1 of an H743, scale 0 of an H7A3 */
  if (!came(PWR_D3CR, VOLTAGE_READY, VOLTAGE_READY)) {
    return 0;
  }
#if CLOCK_SILICON_H743 && CLOCK_HZ > 400000000
  /* Scale 0 is scale 1 with over-drive. Silicon before revision V has none: 400 MHz. */
  if (REGISTER(DBGMCU_IDC) >> 16 < REVISION_V) {
    return CLOCK_PLL_N * 400u / (CLOCK_HZ / 1000000u);
  }
  REGISTER(RCC_APB4ENR) |= 1u << 1; /* SYSCFGEN; reading it back gives the clock time to come */
  (void)REGISTER(RCC_APB4ENR);
  REGISTER(SYSCFG_PWRCR) |= 1u; /* ODEN */
  if (!came(PWR_D3CR, VOLTAGE_READY, VOLTAGE_READY)) {
    return 0;
  }
#endif
  return CLOCK_PLL_N;
}

AT_BOARD(set_clock) static void set_clock(void) {
  const uint32_t factor = raise_voltage();
  if (factor == 0) {
    return;
  }
  /* Of the AXI bus, one wait state for each 42 MHz begun beyond the first at scale 0 of an H7A3; four
   * to 240 MHz at scale 0 of an H743. WRHIGHFREQ, for programming: the longest of that scale. */
#if CLOCK_SILICON_H743
  const uint32_t wait_states = 4;
  REGISTER(FLASH_ACR) = 2u << 4 | wait_states;
#else
  const uint32_t wait_states = (CLOCK_HZ - 1u) / 42000000u;
  REGISTER(FLASH_ACR) = 3u << 4 | wait_states;
#endif
  if (!came(FLASH_ACR, 15u, wait_states)) {
    return;
  }
  uint32_t divider = HSI_M << 4;
  uint32_t range = RANGE(HSI_HZ / HSI_M);
#if CLOCK_SOURCE_HSE
#if CLOCK_BYPASS
  REGISTER(RCC_CR) |= HSE_BYPASS;
#endif
  REGISTER(RCC_CR) |= HSE_ON;
  if (came(RCC_CR, HSE_READY, HSE_READY)) {
    divider = CLOCK_PLL_M << 4 | PLL_BY_HSE;
    range = RANGE(INPUT_HZ);
  } else {
    REGISTER(RCC_CR) &= ~(HSE_ON | HSE_BYPASS);
  }
#endif
  REGISTER(RCC_PLLCKSELR) = (REGISTER(RCC_PLLCKSELR) & ~0x3F3u) | divider;
  /* Of PLL1 only the output for the core, its VCO in the wide range. */
  REGISTER(RCC_PLLCFGR) = (REGISTER(RCC_PLLCFGR) & ~0x7000Fu) | range << 2 | 1u << 16;
  REGISTER(RCC_PLL1DIVR) = (factor - 1u) | (CLOCK_PLL_P - 1u) << 9 | 1u << 16 | 1u << 24;
  REGISTER(RCC_CR) |= PLL_ON;
  if (!came(RCC_CR, PLL_READY, PLL_READY)) {
    return;
  }
  /* APB: ÷ 2, at most 120 MHz (H7A3: 140). AXI, AHB of an H743: ÷ 2, at most 240 MHz. */
#if CLOCK_SILICON_H743
  REGISTER(RCC_D1CFGR) = 4u << 4 | 8u;
#else
  REGISTER(RCC_D1CFGR) = 4u << 4;
#endif
  REGISTER(RCC_D2CFGR) = 4u << 4 | 4u << 8;
  REGISTER(RCC_D3CFGR) = 4u << 4;
  REGISTER(RCC_CFGR) = BY_PLL;
  (void)came(RCC_CFGR, 7u << 3, BY_PLL << 3);
}

AT_BOARD(board_start) void board_start(void) {
  set_clock();
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  if ((REGISTER(RCC_CFGR) >> 3 & 7u) != BY_PLL) {
    return HSI_HZ;
  }
  const uint32_t source = REGISTER(RCC_PLLCKSELR);
  const uint32_t factors = REGISTER(RCC_PLL1DIVR);
  uint32_t oscillator = HSI_HZ;
  if ((source & 3u) == PLL_BY_HSE) {
    oscillator = OSCILLATOR_HZ;
  }
  return oscillator / (source >> 4 & 63u) * ((factors & 511u) + 1u) / ((factors >> 9 & 127u) + 1u);
}

/* ---- The serial port of a selftest: tx_pin, which decides the USART, and baud ---- */

#if defined(SERIAL_BAUD)

#if SERIAL_TX_PIN_PA2
#define PORT 0u
#define PIN 2u
#define USART 0x40004400u /* USART2 */
#define USART_ENABLE RCC_APB1LENR
#define USART_ON (1u << 17)
#define PRESCALER (REGISTER(RCC_D2CFGR) >> 4 & 7u)
#elif SERIAL_TX_PIN_PA9
#define PORT 0u
#define PIN 9u
#define USART 0x40011000u /* USART1 */
#define USART_ENABLE RCC_APB2ENR
#define USART_ON (1u << 4)
#define PRESCALER (REGISTER(RCC_D2CFGR) >> 8 & 7u)
#elif SERIAL_TX_PIN_PD8
#define PORT 3u
#define PIN 8u
#define USART 0x40004800u /* USART3 */
#define USART_ENABLE RCC_APB1LENR
#define USART_ON (1u << 18)
#define PRESCALER (REGISTER(RCC_D2CFGR) >> 4 & 7u)
#else
#error "tx_pin must be pa2, pa9 or pd8"
#endif

#define RCC_AHB4ENR 0x580244E0u
#define RCC_APB1LENR 0x580244E8u
#define RCC_APB2ENR 0x580244F0u
#define GPIO_MODER (0x58020000u + 0x400u * PORT)
#define GPIO_AFR (GPIO_MODER + 0x20u + PIN / 8u * 4u)
#define PLACE (PIN % 8u * 4u)
#define USART_CR1 (USART + 0x00u)
#define USART_BRR (USART + 0x0Cu)
#define USART_STATUS (USART + 0x1Cu)
#define USART_DATA (USART + 0x28u)
#define CAN_TAKE (1u << 7)

AT_BOARD(start_serial) static void start_serial(void) {
  REGISTER(RCC_AHB4ENR) |= 1u << PORT;
  REGISTER(USART_ENABLE) |= USART_ON;
  (void)REGISTER(USART_ENABLE); /* the clocks take a while */
  const uint32_t bus = board_clock_hz() >> (REGISTER(RCC_D1CFGR) >> 3 & 1u); /* AHB: ÷ 1 or 2 */
  const uint32_t prescaler = PRESCALER;
  const uint32_t hz = bus >> (prescaler < 4u ? 0u : prescaler - 3u);
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
