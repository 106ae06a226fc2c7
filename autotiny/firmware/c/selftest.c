/* Checks the model on the very chip: runs it on stored samples, compares its outputs with those of the
 * host, counts the cycles of an inference, and reports all of that in one line of JSON.
 *
 * Whoever listens gets the line: a debugger or emulator that answers semihosting; a probe that reads
 * the buffer by RTT (pyOCD, OpenOCD, J-Link), with no pin; and selftest_put(), for a serial port,
 * where the program defines one. */
#include "selftest.h"

#include <stddef.h>

#if defined(AUTOTINY_BOARD)
#include "board.h"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))

int main(void);
void selftest_put(char character);

__attribute__((weak)) void selftest_put(char character) { (void)character; }

/* ---- The line ---- */

enum { LINE_BYTES = 1024 };

static char line[LINE_BYTES];
static uint32_t line_length;

/* One byte stays free for the zero that ends it. */
static void put(char character) {
  if (line_length < LINE_BYTES - 1) {
    line[line_length++] = character;
  }
}

static void put_text(const char *text) {
  while (*text != 0) {
    put(*text++);
  }
}

static void put_number(const char *name, uint32_t number) {
  char digits[10];
  size_t count = 0;
  put_text(",\"");
  put_text(name);
  put_text("\":");
  do {
    digits[count++] = (char)('0' + number % 10u);
    number /= 10u;
  } while (number != 0);
  while (count != 0) {
    put(digits[--count]);
  }
}

/* ---- RTT: a buffer that a probe finds by its first sixteen bytes and reads while the core runs ---- */

typedef struct {
  const char *name;
  char *buffer;
  uint32_t bytes;
  volatile uint32_t written;
  volatile uint32_t read;
  uint32_t flags;
} Channel;

static struct {
  char id[16];
  int32_t up_count;
  int32_t down_count;
  Channel up;
} rtt;

/* The mark is put together here, so that it lies nowhere else in memory. */
static void offer_by_rtt(void) {
  static const char mark[] = "\0\0\0\0\0\0TTR REGGES";
  rtt.up = (Channel){"Terminal", line, LINE_BYTES, line_length, 0, 0};
  rtt.up_count = 1;
  for (size_t k = 0; k < sizeof rtt.id; k++) {
    rtt.id[k] = mark[sizeof rtt.id - 1 - k];
  }
}

/* ---- Semihosting, and the counter of cycles ---- */

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18, EXITED = 0x20026, FAILED = 0x20023 };

#if defined(__arm__)

void HardFault_Handler(void);
void SysTick_Handler(void);

/* Where nobody answers semihosting its breakpoint is a fault: it is stepped over, and answers -1. */
__attribute__((naked)) void HardFault_Handler(void) {
  __asm volatile(
      ".syntax unified\n"
      "mrs r0, msp\n"
      "ldr r1, [r0, #24]\n" /* the address at which it happened */
      "ldrh r2, [r1]\n"
      "ldr r3, =0xbeab\n"
      "cmp r2, r3\n"
      "1: bne 1b\n"
      "adds r1, #2\n"
      "str r1, [r0, #24]\n"
      "movs r1, #0\n"
      "mvns r1, r1\n"
      "str r1, [r0]\n"
      "bx lr\n"
      ".ltorg\n");
}

