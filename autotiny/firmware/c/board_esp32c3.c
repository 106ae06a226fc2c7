/* An ESP32-C3 as the boot loader of ESP-IDF leaves it: the flash is mapped, SRAM is loaded, and the PLL
 * runs, for 80 MHz; watchdogs count, and would reset a program that does not feed them. Registers:
 * ESP32-C3 TRM chapters 6 (clocks), 12 and 13 (watchdogs) and 1.5 (traps). */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define CPU_PER_CONF 0x600C0008u
#define SYSCLK_CONF 0x600C0058u
#define XTAL_HZ 40000000u
#define RC_FAST_HZ 17500000u
enum { BY_XTAL = 0, BY_PLL = 1, MHZ_160 = 1 };

#define RTC_WDTCONFIG0 0x60008090u
#define RTC_WDTWPROTECT 0x600080A8u
#define RTC_SWD_CONF 0x600080ACu
#define RTC_SWD_WPROTECT 0x600080B0u
#define TIMG0_WDTCONFIG0 0x6001F048u
#define TIMG0_WDTWPROTECT 0x6001F064u
#define WDT_KEY 0x50D83AA1u
#define SWD_KEY 0x8F1D312Au
#define SWD_FEEDS_ITSELF (1u << 31)

#define UART_FIFO 0x60000000u
#define UART_STATUS 0x6000001Cu
#define UART_ROOM 120u
#define USB_FIFO 0x60043000u
#define USB_CONF 0x60043004u
enum { USB_SEND = 1, USB_HAS_ROOM = 2 };
enum { PATIENCE = 100000 };

extern const uint32_t board_description[];
void board_traps(void);

/* What the boot loader reads of a program, ESP-IDF's esp_app_desc_t: its mark; any revision of the chip
 * will do; pages of 2^16 bytes. */
__attribute__((section(".appdesc"), used)) const uint32_t board_description[64] = {
    0xABCD5432u, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0xFFFF0000u, 16u,
};

/* The core jumps into this table, at borders of 256 bytes only; an exception takes its first entry. */
__asm(".section .board.traps,\"ax\",@progbits\n"
      ".option push\n"
      ".option norvc\n"
      ".balign 256\n"
      ".global board_traps\n"
      ".type board_traps, @function\n"
      "board_traps:\n"
      ".rept 32\n"
      "  j Default_Handler\n"
      ".endr\n"
      ".size board_traps, . - board_traps\n"
      ".option pop\n"
      ".text\n");

AT_BOARD(without_watchdogs) static void without_watchdogs(void) {
  REGISTER(RTC_WDTWPROTECT) = WDT_KEY;
  REGISTER(RTC_WDTCONFIG0) = 0;
  REGISTER(RTC_WDTWPROTECT) = 0;
  REGISTER(RTC_SWD_WPROTECT) = SWD_KEY;
  REGISTER(RTC_SWD_CONF) |= SWD_FEEDS_ITSELF;
  REGISTER(RTC_SWD_WPROTECT) = 0;
  REGISTER(TIMG0_WDTWPROTECT) = WDT_KEY;
  REGISTER(TIMG0_WDTCONFIG0) = 0;
  REGISTER(TIMG0_WDTWPROTECT) = 0;
}

/* Where the boot loader has left the PLL off, the part stays at what it has. */
AT_BOARD(board_start) void board_start(void) {
  __asm volatile("csrw mtvec, %0" : : "r"((uintptr_t)board_traps | 1u));
  without_watchdogs();
  if ((REGISTER(SYSCLK_CONF) >> 10 & 3u) == BY_PLL) {
    REGISTER(CPU_PER_CONF) = (REGISTER(CPU_PER_CONF) & ~3u) | MHZ_160;
  }
  SystemInit();
}

AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  const uint32_t chosen = REGISTER(SYSCLK_CONF);
  const uint32_t source = chosen >> 10 & 3u;
  if (source == BY_PLL) {
    return (REGISTER(CPU_PER_CONF) & 3u) == MHZ_160 ? 160000000u : 80000000u;
  }
  return (source == BY_XTAL ? XTAL_HZ : RC_FAST_HZ) / ((chosen & 1023u) + 1u);
}

/* The boot loader has set the UART to 115,200 baud; a board's USB socket often leads to the chip's own
 * serial port, which is not waited for again where once nobody took what it had. */
AT_BOARD(selftest_put) __attribute__((weak)) void selftest_put(char character) {
  for (uint32_t k = 0; k < PATIENCE && (REGISTER(UART_STATUS) >> 16 & 1023u) > UART_ROOM; k++) {
  }
  REGISTER(UART_FIFO) = (uint8_t)character;
  static uint32_t left = PATIENCE;
  while (left != 0 && (REGISTER(USB_CONF) & USB_HAS_ROOM) == 0) {
    left--;
  }
  if (left != 0) {
    left = PATIENCE;
    REGISTER(USB_FIFO) = (uint8_t)character;
    if (character == '\n') {
      REGISTER(USB_CONF) = USB_SEND;
    }
  }
}
