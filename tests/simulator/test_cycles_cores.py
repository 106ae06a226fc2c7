"""Micro-benchmarks: each core's table yields the cycles that its documents give."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
from assembly import assemble
from micro_benchmarks import CASES, REFERENCES, UNDOCUMENTED, Case, instructions, model_cycles

from autotiny.cores import (
    CORES,
    block_cost,
    decode,
    issue,
)

# core, instructions, what each lost by cause
LOSSES: list[tuple[str, str, list[dict[str, float]]]] = [
    ("cortex-m0plus", "ldr r0, [r1]; adds r2, r2, r3", [{"issue": 1}, {}]),
    ("cortex-m4", "ldr r0, [r1]; adds r2, r2, r3", [{}, {"issue": 1}]),
    ("cortex-m4", "adds r0, r0, r1; ldr r2, [r0]", [{}, {"dependency": 1}]),
    ("cortex-m4", "udiv r0, r1, r2; adds r3, r3, r4", [{"issue": 6}, {}]),
    ("cortex-m4", "push {r4, r5, r6, r7}", [{"issue": 1}]),
    ("cortex-m4", "str r0, [r1]; ldr r2, [r1]", [{}, {"issue": 1}]),
    ("cortex-m0plus", "b 1f; 1: nop", [{}, {"branch": 1}]),
    ("cortex-m33", "ldr r0, [r1]; adds r0, r0, r3", [{}, {"dependency": 1}]),
    ("cortex-m33", "ldmia r0!, {r1, r2, r3, r4}", [{}]),
    ("cortex-m7", "ldr.w r0, [r1]; ldr.w r2, [r1, #8]", [{}, {"issue": 1}]),
    ("cortex-m7", "mul r0, r1, r2; eor.w r3, r0, r4", [{}, {"dependency": 1}]),
    ("cortex-m7", "add.w r0, r1, #1; eor.w r2, r0, r3", [{}, {}]),
]


def _id(case: Case) -> str:
    return f"{case.core}: {case.what}: {case.code}"


@pytest.mark.parametrize("case", [*CASES, *UNDOCUMENTED], ids=_id)
def test_the_model_gives_the_cycles_of_the_source(case: Case) -> None:
    expected = case.cycles if case.model is None else case.model
    assert model_cycles(case) == pytest.approx(expected)


def test_a_known_difference_is_one() -> None:
    assert [one for one in CASES if one.model == one.cycles] == []
    assert [one for one in UNDOCUMENTED if one.model is not None] == []


@pytest.mark.parametrize("core", CORES)
def test_every_row_has_a_source_and_every_source_a_row(core: str) -> None:
    keys = [re.findall(r"\[(.*?)\]", one.source) for one in CASES if one.core == core]
    assert all(keys)
    assert {key for found in keys for key in found} == set(REFERENCES[core])
    assert not any(one.source for one in UNDOCUMENTED)


def test_no_row_stands_twice() -> None:
    rows = [(one.core, one.counted, one.code, one.source) for one in (*CASES, *UNDOCUMENTED)]
    assert sorted(rows) == sorted(set(rows))


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_lost_cycles_have_a_cause(case: tuple[str, str, list[dict[str, float]]]) -> None:
    core, snippet, expected = case
    block = instructions(core, assemble(core, [snippet])[0])
    assert list(issue(CORES[core].timing, block).lost) == expected


def test_a_branch_is_taken_if_another_address_follows() -> None:
    # jnk0le, cortex_m33: a taken branch does not pair behind an instruction that sets flags
    flags = "1: adds r0, r0, r1; b 1b"
    block = instructions("cortex-m33", assemble("cortex-m33", [flags])[0])
    assert issue(CORES["cortex-m33"].timing, (*block, block[0])).starts == (0, 1, 3)
    assert issue(CORES["cortex-m33"].timing, block).starts == (0, 0)  # nothing follows yet


def test_what_a_block_costs_leaves_its_predecessor_out() -> None:
    # the multiply issues at 0 and its result can be used by a late ALU at 2, so one cycle is lost
    before, block = (
        decode(code, 0, arm=True)
        for code in assemble("cortex-m7", ["mul r0, r1, r2", "eor.w r3, r0, r4; eor.w r5, r3, r6"])
    )
    cycles, starts, causes = block_cost(CORES["cortex-m7"].timing, before, block)
    assert (cycles, starts, causes) == (3, (1, 2), {"dependency": 1})
    assert block_cost(CORES["cortex-m7"].timing, (), block) == (2, (0, 1), {})


def test_a_run_of_loads_pays_once_wherever_blocks_part_it() -> None:
    # Arm 100166: LDR 2, each further load of a run 1
    load, addition = (
        decode(code, 0, arm=True)
        for code in assemble("cortex-m4", ["ldr r0, [r1]", "adds r2, r2, r3"])
    )
    core = CORES["cortex-m4"].timing
    assert issue(core, load).end == block_cost(core, (), load)[0] == 2
    assert block_cost(core, load, load)[0] == block_cost(core, load, addition)[0] == 1
    assert block_cost(core, addition, load)[0] == 2
    assert block_cost(core, addition, addition)[0] == 1


def test_bytes_in_a_row_fill_the_store_buffer_of_a_cortex_m7() -> None:
    # jnk0le, cortex_m7: 2.4 cycles a byte; the first few find the buffer empty
    four, one, slow = (
        decode(code, 0, arm=True)
        for code in assemble(
            "cortex-m7",
            [
                "; ".join(["strb r0, [r1], #1"] * 4),
                "strb r0, [r1], #1; add.w r2, r3, #1; add.w r4, r5, #1; add.w r6, r7, #1",
                "udiv r0, r1, r2; strb r0, [r1]",
            ],
        )
    )
    core = CORES["cortex-m7"].timing
    assert block_cost(core, (), four)[0] == block_cost(core, one, four)[0] == 4
    for rounds in (1, 2, 3):
        cycles, _, causes = block_cost(core, four * rounds, four)
        assert cycles == pytest.approx(4 * 2.4)
        assert causes == {"issue": pytest.approx(4 * 2.4 - 4)}
    assert block_cost(core, (), one)[0] == 2
    assert block_cost(core, one, one)[0] == pytest.approx(2.4)
    assert block_cost(core, slow, slow)[0] == block_cost(core, (), slow)[0]  # none in a row


@pytest.mark.parametrize("name", CORES)
def test_a_table_cannot_be_changed(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(CORES[name], "name", "other")  # noqa: B010
    with pytest.raises(FrozenInstanceError):
        setattr(issue(CORES[name].timing, ()), "end", 1.0)  # noqa: B010
    assert issue(CORES[name].timing, ()).end == 0
