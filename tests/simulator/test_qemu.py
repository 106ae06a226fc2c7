"""Instruction counts against QEMU, which counts by its own clock: one instruction, one tick.

The firmware reads SysTick before and after the inference. With `-icount shift=3` an instruction
takes 8 ns of virtual time, and SysTick counts the machine's clock.
"""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_network import float_network, generated, int8_network

from autotiny.firmware import link
from autotiny.simulator import run
from autotiny.target import Core, Fpu, Memory, Target, load_target

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed"
)

MAIN = """
#include <stdint.h>
#define REGISTER(address) (*(volatile uint32_t *)(address))
int main(void);
int model_run(void);
void autotiny_ready(void);
void autotiny_done(void);
static volatile uint32_t began;

static void semihosting(uint32_t call, const void *argument) {
  register uint32_t r0 __asm("r0") = call;
  register const void *r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

__attribute__((noinline)) void autotiny_ready(void) { began = REGISTER(0xE000E018u); }

__attribute__((noinline)) void autotiny_done(void) {
  uint32_t ticks = (began - REGISTER(0xE000E018u)) & 0xFFFFFFu;
  char text[12];
  for (int k = 0; k < 8; k++) {
    const uint32_t digit = ticks >> (28 - 4 * k) & 15u;
    text[k] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
  }
  text[8] = '\\n';
  text[9] = 0;
  semihosting(0x04, text);                /* SYS_WRITE0 */
  semihosting(0x18, (void *)0x20026u);    /* SYS_EXIT */
}

int main(void) {
  REGISTER(0xE000E014u) = 0xFFFFFFu; /* SysTick: from the top, */
  REGISTER(0xE000E018u) = 0;
  REGISTER(0xE000E010u) = 5;         /* on the core's clock */
  for (int k = 0; k < 3; k++) {
    autotiny_ready();
    model_run();
    autotiny_done();
  }
  return 0;
}
"""

NS_PER_INSTRUCTION = 8


def board(core: Core, fpu: Fpu, flash: int, sram: int) -> Target:
    memories = (
        Memory("code", "flash", flash, 0x40000),
        Memory("sram", "sram", sram, 0x4000),
    )
    dsp = core in ("cortex-m4", "cortex-m7", "cortex-m33")
    usual = load_target("stm32l4r5")
    return replace(
        usual, name=core, core=core, fpu=fpu, dsp=dsp, memories=memories,
        icache=None, dcache=None, accelerator=None,
    )  # fmt: skip


M3 = board("cortex-m3", "none", 0, 0x20000000)
M4 = board("cortex-m4", "fpv4-sp-d16", 0, 0x20000000)
M7 = board("cortex-m7", "fpv5-sp-d16", 0, 0x20000000)
M33 = board("cortex-m33", "none", 0x10000000, 0x38000000)
M0 = board("cortex-m0plus", "none", 0, 0x20000000)

CASES = {
    "m3 int8": ("mps2-an385", 25e6, M3, int8_network()),
    "m3 soft float": ("mps2-an385", 25e6, M3, float_network()),
    "m4 int8": ("mps2-an386", 25e6, M4, int8_network()),
    "m7 int8": ("mps2-an500", 25e6, M7, int8_network()),
    "m7 float": ("mps2-an500", 25e6, M7, float_network()),
    "m33 int8": ("mps2-an505", 20e6, M33, int8_network()),
    "m0 int8": ("microbit", 16e6, M0, int8_network()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.everyday(2)
def test_instruction_counts_equal_qemu(case: str, tmp_path: Path) -> None:
    machine, clock_hz, target, graph = CASES[case]
    sources = generated(graph)
    firmware = link(replace(sources, files={**sources.files, "main.c": MAIN}), target)
    (tmp_path / "firmware.elf").write_bytes(firmware.elf)
    done = subprocess.run(
        ["qemu-system-arm", "-machine", machine, "-nographic", "-monitor", "none",
         "-serial", "none", "-icount", "shift=3", "-semihosting-config", "enable=on,target=native",
         "-kernel", str(tmp_path / "firmware.elf")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    ticks = int((done.stdout + done.stderr).split()[0], 16)
    in_qemu = ticks / clock_hz * 1e9 / NS_PER_INSTRUCTION
    port = sources.inputs[0]
    zeros = np.zeros(port.shape, port.dtype)  # what the arena holds after reset
    counted = run(firmware, target, zeros, simulate_memory=False).instructions
    assert counted > 2_000
    assert abs(counted - in_qemu) <= 100
