/* Clock of an i.MX RT1060: ARM_PLL, 1200 MHz ÷ 2, from the 24 MHz crystal; and what its boot ROM reads.
 *
 * IMXRT1060RM, chapter CCM: the boot ROM leaves the core on ARM_PLL at 396 MHz. PERIPH_CLK moves to the
 * crystal while the PLL is set (24 MHz × DIV_SELECT ÷ 2) and back once it is locked; CDHIPR says that
 * a divider or multiplexer still changes. AHB may run at 600 MHz, IPG at 150 and PERCLK at 75. Chapter
 * DCDC: VDD_SOC is 0.8 V + 25 mV × TRG; IMXRT1060CEC asks for 1.25 V above 528 MHz. The FlexSPI has a
 * clock of its own, which stays as the boot ROM set it by the block below. FlexRAM stays as after
 * reset. */
#include "board.h"

#if CLOCK_HZ != 12000000u * CLOCK_PLL_DIV_SELECT / CLOCK_ARM_DIVIDE || CLOCK_HZ > 600000000u
#error "12 MHz × pll_div_select ÷ arm_divide is not clock_hz, or is above 600 MHz"
#endif
#if BOOT_BYTES != 0x4000
#error "boot_bytes must be 0x4000: flash configuration and image vector table lie there"
#endif
#if CLOCK_ARM_DIVIDE < 1 || CLOCK_ARM_DIVIDE > 8
#error "arm_divide must be from 1 to 8"
#endif
#if (CLOCK_FLASH_BYTES & (CLOCK_FLASH_BYTES - 1)) != 0 || CLOCK_FLASH_BYTES < 32
#error "flash_bytes must be a power of two: a region of the MPU"
#endif
#if CLOCK_PLL_DIV_SELECT < 54u || CLOCK_PLL_DIV_SELECT > 108u
#error "pll_div_select must be from 54 to 108"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define DCDC_REG0 0x40080000u /* bit 31: the voltage is what was asked for */
#define DCDC_REG3 0x4008000Cu /* bits 0 to 4: TRG */
#define PLL_ARM 0x400D8000u   /* bits 0 to 6: DIV_SELECT */
#define CACRR 0x400FC010u     /* bits 0 to 2: ARM_PODF */
#define CBCDR 0x400FC014u
#define CBCMR 0x400FC018u  /* bits 12 and 13: PERIPH_CLK2_SEL; 18 and 19: PRE_PERIPH_CLK_SEL */
#define CSCMR1 0x400FC01Cu /* bit 6: PERCLK is the crystal */
#define CDHIPR 0x400FC048u
#define CCGR6 0x400FC080u /* bits 6 and 7: the clock of the DCDC's registers */
#define VTOR 0xE000ED08u
#define MPU_CTRL 0xE000ED94u
#define MPU_RBAR 0xE000ED9Cu
#define MPU_RASR 0xE000EDA0u

#define IPG_PODF (3u << 8) /* of CBCDR */
#define AHB_PODF (7u << 10)
#define PERIPH_CLK_SEL (1u << 25) /* the core runs from PERIPH_CLK2, not PRE_PERIPH_CLK */
#define PERIPH_CLK2_PODF (7u << 27)
#define ANY_BUSY (1u << 1 | 1u << 5 | 1u << 16) /* AHB_PODF, PERIPH_CLK_SEL, ARM_PODF */
#define POWERDOWN (1u << 12) /* of PLL_ARM */
#define ENABLE (1u << 13)
#define BYPASS (1u << 16)
#define LOCK (1u << 31)

/* IMXRT1060RM, chapter System Boot: at 0 the FlexSPI NOR configuration block, at 0x1000 the image
 * vector table and the boot data. Of the commands it has the one that reads: 0xEB, six clocks of
 * address by four lines, six of wait (LUT: operation, lines, operand), at 100 MHz, as MIMXRT1060-EVK's
 * flash takes it. The vector table of the core follows behind it all. */
struct boot {
  uint32_t tag, version, reserved_8, sampling;
  uint32_t commands[12];
  uint32_t option, device;
  uint32_t reserved_48[2], size_a1;
  uint32_t sizes_and_pads[11];
  uint32_t read[4], read_status[4], more_sequences[68], reserved_1b0[4];
  uint32_t page_bytes, sector_bytes, ip_clock, reserved_1cc, block_bytes, reserved_1d4[11];
  uint32_t until_ivt[896];
  uint32_t ivt_header;
  const void *entry;
  uint32_t reserved_1008;
  const void *dcd, *boot_data, *self, *csf;
  uint32_t reserved_101c;
  const void *start;
  uint32_t length, plugin;
  uint32_t until_vectors[3061];
};
extern const struct boot autotiny_boot;
__attribute__((section(".boot"), used)) const struct boot autotiny_boot = {
    .tag = 0x42464346u,      /* "FCFB" */
    .version = 0x56010400u,  /* V1.4.0 */
    .sampling = 0x00030301u, /* by the DQS pad; chip select is held and set up for 3 clocks each */
    .option = 1u << 4,       /* commands at a safe frequency */
    .device = 0x00060401u,   /* serial NOR, 4 lines, 100 MHz */
    .size_a1 = CLOCK_FLASH_BYTES,
    .read = {0x0A1804EBu, 0x26043206u},
    .read_status = {0x24040405u},
    .page_bytes = 256,
    .sector_bytes = 4096,
    .ip_clock = 1, /* 30 MHz */
    .block_bytes = 65536,
    .ivt_header = 0x412000D1u, /* tag 0xD1, 32 bytes, version 4.1 */
    .entry = &autotiny_boot + 1,
    .boot_data = &autotiny_boot.start,
    .self = &autotiny_boot.ivt_header,
    .start = &autotiny_boot,
    .length = CLOCK_FLASH_BYTES,
};

