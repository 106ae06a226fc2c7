"""Firmware that misbehaves ends in a FirmwareFault that names the place, never in a crash."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assembly import assemble
from tiny_model import PROGRAM, expected, tiny_sources
from unicorn import UC_HOOK_BLOCK

from autotiny.cores.instruction import decode
from autotiny.errors import FirmwareFault
from autotiny.firmware import link
from autotiny.simulator import Run, run
from autotiny.simulator.processor import Processor
from autotiny.target import load_target


def misbehave(deed: str, name: str = "stm32f746", limit: int = 10_000_000) -> Run:
    """Run the model with a statement put into its ReLU."""
    start = "static void relu(int8_t *x) {"
    assert start in PROGRAM
    target = load_target(name)
    firmware = link(tiny_sources(PROGRAM.replace(start, f"{start} {deed}")), target)
    return run(firmware, target, limit=limit)


@pytest.mark.parametrize("name", ["stm32f746", "rp2040", "esp32c3"])
@pytest.mark.everyday(1)
def test_a_loop_without_end(name: str) -> None:
    with pytest.raises(FirmwareFault, match=r"does not end: .* in relu \(0x[0-9a-f]{8}\) after"):
        misbehave("for (volatile int k = 0;;) k++;", name, limit=100_000)


def test_the_limit_spares_what_ends() -> None:
    target = load_target("stm32f746")
    assert run(link(tiny_sources(), target), target, limit=1700).instructions < 1700


def test_memory_that_the_target_lacks() -> None:
    with pytest.raises(FirmwareFault, match=r"reads 4 bytes at 0x60000000, .* in relu \(0x"):
        misbehave("x[0] = (int8_t)*(volatile int32_t *)0x60000000;")
    with pytest.raises(FirmwareFault, match=r"writes 1 bytes at 0x40000001, which is no memory"):
        misbehave("*(volatile int8_t *)0x40000001 = 1;", "esp32c3")


HINTS = "nop; yield; sev; wfe; sev; wfe; wfe; dsb sy; dmb sy; isb sy; cpsid i; cpsie i"
WIDE = "; yield.w; sev.w; wfe.w; dbg #0; pld [r0]; pli [r0]; clrex; mrs r1, basepri"


@pytest.mark.parametrize("name", ["rp2040", "stm32f103", "stm32f407", "stm32f746", "stm32u575"])
@pytest.mark.everyday(2)
def test_hints_of_a_core_are_executed_and_counted(name: str) -> None:
    target = load_target(name)
    hints = HINTS if target.core == "cortex-m0plus" else HINTS + WIDE
    deed = f'__asm volatile("mov r0, sp; {hints}" ::: "r0", "r1");'
    ran = misbehave(deed, name)
    np.testing.assert_array_equal(ran.outputs[0], misbehave("", name).outputs[0])
    (code,) = assemble(target.core, [hints])
    kinds = {one.mnemonic: one.kind for one in decode(code, 0, arm=True)}
    assert {kinds[hint] for hint in ("nop", "yield", "sev", "wfe")} == {"nop"}


def test_waiting_for_what_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotiny.simulator.processor._MOST_WAITS", 5_000)
    with pytest.raises(FirmwareFault, match=r"waits in relu \(0x[0-9a-f]{8}\): 5,000 times"):
        misbehave('for (;;) __asm volatile("wfe");')
    with pytest.raises(FirmwareFault, match=r"sleeps in relu \(0x[0-9a-f]{8}\), and nothing wakes"):
        misbehave('__asm volatile("wfi");')


def test_writing_to_flash() -> None:
    with pytest.raises(
        FirmwareFault, match=r"writes 2 bytes at 0x08000800, in flash, which cannot"
    ):
        misbehave("*(volatile int16_t *)0x08000800 = 1;")


def test_jumping_off() -> None:
    with pytest.raises(FirmwareFault, match=r"jumps to 0x90000000, which is no memory"):
        misbehave("((void (*)(void))0x90000001)();")
    with pytest.raises(FirmwareFault, match=r"jumps to 0x20000000, in dtcm, which holds no code"):
        misbehave("((void (*)(void))0x20000001)();")
    with pytest.raises(FirmwareFault, match=r"jump to an even address left Thumb state"):
        misbehave("((void (*)(void))0x08000100)();")


def test_instructions_that_the_core_lacks() -> None:
    with pytest.raises(
        FirmwareFault, match=r"in relu \(0x[0-9a-f]*\): the emulated cortex-m7 has no instruction"
    ):
        misbehave('__asm volatile(".short 0xde00");')
    sdiv = '__asm volatile(".short 0xfb91, 0xf1f2");'
    with pytest.raises(FirmwareFault, match=r"cortex-m0plus has no instruction 'sdiv r1, r1, r2'"):
        misbehave(sdiv, "rp2040")
    with pytest.raises(FirmwareFault, match=r"in relu \(.*: the core has no such instruction"):
        misbehave('__asm volatile(".4byte 0");', "esp32c3")


@pytest.mark.parametrize(
    ("code", "board", "told"),
    [
        ("vadd.i32 q0, q0, q0", "stm32u575", r"m33 has no .* 'vadd.i32 q0, q0, q0'; .* no vector"),
        ("vadd.i32 q0, q0, r0", "stm32u575", r"stm32u575 has no vector unit \(MVE\): build with"),
        ("vldrw.32 q0, [r0]", "stm32u575", r"stm32u575 has no vector unit \(MVE\): build with"),
        ("vadd.f64 d0, d0, d0", "stm32l4r5", "'vadd.f64 d0, d0, d0'; .* no double precision in"),
        ("vadd.f64 d0, d0, d0", "stm32u575", "double precision in its fpv5-sp-d16: build with -m"),
        ("vadd.f16 s0, s0, s0", "stm32u575", "no half precision in its fpv5-sp-d16"),
        ("vadd.f32 s0, s0, s0", "rp2040", "rp2040 has no floating-point unit: build with -mcpu="),
        ("vldr d0, [r0]", "stm32f103", "stm32f103 has no floating-point unit"),
        (".inst.w 0xee110f10", "stm32u575", r"'mrc p15, #0, r0, c1, c0, #0'$"),
        ("udf #1", "stm32u575", r"m33 has no instruction [^;]*$"),
    ],
)
def test_a_unit_that_the_core_lacks(code: str, board: str, told: str) -> None:
    target = load_target(board)
    with Processor(target, {}) as processor:
        processor.write(target.flash.origin, assemble("cortex-m55", [code])[0])
        processor.write(
            0xE000ED88, (0xF << 20).to_bytes(4, "little")
        )  # the FPU, where there is one
        with pytest.raises(FirmwareFault, match=told):
            processor.run(target.flash.origin, 100)


def test_an_unaligned_access_where_the_core_cannot() -> None:
    load = '__asm volatile("ldr r1, [%0]" : : "l"((char *)words + 1) : "r1");'
    deed = f"volatile int32_t words[2] = {{1, 2}}; {load}"
    misbehave(deed, "stm32f746")
    with pytest.raises(FirmwareFault, match=r"in relu .*: .* 'ldr r1, \[r\d\]'"):
        misbehave(deed, "rp2040")


def test_a_sleep_without_an_alarm() -> None:
    with pytest.raises(FirmwareFault, match=r"sleeps in relu .*nothing wakes it"):
        misbehave('__asm volatile("wfi");')


def test_a_stack_that_falls_off_its_memory() -> None:
    endless = "static volatile int depth; depth++; volatile char frame[512]; frame[depth & 1] = 0;"
    with pytest.raises(FirmwareFault, match=r"bytes at 0x1ffff"):
        misbehave(endless + " extern int model_run(void); model_run(); frame[0]++;")


def test_what_a_hook_raises_is_not_swallowed() -> None:
    target = load_target("stm32f746")
    firmware = link(tiny_sources(), target)
    processor = Processor(target, firmware.symbols)
    processor.write(target.flash.origin, firmware.image)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("in a hook")

    processor.uc.hook_add(UC_HOOK_BLOCK, broken)
    with pytest.raises(ZeroDivisionError, match="in a hook"):
        processor.run(firmware.symbols["model_run"].address)


@pytest.mark.parametrize("name", ["stm32f746", "rp2040", "esp32c3"])
def test_random_code_never_takes_the_process_along(name: str) -> None:
    target = load_target(name)
    memory = target.data_memories[-1]
    for seed in range(60):
        processor = Processor(target, {})
        processor.write(target.flash.origin, np.random.default_rng(seed).bytes(4096))
        processor.set_register("sp", memory.end - 64)
        with pytest.raises(FirmwareFault):
            processor.run(target.flash.origin, 100_000)


def test_the_processor_survives_a_fault() -> None:
    target = load_target("stm32f746")
    with pytest.raises(FirmwareFault):
        misbehave("*(volatile int32_t *)0 = 1; ((void (*)(void))0)();")
    rows = np.random.default_rng(1).integers(-128, 128, (3, 24), dtype=np.int8)
    ran = run(link(tiny_sources(), target), target, rows)
    np.testing.assert_array_equal(ran.outputs, expected(rows))


def test_ctrl_c_is_heard_at_once(tmp_path: Path) -> None:
    target = load_target("stm32f746")
    start = "static void relu(int8_t *x) {"
    endless = PROGRAM.replace(start, start + " for (volatile int k = 0;;) k++;")
    (tmp_path / "endless.elf").write_bytes(link(tiny_sources(endless), target).elf)
    script = """
import sys
from autotiny.simulator import measure_elf
from autotiny.target import load_target
print("ready", flush=True)
measure_elf(sys.argv[1], load_target("stm32f746"), limit=10**15)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "endless.elf")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        try:
            _, complaint = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in complaint
