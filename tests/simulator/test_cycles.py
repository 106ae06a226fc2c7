"""The cycle counter on Unicorn: exact counts, hooks, caches, buckets."""

from __future__ import annotations

import ast
import struct
from dataclasses import FrozenInstanceError
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import unicorn
from assembly import assemble
from unicorn import arm_const, riscv_const

import autotiny.simulator.cycles
from autotiny.errors import FirmwareFault
from autotiny.simulator.cycles import CycleCounter, Report
from autotiny.target import load_target

FLASH = 0x0800_0000
RAM = 0x2000_0000
ROUNDS = 100


@cache
def code(core: str, text: str) -> bytes:
    return assemble(core, [text])[0]


def machine(text: str, core: str = "cortex-m4", at: int = FLASH) -> tuple[Any, int]:
    """A Unicorn instance with code in flash and RAM behind it; where the code ends."""
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M33)
    uc.mem_map(FLASH, 0x10_0000)
    for base in (RAM, 0x2400_0000):
        uc.mem_map(base, 0x8_0000)
    image = code(core, text)
    uc.mem_write(at, image)
    uc.reg_write(arm_const.UC_ARM_REG_SP, RAM + 0x4_0000)
    uc.reg_write(arm_const.UC_ARM_REG_R0, ROUNDS)
    return uc, at + len(image)


def counted(
    target: str, text: str, *, warm: bool = False, at: int = FLASH, **registers: int
) -> Report:
    """The count of one run, or of the second one."""
    uc, end = machine(text, load_target(target).core, at)
    counter = CycleCounter(load_target(target)).attach(uc)
    for _ in range(1 + warm):
        counter.reset()
        uc.reg_write(arm_const.UC_ARM_REG_R0, ROUNDS)
        for name, value in registers.items():
            uc.reg_write(getattr(arm_const, f"UC_ARM_REG_{name.upper()}"), value)
        uc.emu_start(at | 1, end)
    return counter.report()


LOOP = ".balign 4; 1: adds r1, r1, r2; subs r0, r0, #1; bne 1b"


@pytest.mark.parametrize(
    "target", ["stm32l4r5", "stm32h7a3", "stm32u575", "stm32g0b1", "stm32f103"]
)
def test_instructions_are_exact(target: str) -> None:
    report = counted(target, LOOP)
    assert report.instructions == 3 * ROUNDS
    assert sum(block.count * block.instructions for block in report.blocks) == 3 * ROUNDS
    assert report.cycles >= 3 * ROUNDS / 2


def test_the_same_run_gives_the_same_figure() -> None:
    assert counted("stm32h7a3", LOOP) == counted("stm32h7a3", LOOP)


