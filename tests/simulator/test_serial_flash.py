"""A miss of serial flash takes the clocks that the boot code named in the target's file sends."""

import pytest

from autotiny.simulator.memory import refill_cycles
from autotiny.target import load_target


def miss_cycles(name: str) -> int:
    target = load_target(name)
    assert target.icache
    return refill_cycles(target.flash, target.icache) - target.icache.miss_cycles


@pytest.mark.parametrize(
    ("name", "clocks", "divider"),
    [  # clocks of chip select, command, address, mode and wait, data
        ("rp2040", 0 + 0 + 6 + 2 + 4 + 4 * 2, 2),
        ("esp32c3", 0 + 8 + 12 + 4 + 32 * 4, 2),
        ("imxrt1062", 3 + 8 + 6 + 6 + 32 * 2, 6),
    ],
)
def test_a_line_takes_what_the_boot_code_sets(name: str, clocks: int, divider: int) -> None:
    assert miss_cycles(name) == clocks * divider


def test_one_line_in_seven_of_rp2350_has_a_command() -> None:
    assert miss_cycles("rp2350") == pytest.approx(3 * (8 * 2 + (8 + 6 + 2 + 4) / 7), rel=0.01)
