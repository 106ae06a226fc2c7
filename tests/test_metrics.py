"""What fits a target, to the byte, and how it is told what does not."""

from dataclasses import replace

import pytest

from autotiny.metrics import STACK_MARGIN_BYTES, Cost, missing, overshoot
from autotiny.target import load_target

TARGET = load_target("rp2040")
FITTING = Cost(
    flash_bytes=TARGET.flash_bytes, weights_bytes=0, code_bytes=TARGET.flash_bytes,
    sram_bytes=TARGET.sram_bytes - 128, arena_bytes=0, static_bytes=0, stack_bytes=0,
    instructions=1, cycles=1, latency_ms=1.0, energy_estimated_mj=1.0,
)  # fmt: skip


def test_an_interrupts_frame_with_the_registers_of_the_fpu_fits_below_the_stack() -> None:
    registers = 8 + 16 + 2 + 1  # r0-r3, r12, lr, pc, xpsr; s0-s15; fpscr and padding; alignment
    assert STACK_MARGIN_BYTES == 128 >= 4 * registers


@pytest.mark.parametrize(
    ("change", "excess"),
    [
        ({}, {"flash": 0, "sram": 0}),
        ({"flash_bytes": 1}, {"flash": 1, "sram": 0}),
        ({"flash_bytes": -1}, {"flash": -1, "sram": 0}),
        ({"sram_bytes": 1}, {"flash": 0, "sram": 1}),
        ({"sram_bytes": -5}, {"flash": 0, "sram": -5}),
        ({"sram_bytes": -5, "unplaced_bytes": 7}, {"flash": 0, "sram": 7}),
        ({"sram_bytes": 9, "unplaced_bytes": 7}, {"flash": 0, "sram": 9}),
        ({"cores": 1}, {"flash": 0, "sram": 0, "cores": 0}),
        ({"cores": 2}, {"flash": 0, "sram": 0, "cores": 1}),
    ],
)
def test_what_exceeds_a_target_is_known_to_the_byte(
    change: dict[str, int], excess: dict[str, int]
) -> None:
    taken = {name: getattr(FITTING, name) + more for name, more in change.items()}
    assert TARGET.usable_cores == 2
    assert overshoot(replace(FITTING, **taken), TARGET) == excess


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        ({"flash": 0, "sram": -3}, []),
        ({"flash": 1, "sram": 1234}, ["1 byte of flash", "1,234 bytes of sram"]),
        ({"cores": 1}, ["1 core"]),
        ({"cores": 2}, ["2 cores"]),
        ({"cores": 0}, []),
    ],
)
def test_what_is_missing_is_told_in_words(excess: dict[str, int], words: list[str]) -> None:
    assert missing(excess) == words