/* Whether these bits of a register came to a value within some milliseconds of a slow clock. */
AT_BOARD(came) static int came(uint32_t address, uint32_t bits, uint32_t value) {
  for (uint32_t turn = 0; turn < 100000; turn++) {
    if ((REGISTER(address) & bits) == value) {
      return 1;
    }
  }
  return 0;
}

/* Gives these bits of a register a value. */
AT_BOARD(put) static void put(uint32_t address, uint32_t bits, uint32_t value) {
  REGISTER(address) = (REGISTER(address) & ~bits) | value;
}

/* The same of a divider or multiplexer that takes its time; whether it is done. */
AT_BOARD(change) static int change(uint32_t address, uint32_t bits, uint32_t value) {
  put(address, bits, value);
  return came(CDHIPR, ANY_BUSY, 0);
}

AT_BOARD(set_clock) static void set_clock(void) {
  put(CSCMR1, 0, 1u << 6);
  put(CCGR6, 0, 3u << 6);
  put(DCDC_REG3, 0x1Fu, 0x13u); /* 1.275 V */
  if (!came(DCDC_REG0, 1u << 31, 1u << 31)) {
    return;
  }

  put(CBCDR, PERIPH_CLK2_PODF, 0);
  put(CBCMR, 3u << 12, 1u << 12); /* PERIPH_CLK2: the crystal */
  if (!change(CBCDR, 0, PERIPH_CLK_SEL)) {
    return;
  }
  REGISTER(PLL_ARM) = BYPASS | POWERDOWN;
  REGISTER(PLL_ARM) = BYPASS | ENABLE | CLOCK_PLL_DIV_SELECT;
  if (!came(PLL_ARM, LOCK, LOCK)) {
    return;
  }
  REGISTER(PLL_ARM) = ENABLE | CLOCK_PLL_DIV_SELECT;

  put(CBCMR, 0, 3u << 18); /* PRE_PERIPH_CLK: ARM_PLL ÷ ARM_PODF */
  put(CBCDR, 0, IPG_PODF); /* ÷ 4 */
  if (change(CACRR, 7, CLOCK_ARM_DIVIDE - 1) && change(CBCDR, AHB_PODF, 0)) {
    (void)change(CBCDR, PERIPH_CLK_SEL, 0);
  }
}

/* ARMv7-M, MPU. Where no memory is, the core would read ahead without end: of the external memories
 * only the flash is memory, read-only and cached; the rest counts as a device. */
AT_BOARD(set_mpu) static void set_mpu(void) {
  REGISTER(MPU_CTRL) = 0;
  REGISTER(MPU_RBAR) = 0x80000000u | 1u << 4 | 0;
  REGISTER(MPU_RASR) = 1u << 28 | 3u << 24 | 1u << 16 | 30u << 1 | 1; /* 2 GB, no code, device */
  REGISTER(MPU_RBAR) = 0x60000000u | 1u << 4 | 1;
  REGISTER(MPU_RASR) = 1u << 28 | 3u << 24 | 1u << 16 | 28u << 1 | 1; /* 512 MB, likewise */
  REGISTER(MPU_RBAR) = 0x60000000u | 1u << 4 | 2;
  REGISTER(MPU_RASR) = 6u << 24 | 3u << 16 | (30u - (uint32_t)__builtin_clz(CLOCK_FLASH_BYTES)) << 1 | 1;
  REGISTER(MPU_CTRL) = 1u << 2 | 1; /* on; elsewhere the map of the architecture */
  __asm volatile("dsb\n isb" ::: "memory");
}

AT_BOARD(board_start) void board_start(void) {
  REGISTER(VTOR) = (uint32_t)(uintptr_t)(&autotiny_boot + 1);
  set_mpu();
  set_clock();
  SystemInit();
}

/* 0 where a PLL drives it that is not set here. */
AT_BOARD(board_clock_hz) uint32_t board_clock_hz(void) {
  const uint32_t cbcdr = REGISTER(CBCDR);
  const uint32_t cbcmr = REGISTER(CBCMR);
  uint32_t hz = 0;
  if ((cbcdr & PERIPH_CLK_SEL) != 0) {
    if ((cbcmr >> 12 & 3u) != 0) {
      hz = 24000000u / ((cbcdr >> 27 & 7u) + 1);
    }
  } else if ((cbcmr >> 18 & 3u) == 3) {
    const uint32_t pll = REGISTER(PLL_ARM);
    hz = (pll & BYPASS) != 0 ? 24000000u : 12000000u * (pll & 0x7Fu);
    hz /= (REGISTER(CACRR) & 7u) + 1;
  }
  return hz / ((cbcdr >> 10 & 7u) + 1);
}
