"""Micro-benchmarks: each core's table yields the cycles that its documents give.

Snippets are repeated, and the cost of one repetition is taken where it no longer changes.
"""

from __future__ import annotations

from functools import cache

import pytest
from assembly import assemble

from autotiny.emulator.cores import CORES, block_cost, decode, issue, riscv_decoder, thumb_decoder

# core, what is shown, instructions, cycles of one repetition
CASES = [
    # Arm DDI0484C, table 3-1
    ("cortex-m0plus", "additions", "adds r0, r0, r1; adds r0, r0, r2", 2),
    ("cortex-m0plus", "fast multiplier", "muls r0, r1, r0", 1),
    ("cortex-m0plus", "load", "ldr r0, [r1]", 2),
    ("cortex-m0plus", "byte load", "ldrb r0, [r1]", 2),
    ("cortex-m0plus", "store", "str r0, [r1]", 2),
    ("cortex-m0plus", "load multiple 1 + N", "ldmia r0!, {r1, r2, r3}", 4),
    ("cortex-m0plus", "push 1 + N", "push {r0, r1, r2, r3}", 5),
    # Arm 100165, table 3-1
    ("cortex-m3", "multiply", "mul r0, r1, r2", 1),
    ("cortex-m3", "multiply-accumulate", "mla r0, r1, r2, r0", 2),
    ("cortex-m3", "long multiply, 3 to 5", "smull r0, r1, r2, r3", 4),
    ("cortex-m3", "long accumulate, 4 to 7", "smlal r0, r1, r2, r3", 5),
    ("cortex-m3", "lone load", "ldr r0, [r1]; adds r2, r2, r3", 3),
    ("cortex-m3", "loads pipeline", "ldr r0, [r1]; ldr r2, [r1, #4]; adds r3, r3, r4", 4),
    # Arm 100166, tables 3-1 and 7-1; jnk0le, cortex_m3m4
    ("cortex-m4", "accumulator chain", "smlad r0, r1, r2, r0", 1),
    ("cortex-m4", "long accumulate", "smlal r0, r1, r2, r3", 1),
    ("cortex-m4", "lone load", "ldr r0, [r1]; adds r2, r2, r3", 3),
    ("cortex-m4", "load-use", "ldr r0, [r1]; adds r0, r0, r3", 3),
    ("cortex-m4", "three loads", "ldr r0, [r1]; ldr r2, [r1]; ldr r3, [r1]; adds r4, r4, r5", 5),
    ("cortex-m4", "load eats a nop", "ldr r0, [r1]; nop; adds r2, r2, r3", 3),
    ("cortex-m4", "store", "str r0, [r1]; adds r2, r2, r3", 2),
    ("cortex-m4", "store, then load", "str r0, [r1]; ldr r2, [r1]; adds r3, r3, r4", 5),
    ("cortex-m4", "load, then store", "ldr r0, [r1]; str r0, [r2]; adds r3, r3, r4", 3),
    ("cortex-m4", "address one cycle early", "adds r0, r0, r1; ldr r2, [r0]; nop", 4),
    ("cortex-m4", "load multiple 1 + N", "ldmia r0, {r1, r2, r3, r4}", 5),
    ("cortex-m4", "push 1 + N", "push {r4, r5, r6, r7}", 5),
    ("cortex-m4", "VFMA 3", "vfma.f32 s0, s1, s2; vfma.f32 s3, s1, s2", 6),
    ("cortex-m4", "VDIV 14", "vdiv.f32 s0, s1, s2", 14),
    # jnk0le, cortex_m33
    ("cortex-m33", "load-use 2", "ldr r0, [r1]; adds r0, r0, r3", 3),
    ("cortex-m33", "load to store 1", "ldr r0, [r1]; str r0, [r2]", 2),
    ("cortex-m33", "load to accumulator 1", "ldr r0, [r1]; mla r0, r2, r3, r0", 2),
    ("cortex-m33", "accumulator chain", "smlad r0, r1, r2, r0", 1),
    ("cortex-m33", "MAC result 2", "mla r0, r1, r2, r3; adds r3, r0, #1", 3),
    ("cortex-m33", "shifted operand 2", "add.w r0, r1, r2, ror #24; adds r2, r0, #1", 3),
    ("cortex-m33", "SIMD result 2", "qsub8 r0, r1, r2; adds r1, r0, #1", 3),
    ("cortex-m33", "flag-setting MULS", "muls r0, r1, r0; nop", 2),
    ("cortex-m33", "no arithmetic pairs", "adds r0, r0, r1; adds r2, r2, r3", 2),
    ("cortex-m33", "nop with an addition", "nop; adds r0, r0, r1", 1),
    ("cortex-m33", "load multiple N", "ldmia r0!, {r1, r2, r3, r4}", 4),
    ("cortex-m33", "FMA accumulator 3", "vfma.f32 s0, s1, s2", 3),
    ("cortex-m33", "VADD pipelines", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2),
    # jnk0le, cortex_m7
    ("cortex-m7", "two ALUs", "add.w r0, r1, #1; add.w r2, r3, #1", 1),
    ("cortex-m7", "early to late ALU in no time", "add.w r0, r1, #1; eor.w r2, r0, r3", 1),
    ("cortex-m7", "MACs never pair", "smlad r0, r1, r2, r0; smlad r3, r1, r2, r3", 2),
    ("cortex-m7", "MAC with an addition", "smlad r0, r1, r2, r0; add.w r3, r4, #1", 1),
    ("cortex-m7", "MAC and store never pair", "smlad r0, r1, r2, r0; str.w r3, [r4]", 2),
    ("cortex-m7", "multiply result one later", "mul r0, r1, r2; eor.w r1, r0, r3", 3),
    ("cortex-m7", "accumulator chain", "mla r0, r1, r2, r0", 1),
    ("cortex-m7", "SIMD never pairs", "sxtb16 r0, r1; sxtb16 r2, r3", 2),
    ("cortex-m7", "loads on two banks", "ldr.w r0, [r1]; ldr.w r2, [r1, #4]", 1),
    ("cortex-m7", "loads on one bank", "ldr.w r0, [r1]; ldr.w r2, [r1, #8]", 2),
    ("cortex-m7", "stores never pair", "str.w r0, [r1]; str.w r2, [r1, #4]", 2),
    ("cortex-m7", "load with store", "ldr.w r0, [r1]; str.w r2, [r3]", 1),
    ("cortex-m7", "word load, next cycle", "ldr.w r0, [r1]; and.w r1, r0, r2", 3),
    ("cortex-m7", "byte load, one later", "ldrb.w r0, [r1]; and.w r1, r0, r2", 4),
    ("cortex-m7", "multiple, two a cycle", "ldmia r0, {r1, r2, r3, r4, r5}", 3),
    ("cortex-m7", "shifts never pair", "add.w r0, r1, r2, ror #8; add.w r3, r1, r2, ror #8", 2),
    ("cortex-m7", "FMA accumulator 3", "vfma.f32 s0, s1, s2", 3),
    ("cortex-m7", "three FMAs", "vfma.f32 s0, s9, s8; vfma.f32 s1, s9, s8; vfma.f32 s2, s9, s8", 3),
    ("cortex-m7", "VDIV 16", "vdiv.f32 s0, s1, s2", 16),
    ("cortex-m7", "VSQRT 14", "vsqrt.f32 s0, s1", 14),
    # Ibex, pipeline details
    ("rv32imc", "additions", "add a0, a0, a1; add a0, a0, a2", 2),
    ("rv32imc", "load", "lw a0, 0(a1)", 2),
    ("rv32imc", "store", "sw a0, 0(a1)", 2),
    ("rv32imc", "multiply", "mul a0, a1, a2", 1),
    ("rv32imc", "high multiply", "mulh a0, a1, a2", 2),
    ("rv32imc", "division", "div a0, a1, a2", 37),
]  # fmt: skip