def test_the_cycle_model_knows_nothing_of_the_engine() -> None:
    folder = Path(autotiny.simulator.cycles.__file__).parent
    for path in (folder / "cycles.py", folder / "memory.py", *(folder / "cores").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("autotiny"):
                assert "engine" not in (node.module or ""), path.name


def test_the_first_run_is_cold_and_the_next_one_warm() -> None:
    text = "; ".join(["ldr r1, [r2], #32"] * 64)
    cold = counted("stm32h7a3", text, r2=FLASH + 0x8000)
    warm = counted("stm32h7a3", text, warm=True, r2=FLASH + 0x8000)
    assert cold.stalls["data"] > 64 * 6  # each load misses: wait states and more
    assert cold.stalls["fetch"] > 0
    assert warm.stalls["data"] == warm.stalls["fetch"] == 0
    assert warm.cycles < cold.cycles


def test_a_cold_reset_empties_the_caches() -> None:
    uc, end = machine("ldr r1, [r2]", "cortex-m7")
    counter = CycleCounter(load_target("stm32h7a3")).attach(uc)
    uc.reg_write(arm_const.UC_ARM_REG_R2, FLASH + 0x8000)
    figures = []
    for cold in (False, False, True):
        counter.reset(cold=cold)
        uc.emu_start(FLASH | 1, end)
        figures.append(counter.report().stalls["data"])
    assert figures[0] == figures[2] > 0 == figures[1]


def test_flash_streams_at_the_price_of_its_wait_states() -> None:
    # STM32L4R5: an 8-byte read of one of its two banks takes 1 + 5 cycles
    text = "; ".join(["ldr r1, [r2], #4"] * 64)
    uc, end = machine(text)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    for block in (0x8000, 0x9000):  # the second time the code is in the buffers, and other data not
        counter.reset()
        uc.reg_write(arm_const.UC_ARM_REG_R2, FLASH + block)
        uc.emu_start(FLASH | 1, end)
    report = counter.report()
    assert report.stalls["data"] / (64 / 2) == pytest.approx(6, abs=0.25)


def test_uncached_flash_without_prefetch_waits_for_every_line() -> None:
    text = "; ".join(["nop"] * 64)
    cycles = counted("stm32f103", text).cycles  # 2 wait states, 8-byte lines, prefetch
    assert 64 <= cycles <= 64 + 2 * 16


def test_tightly_coupled_memory_is_free() -> None:
    text = "; ".join(["ldr.w r1, [r2], #32"] * 64)
    assert counted("stm32h7a3", text, r2=RAM).stalls["data"] == 0


@pytest.mark.parametrize(
    ("target", "data", "price"),
    [
        ("stm32h7a3", 0x2400_0000, 3),  # jnk0le, cortex_m7
        ("stm32f103", FLASH + 0x8000, 1),  # an unaligned access is split in two
        ("stm32l4r5", FLASH + 0x8000, 1),
        ("stm32u575", FLASH + 0x8000, 1),
    ],
)
def test_an_unaligned_load_of_traced_memory_costs_more(target: str, data: int, price: int) -> None:
    text = "; ".join(["ldr.w r1, [r2]"] * 16)
    cycles = {at: counted(target, text, warm=True, r2=data + at).cycles for at in (0, 1, 2, 3)}
    assert {at: cycles[at] - cycles[0] for at in (1, 2, 3)} == dict.fromkeys((1, 2, 3), price * 16)


def test_halfwords_are_unaligned_across_a_word_border_alone() -> None:
    text = "; ".join(["ldrh.w r1, [r2]"] * 16)
    cycles = [
        counted("stm32h7a3", text, warm=True, r2=0x2400_0000 + at).cycles for at in (0, 1, 2, 3)
    ]
    assert cycles == [cycles[0]] * 3 + [cycles[0] + 3 * 16]


@pytest.mark.parametrize(("text", "other"), [("str.w r1, [r2]", 2), ("ldrd r4, r5, [r2]", 4)])
def test_stores_and_pairs_of_words_have_no_price_for_alignment(text: str, other: int) -> None:
    text = "; ".join([text] * 4)
    cycles = [
        counted("stm32h7a3", text, warm=True, r2=0x2400_0000 + at).cycles for at in (0, other)
    ]
    assert cycles[0] == cycles[1]


def test_a_loop_is_mispredicted_when_it_starts_and_when_it_ends() -> None:
    report = counted("stm32h7a3", LOOP + "; nop")
    assert report.stalls["branch"] == 3 * 7  # two to learn, one at the end; 7 cycles each
    assert counted("stm32h7a3", LOOP + "; nop", warm=True).stalls["branch"] <= 2 * 7


def test_branches_are_predicted_by_two_bits_each() -> None:
    bits = 0b1011_0011_1000_1111_0101_0110_0001_1111
    text = "1: lsrs r3, r3, #1; bcs 2f; b 2f; 2: subs r0, r0, #1; bne 1b; nop"
    uc, end = machine(text, "cortex-m7")
    counter = CycleCounter(load_target("stm32h7a3"), simulate_memory=False).attach(uc)
    uc.reg_write(arm_const.UC_ARM_REG_R0, 32)
    uc.reg_write(arm_const.UC_ARM_REG_R3, bits)
    uc.emu_start(FLASH | 1, end)
    wrong = 0
    for taken in (
        [bool(bits >> n & 1) for n in range(32)],
        [True] * 31 + [False],
    ):
        confidence = 0  # 0 and 1 foretell "not taken", 2 and 3 "taken"
        for outcome in taken:
            wrong += outcome != (confidence >= 2)
            confidence = min(confidence + 1, 3) if outcome else max(confidence - 1, 0)
    report = counter.report()
    assert report.stalls["branch"] == 7 * wrong
    assert report.cycles - sum(block.cycles for block in report.blocks) == 7 * wrong


def test_without_memory_only_the_pipeline_counts() -> None:
    uc, end = machine(LOOP)
    counter = CycleCounter(load_target("stm32l4r5"), simulate_memory=False).attach(uc)
    uc.emu_start(FLASH | 1, end)
    report = counter.report()
    assert report.stalls["fetch"] == report.stalls["data"] == 0
    assert report.cycles == 3 * ROUNDS + ROUNDS - 1  # Cortex-M4: a taken branch costs one more


def test_buckets_share_the_whole_count() -> None:
    uc, end = machine(LOOP + "; nop; mov r0, #50; 2: subs r0, r0, #1; bne 2b")
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    counter.switch_at(FLASH + 6, 7)
    uc.emu_start(FLASH | 1, end)
    counter.bucket = 9
    uc.reg_write(arm_const.UC_ARM_REG_R0, ROUNDS)
    uc.emu_start(FLASH | 1, FLASH + 6)
    report = counter.report()
    assert set(report.buckets) == {0, 7, 9}
    assert report.buckets[0].instructions == report.buckets[9].instructions == 3 * ROUNDS
    assert report.buckets[7].instructions == 2 + 2 * 50
    assert sum(share.cycles for share in report.buckets.values()) == report.cycles
    for cause, cycles in report.stalls.items():
        assert sum(share.stalls[cause] for share in report.buckets.values()) == cycles


def test_a_counter_can_join_later() -> None:
    uc, end = machine(LOOP)
    uc.emu_start(FLASH | 1, end)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    uc.reg_write(arm_const.UC_ARM_REG_R0, ROUNDS)
    uc.emu_start(FLASH | 1, end)
    assert counter.report().instructions == 3 * ROUNDS


def test_code_that_is_replaced_is_decoded_again() -> None:
    uc, _ = machine("nop; nop; b .", at=RAM)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    uc.emu_start(RAM | 1, RAM + 4)
    counter.reset()
    image = code("cortex-m4", "udiv r1, r2, r3; b .")
    uc.mem_write(RAM, image)
    uc.ctl_remove_cache(RAM, RAM + len(image))
    uc.emu_start(RAM | 1, RAM + 4)
    assert counter.report().instructions == 1
    assert counter.report().cycles > 3


def test_code_that_comes_back_counts_as_before() -> None:
    uc, _ = machine("nop; nop; b .", at=RAM)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    cycles = []
    for text in ("nop; nop; b .", "udiv r1, r2, r3; b .") * 2:
        image = code("cortex-m4", text)
        uc.mem_write(RAM, image)
        uc.ctl_remove_cache(RAM, RAM + len(image))
        counter.reset()
        uc.emu_start(RAM | 1, RAM + 4)
        cycles.append(counter.report().cycles)
        (block,) = counter.report().blocks
        assert (block.size, block.count) == (4, 1)
    assert cycles == [2, 7] * 2


def test_an_it_block_ends_where_it_ends_although_its_loads_are_traced() -> None:
    # r1 == 0, so the pop returns; behind it an instruction that a stale IT state would skip
    text = "push {r4, lr}; cmp r1, #0; itt eq; moveq r4, r1; popeq {r4, pc}; nop; b ."
    uc, _ = machine(text, "cortex-m7")
    back = code("cortex-m7", "movs r5, #1; movs r6, #2; nop")
    uc.mem_write(FLASH + 0x100, back)
    counter = CycleCounter(load_target("stm32f746")).attach(uc)
    stack = RAM + 0x2_0000  # SRAM1: cached, so traced
    uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
    uc.reg_write(arm_const.UC_ARM_REG_R1, 0)
    uc.reg_write(arm_const.UC_ARM_REG_LR, FLASH + 0x101)
    uc.emu_start(FLASH | 1, FLASH + 0x104)
    assert uc.reg_read(arm_const.UC_ARM_REG_R5) == 1
    assert uc.reg_read(arm_const.UC_ARM_REG_R6) == 2
    assert uc.reg_read(arm_const.UC_ARM_REG_SP) == stack
    assert counter.report().instructions == 5 + 2


def test_an_it_block_in_which_a_page_of_the_emulator_ends_leaves_nothing_behind() -> None:
    text = """
        cmp r1, #0; itt eq; ldreq r4, [sp]; moveq r4, r1; cmp r1, #1; b 1f; nop
        1: movs r5, #1; movs r6, #2
    """
    at = FLASH + 0x400 - 4  # the load is the first instruction of a page
    uc, end = machine(text, "cortex-m7", at)
    CycleCounter(load_target("stm32f746")).attach(uc)
    uc.reg_write(arm_const.UC_ARM_REG_SP, RAM + 0x2_0000)
    uc.reg_write(arm_const.UC_ARM_REG_R1, 0)
    uc.emu_start(at | 1, end)
    assert uc.reg_read(arm_const.UC_ARM_REG_R5) == 1
    assert uc.reg_read(arm_const.UC_ARM_REG_R6) == 2


def test_every_core_counts_a_call_and_its_return() -> None:
    for target in ("stm32g0b1", "stm32f103", "stm32l4r5", "stm32u575", "stm32f746"):
        text = "bl 1f; b 2f; 1: push {r4, lr}; pop {r4, pc}; 2: nop"
        report = counted(target, text)
        assert report.instructions == 5
        assert 5 <= report.cycles < 60


def test_risc_v_is_counted_too() -> None:
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    base = 0x4200_0000
    uc.mem_map(base, 0x1_0000)
    image = code("rv32imc", "li a0, 10; 1: addi a0, a0, -1; bnez a0, 1b")
    uc.mem_write(base, image)
    counter = CycleCounter(load_target("esp32c3"), simulate_memory=False).attach(uc)
    uc.emu_start(base, base + len(image))
    report = counter.report()
    assert uc.reg_read(riscv_const.UC_RISCV_REG_A0) == 0
    assert report.instructions == 1 + 2 * 10
    assert report.cycles == 1 + 9 * 4 + 2  # a taken branch 3, the last one 1


def test_a_counter_is_attached_once() -> None:
    uc, _ = machine(LOOP)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    with pytest.raises(ValueError, match="attached already"):
        counter.attach(uc)


def test_buckets_have_bounds() -> None:
    counter = CycleCounter(load_target("stm32l4r5"))
    for number in (-1, 4096, 1 << 20):
        with pytest.raises(ValueError, match="there are buckets 0 to 4095"):
            counter.bucket = number
        with pytest.raises(ValueError, match="there are buckets 0 to 4095"):
            counter.switch_at(FLASH, number)
    for number in (4095, 0):
        counter.bucket = number
        assert counter.bucket == number


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("thumb", [0, 1])
def test_a_bucket_begins_where_its_block_does(known: bool, thumb: int) -> None:
    uc, end = machine("nop; b 1f; 1: nop; nop; b 2f; 2: nop")
    counter = CycleCounter(load_target("stm32l4r5"), simulate_memory=False).attach(uc)
    if known:
        uc.emu_start(FLASH | 1, end)
    counter.reset()
    counter.switch_at(FLASH + 4 + thumb, 4095)
    uc.emu_start(FLASH | 1, end)
    # two blocks of two and three instructions, each branch to the next one 1 + 1, and a nop
    assert counter.cycles_by_bucket() == {0: 2, 4095: 1 + 3 + 1 + 1}
    buckets = counter.report().buckets
    assert {n: share.instructions for n, share in buckets.items()} == {0: 2, 4095: 4}
    assert {n: share.stalls["branch"] for n, share in buckets.items()} == {0: 0, 4095: 2}


def test_blocks_tell_where_they_are_and_how_often_they_ran() -> None:
    uc, end = machine("nop; nop; 1: adds r1, r1, r2; subs r0, r0, #1; bne.n 1b; nop")
    counter = CycleCounter(load_target("stm32l4r5"), simulate_memory=False).attach(uc)
    uc.emu_start(FLASH | 1, end)
    blocks = {b.address - FLASH: b for b in counter.report().blocks}
    assert [(at, b.size, b.instructions, b.count) for at, b in blocks.items()] == [
        (0, 10, 5, 1),
        (4, 6, 3, ROUNDS - 1),
        (10, 2, 1, 1),
    ]
    assert [b.cycles for b in blocks.values()] == [5, 4 * (ROUNDS - 1), 1]
    report = counter.report()
    for part in (report, report.buckets[0], report.blocks[0]):
        with pytest.raises(FrozenInstanceError):
            setattr(part, "cycles", 0)  # noqa: B010
    counter.reset()
    assert counter.report().blocks == ()
    assert counter.report().buckets == {}
    assert counter.cycles == counter.waited == counter.report().instructions == 0


def test_a_hostile_number_of_blocks_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotiny.simulator.memory.BLOCKS_MOST", 4)
    uc, end = machine("; ".join(f"b {n}f; {n}: nop" for n in range(1, 9)))
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    uc.emu_start(FLASH | 1, end)
    with pytest.raises(FirmwareFault, match="more than 4 basic blocks"):
        counter.report()


def test_a_hostile_number_of_pairs_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotiny.simulator.memory.EDGES_MOST", 8)
    for jumps, too_many in ((3, False), (4, True)):  # and the block behind the last jump
        uc, end = machine("; ".join(f"b {n}f; {n}: nop" for n in range(1, jumps + 1)))
        counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
        uc.emu_start(FLASH | 1, end)
        if too_many:
            with pytest.raises(FirmwareFault, match="more than 4 pairs of basic blocks"):
                counter.report()
        else:
            assert len(counter.report().blocks) == 4


def test_a_hostile_length_of_code_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 nops are 16 lines of the 8 bytes that the flash is read in
    for most in (15, 16):
        monkeypatch.setattr("autotiny.simulator.memory.LINES_MOST", most)
        uc, end = machine("; ".join(["nop"] * 64))
        counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
        uc.emu_start(FLASH | 1, end)
        if most < 16:
            with pytest.raises(FirmwareFault, match="code is larger than the cycle counter"):
                counter.report()
        else:
            assert counter.report().instructions == 64


def test_words_of_literal_pools_are_data() -> None:
    # the flash's data buffers hold the pool after the first round
    loop = "1: ldr r1, 2f; subs r0, r0, #1; bne 1b; b 3f"
    text = f".balign 4; {loop}; .balign 4; 2: .word {RAM}; 3: nop"
    uc, end = machine(text)
    counter = CycleCounter(load_target("stm32l4r5")).attach(uc)
    uc.emu_start(FLASH | 1, end)
    assert uc.reg_read(arm_const.UC_ARM_REG_R1) == RAM
    assert struct.unpack("<I", uc.mem_read(FLASH + 8, 4))[0] == RAM
    assert counter.report().stalls["data"] <= 16
