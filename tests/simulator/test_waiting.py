"""Firmware that waits for what never comes is told apart from firmware that works for long."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import PROGRAM, tiny_sources

from autotiny.errors import FirmwareFault, UserError
from autotiny.firmware import link
from autotiny.simulator import Profile, measure_elf, waiting
from autotiny.target import load_target

LIMIT = 2_000_000


def measured(
    folder: Path, deed: str, *, function: str = "relu", board: str = "stm32f746", repeat: int = 1
) -> Profile:
    """A call of a function, with a statement put at the start of the model."""
    start = "int model_run(void) {"
    assert start in PROGRAM
    target = load_target(board)
    path = folder / "firmware.elf"
    path.write_bytes(link(tiny_sources(PROGRAM.replace(start, f"{start} {deed}")), target).elf)
    return measure_elf(path, target, function=function, repeat=repeat, limit=LIMIT)


@pytest.fixture(autouse=True)
def early_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_LOOK", 20_000)


READY = "if (*(volatile uint32_t *)0x40021000 & 2)"
POLL = f"for (;;) {{ {READY} break; }}"


@pytest.mark.parametrize("board", ["stm32f746", "rp2040"])
@pytest.mark.parametrize(("function", "which"), [("relu", "begins"), ("model_run", "ends")])
def test_a_register_that_nothing_answers(
    board: str, function: str, which: str, tmp_path: Path
) -> None:
    told = (
        r"waits for 0x40021000 in model_run \(0x[0-9a-f]{8}\): it read it \d\d,\d{3} times in the "
        r"last 100,000 of 120,000 instructions, and nothing answers, .*; so "
        f"{function} never {which}; build it so"
    )
    with pytest.raises(UserError, match=told):
        measured(tmp_path, POLL, function=function, board=board)


def test_a_wait_with_a_deadline_that_only_an_interrupt_brings_nearer(tmp_path: Path) -> None:
    tick = "static volatile uint32_t tick; uint32_t begun = tick;"
    body = f"for (;;) {{ {READY} break; if (tick - begun > 100) break; }}"
    with pytest.raises(UserError, match=r"waits for 0x40021000 in model_run"):
        measured(tmp_path, tick + body)
    flag = "static volatile uint8_t flag; while (!flag) {}"
    with pytest.raises(UserError, match=r"waits for 0x20[0-9a-f]{6} in model_run .* an interrupt"):
        measured(tmp_path, flag)


def test_a_wait_that_counts_is_told_at_the_limit(tmp_path: Path) -> None:
    told = r"waits for 0x40021000 in model_run .* of 2,[0-9]00,000 instructions, and nothing"
    with pytest.raises(UserError, match=told):
        measured(tmp_path, f"for (volatile uint32_t n = 0; ~n; n++) {{ {READY} break; }}")
    with pytest.raises(FirmwareFault, match=r"does not end: .* in model_run .*; so relu never beg"):
        measured(tmp_path, "for (volatile uint32_t n = 0; ~n; n++) {}")


ROUND = """__asm volatile(
  "1: ldr r0, [%0]; adds r0, #1; str r0, [%0]; cmp r0, %1; mov.w r0, #0; bne 1b"
  : : "r"(&word), "r"(200000) : "r0", "cc", "memory");"""


@pytest.mark.parametrize(
    "deed",
    [
        "for (volatile uint32_t n = 0; n < 200000; n++) {}",
        "for (uint32_t n = 0; n < 300000; n++) " + READY + " break;",
        # but for one word of memory, and but for one register of the FPU, each round is alike
        f"static uint32_t word; {ROUND}",
        "float x = 0.0f; while (x < 200000.0f) { x += 1.0f; __asm volatile(\"\" : \"+t\"(x)); }",
    ],
)  # fmt: skip
@pytest.mark.everyday(2)
def test_long_work_is_no_wait(deed: str, tmp_path: Path) -> None:
    measured(tmp_path, deed)


def test_looks_change_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deed = "for (volatile uint32_t n = 0; n < 100000; n++) {}"
    for board in ("stm32f746", "rp2040", "esp32c3"):
        monkeypatch.setattr(waiting, "FIRST_LOOK", 10**9)
        whole = measured(tmp_path, deed, function="model_run", board=board)
        monkeypatch.setattr(waiting, "FIRST_LOOK", 777)
        assert measured(tmp_path, deed, function="model_run", board=board) == whole


AFTER_IT = """__asm volatile(
  "mov r2, %0; b 2f; 1: cmp r0, #0; it eq; ldreq r3, [r1]; bx lr;"
  "2: movs r0, #0; mov r1, sp; push {lr}; bl 1b; subs r2, #1; pop {lr}; bne 2b"
  : : "r"(20000) : "r0", "r1", "r2", "r3", "cc", "memory");"""


def test_a_look_leaves_no_it_block_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_LOOK", 10**9)
    whole = measured(tmp_path, AFTER_IT, function="model_run")
    monkeypatch.setattr(waiting, "FIRST_LOOK", 20_000)
    assert measured(tmp_path, AFTER_IT, function="model_run") == whole


def test_a_pass_that_never_comes(tmp_path: Path) -> None:
    deed = "static int calls; if (calls++ == 3) for (;;) {}"
    told = (
        r"in a loop without end in model_run .* so pass 4 of 5 of relu never begins; ask for --re"
    )
    with pytest.raises(UserError, match=told + "peat 3$"):
        measured(tmp_path, deed, repeat=5)
    assert measured(tmp_path, deed, repeat=3).steps[0].name == "relu, pass 3"


def test_each_pass_ends_where_its_own_call_returns_to(tmp_path: Path) -> None:
    twice = "relu((int8_t *)model_arena); dense((int8_t *)model_arena, (int8_t *)model_arena + 32, "
    first = measured(tmp_path, twice + "model_w);", function="dense")
    second = measured(tmp_path, twice + "model_w);", function="dense", repeat=2)
    assert second.instructions == first.instructions
