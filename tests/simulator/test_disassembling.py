"""What is read off the code of a function."""

import numpy as np
import pytest
from images import Network

from autotiny.engine import generate, plain_schedule
from autotiny.firmware import link
from autotiny.simulator import run
from autotiny.simulator.disassembling import call_ends, calls, goes_to
from autotiny.target import load_target

AT = 0x0800_0000
LOAD, RETURN, OVER = "0048", "7047", "01e0"  # ldr r0, [pc]; bx lr; b over a word
LIKE_A_CALL, LIKE_A_JUMP = "88470000", "40e00000"  # blx r1; b
CALL = "00f000f8"  # bl to what follows


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
def test_a_constant_that_looks_like_a_call_is_none(core: str) -> None:
    code = bytes.fromhex(LOAD + RETURN + LIKE_A_CALL)
    assert call_ends(core, code, AT) == []
    assert call_ends(core, bytes.fromhex("c046" + RETURN + LIKE_A_CALL), AT) == [AT + 6]
    assert len(calls(core, code, AT)) == 1  # of a piece of memory nobody knows


@pytest.mark.parametrize(
    ("load", "words"),
    [("dfe90101", 2), ("9fed010b", 2), ("9fed010a", 1)],  # of [pc, #4]
    ids=["ldrd r0, r1", "vldr d0", "vldr s0"],
)
def test_as_many_words_are_none_as_are_loaded(load: str, words: int) -> None:
    code = bytes.fromhex(load + RETURN + "00bf" + 3 * LIKE_A_CALL)
    assert call_ends("cortex-m7", code, AT) == [AT + 10 + 4 * k for k in range(words, 3)]


def test_one_that_looks_like_a_jump_leads_nowhere() -> None:
    assert goes_to("cortex-m0plus", bytes.fromhex(LOAD + RETURN + LIKE_A_JUMP), AT) == set()
    assert goes_to("cortex-m0plus", bytes.fromhex("c046" + RETURN + LIKE_A_JUMP), AT)


def test_code_goes_on_behind_constants() -> None:
    code = bytes.fromhex(LOAD + OVER + LIKE_A_CALL + CALL + RETURN)
    assert call_ends("cortex-m0plus", code, AT) == [AT + 12]


@pytest.mark.slow
def test_an_offset_that_looks_like_a_call_hides_no_step() -> None:
    """0x4788 bytes into the arena lies what `blx r1` is in Thumb: the stack of an M0+ hid it."""
    net = Network(168, 109, 1)
    graph = net.graph(net.conv(net.conv(0, 1, 1, 1), 1, 1, 1))
    target = load_target("stm32g0b1")
    firmware = link(generate(graph, plain_schedule(graph)), target)
    rows = np.zeros((1, 168, 109, 1), np.int8)
    assert len(run(firmware, target, rows, simulate_memory=False).layers) == 2