# core, what is shown, a loop that jumps to 1, cycles of one round
LOOPS = [
    ("cortex-m0plus", "taken branch 2", "1: adds r0, r0, #1; b 1b", 3),
    ("cortex-m4", "taken branch 1 + P, P = 1", ".balign 4; 1: subs r0, r0, #1; bne 1b", 3),
    ("cortex-m33", "behind flags 2", "1: subs r7, r7, #1; bne 1b", 3),
    ("cortex-m33", "pairs with an addition", "1: subs r7, r7, #1; add r0, r1; bne 1b", 3),
    ("cortex-m33", "pairs with LDM", "1: subs r7, r7, #1; ldmia r6!, {r0-r3}; bne 1b", 6),
    ("cortex-m7", "predicted, pairs", "1: subs.w r0, r0, #1; bne.w 1b", 1),
    ("rv32imc", "taken branch 3", "1: addi a0, a0, -1; bnez a0, 1b", 4),
]  # fmt: skip


@cache
def objects(core: str) -> dict[str, bytes]:
    """Every snippet of a core, assembled in one go."""
    snippets = [code for _, _, code, _ in _of(core)]
    return dict(zip(snippets, assemble(core, snippets), strict=True))


def _of(core: str) -> list[tuple[str, str, str, float]]:
    return [case for case in (*CASES, *LOOPS) if case[0] == core]


def _id(case: tuple[str, str, str, float]) -> str:
    return f"{case[0]}: {case[1]}"


def _cycles(core: str, code: bytes, rounds: int, *, loops: bool) -> float:
    decoder = riscv_decoder() if core == "rv32imc" else thumb_decoder()
    if loops:
        once = decode(decoder, code, 0)
        return issue(CORES[core], once * rounds).end
    return issue(CORES[core], decode(decoder, code * rounds, 0)).end


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_documented_cycles(case: tuple[str, str, str, float]) -> None:
    core, _, snippet, expected = case
    code = objects(core)[snippet]
    cost = (_cycles(core, code, 24, loops=False) - _cycles(core, code, 12, loops=False)) / 12
    assert cost == pytest.approx(expected)


@pytest.mark.parametrize("case", LOOPS, ids=_id)
def test_documented_branches(case: tuple[str, str, str, float]) -> None:
    core, _, snippet, expected = case
    code = objects(core)[snippet]
    cost = (_cycles(core, code, 24, loops=True) - _cycles(core, code, 12, loops=True)) / 12
    assert cost == pytest.approx(expected)


def test_bytes_in_a_row_fill_the_store_buffer_of_a_cortex_m7() -> None:
    # jnk0le, cortex_m7: 2.4 cycles a byte; the first few find the buffer empty
    (code,) = assemble("cortex-m7", ["; ".join(["strb r0, [r1], #1"] * 4)])
    block = decode(thumb_decoder(), code, 0)
    core = CORES["cortex-m7"]
    assert block_cost(core, (), block)[0] == 4
    assert block_cost(core, block, block)[0] == pytest.approx(4 * 2.4)