static void semihosting(uint32_t call, uintptr_t argument) {
  register uint32_t r0 __asm("r0") = call;
  register uintptr_t r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static uint32_t stack_pointer(void) {
  uint32_t pointer;
  __asm volatile("mov %0, sp" : "=r"(pointer));
  return pointer;
}

enum { WRAP = 0x1000000 };

static volatile uint32_t wraps;
static int counts_in_dwt;

void SysTick_Handler(void) { wraps++; }

/* The cycle counter of DWT, where the core has one; else SysTick, whose 24 bits are counted on. */
static void start_counter(void) {
#if __ARM_ARCH > 6
  REGISTER(0xE000EDFCu) |= 1u << 24;  /* DEMCR: trace and DWT on */
  REGISTER(0xE0001FB0u) = 0xC5ACCE55u; /* LAR: Cortex-M7 locks what follows */
  REGISTER(0xE0001004u) = 0;          /* CYCCNT */
  REGISTER(0xE0001000u) |= 1;         /* CTRL: count cycles */
  const uint32_t before = REGISTER(0xE0001004u);
  counts_in_dwt = REGISTER(0xE0001004u) != before;
  if (counts_in_dwt) {
    return;
  }
#endif
  REGISTER(0xE000E014u) = WRAP - 1; /* SysTick: from the top down, by the core's clock */
  REGISTER(0xE000E018u) = 0;
  REGISTER(0xE000E010u) = 5;
  while (REGISTER(0xE000E018u) == 0) {
  }
  REGISTER(0xE000ED04u) = 1u << 25; /* that it began at zero is no turn */
  REGISTER(0xE000E010u) = 7;        /* an interrupt at each turn */
}

static uint32_t now(void) {
  if (counts_in_dwt) {
    return REGISTER(0xE0001004u);
  }
  uint32_t turns;
  uint32_t left;
  do { /* again where a turn ends in between */
    turns = wraps;
    left = REGISTER(0xE000E018u);
  } while (turns != wraps);
  return turns * WRAP + (WRAP - 1 - left);
}

static const char *counter(void) { return counts_in_dwt ? "dwt" : "systick"; }

#else

#define TEXT_OF(number) #number
#define TEXT(macro) TEXT_OF(macro)

#if defined(SELFTEST_CYCLE_CSR)
#define CYCLES TEXT(SELFTEST_CYCLE_CSR)
#else
#define CYCLES "mcycle"
#endif

/* What semihosting is asked with is an ebreak, and where nobody answers it traps: it is stepped over.
 * Some cores enter at borders of 256 bytes only; the model's code is not to move for that. */
__attribute__((section(".board.step_over"), naked, aligned(256))) static void step_over(void) {
  __asm volatile(
      "addi sp, sp, -16\n"
      "sw t0, 0(sp)\n"
      "sw t1, 4(sp)\n"
      "csrr t0, mcause\n"
      "li t1, 3\n"
      "1: bne t0, t1, 1b\n"
      "csrr t0, mepc\n"
      "addi t0, t0, 4\n"
      "csrw mepc, t0\n"
      "li a0, -1\n"
      "lw t0, 0(sp)\n"
      "lw t1, 4(sp)\n"
      "addi sp, sp, 16\n"
      "mret\n");
}

static void semihosting(uint32_t call, uintptr_t argument) {
  register uint32_t a0 __asm("a0") = call;
  register uintptr_t a1 __asm("a1") = argument;
  __asm volatile(
      ".balign 16\n" /* filled by compressed instructions, as they may stand before it */
      ".option push\n"
      ".option norvc\n"
      "slli x0, x0, 0x1f\n"
      "ebreak\n"
      "srai x0, x0, 7\n"
      ".option pop\n"
      : "+r"(a0)
      : "r"(a1)
      : "memory");
}

static uint32_t stack_pointer(void) {
  uint32_t pointer;
  __asm volatile("mv %0, sp" : "=r"(pointer));
  return pointer;
}

static void start_counter(void) {
  __asm volatile("csrw mtvec, %0" : : "r"(step_over));
#if defined(SELFTEST_CYCLE_CSR) /* as Espressif has it: the two registers before it start it */
  __asm volatile("csrwi " CYCLES " - 2, 1\n" "csrwi " CYCLES " - 1, 1");
#endif
}

static uint32_t now(void) {
  uint32_t cycles;
  __asm volatile("csrr %0, " CYCLES : "=r"(cycles));
  return cycles;
}

static const char *counter(void) { return CYCLES; }

#endif

/* ---- The stack: painted below what is in use, then looked at from its far end ---- */

extern uint32_t link_stack_limit[];
extern uint32_t link_stack_top[];

enum { PAINT = 0x5EA1ED00, IN_USE_WORDS = 32 };

static void paint_stack(void) {
  volatile uint32_t *word = link_stack_limit;
  const uint32_t end = stack_pointer() - IN_USE_WORDS * sizeof *word;
  while ((uintptr_t)word < end) {
    *word++ = PAINT;
  }
}

static uint32_t deepest_stack(void) {
  const volatile uint32_t *word = link_stack_limit;
  while ((uintptr_t)word < (uintptr_t)link_stack_top && *word == PAINT) {
    word++;
  }
  return (uint32_t)((uintptr_t)link_stack_top - (uintptr_t)word);
}

/* ---- The test ---- */

/* Bytes that are the same; of floating point, numbers that are as good as the same. */
static int is_same(const uint8_t *found, const uint8_t *expected, const SelftestPort *port) {
  if (port->is_float) {
    const float *ours = (const float *)(const void *)found;
    const float *theirs = (const float *)(const void *)expected;
    for (size_t k = 0; k < port->bytes / sizeof *ours; k++) {
      const float apart = ours[k] > theirs[k] ? ours[k] - theirs[k] : theirs[k] - ours[k];
      const float size = theirs[k] < 0 ? -theirs[k] : theirs[k];
      if (!(apart <= SELFTEST_TOLERANCE * (size > 1 ? size : 1))) {
        return 0;
      }
    }
    return 1;
  }
  for (size_t k = 0; k < port->bytes; k++) {
    if (found[k] != expected[k]) {
      return 0;
    }
  }
  return 1;
}

/* Runs the model on one sample, takes the cycles of that, and says whether all outputs are right. */
static int is_right(size_t sample, uint32_t *cycles) {
  const uint8_t *input = (const uint8_t *)selftest_inputs + sample * SELFTEST_INPUT_BYTES;
  const uint8_t *expected = (const uint8_t *)selftest_outputs + sample * SELFTEST_OUTPUT_BYTES;
  SELFTEST_RESET();
  for (const SelftestPort *port = selftest_input_ports; port->bytes != 0; port++) {
    for (size_t k = 0; k < port->bytes; k++) {
      SELFTEST_ARENA[port->offset + k] = *input++;
    }
    input += port->padding;
  }
  const uint32_t began = now();
  SELFTEST_RUN();
  *cycles = now() - began;
  int right = 1;
  for (const SelftestPort *port = selftest_output_ports; port->bytes != 0; port++) {
    right &= is_same(SELFTEST_ARENA + port->offset, expected, port);
    expected += port->bytes + port->padding;
  }
  return right;
}

int main(void) {
  paint_stack();
  start_counter();
  uint32_t counting = now();
  counting = now() - counting;
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t right = 0;
  for (size_t k = 0; k < SELFTEST_RUNS; k++) { /* a stream answers when it has filled its window */
    const uint32_t equal = (uint32_t)is_right(k % SELFTEST_SAMPLES, &last);
    right += k + SELFTEST_SAMPLES < SELFTEST_RUNS ? 0 : equal;
    first = k == 0 ? last : first;
  }
  put_text("{" SELFTEST_FACTS ",\"outputs_equal\":");
  put_text(right == SELFTEST_SAMPLES ? "true" : "false");
  put_text(",\"counter\":\"");
  put_text(counter());
  put_text("\"");
  put_number("samples", SELFTEST_SAMPLES);
  put_number("samples_right", right);
  put_number("cycles", last > counting ? last - counting : 0);
  put_number("first_cycles", first > counting ? first - counting : 0);
  put_number("stack_bytes", deepest_stack());
#if defined(AUTOTINY_BOARD)
  put_number("running_hz", board_clock_hz());
#endif
  put_text("}\n");
  offer_by_rtt();
  for (const char *next = line; *next != 0; next++) {
    selftest_put(*next);
  }
  semihosting(SYS_WRITE0, (uintptr_t)line);
  semihosting(SYS_EXIT, right == SELFTEST_SAMPLES ? EXITED : FAILED);
  for (;;) {
  }
}
