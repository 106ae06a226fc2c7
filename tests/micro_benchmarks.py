"""Micro-benchmarks of the cores: code that shows one effect, and the cycles that its source gives.

`tests/simulator/test_cycles_cores.py` holds the cycle model to them, and `benchmarks/pipeline.py`
writes them into results/pipeline.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import unicorn
from assembly import assemble
from unicorn import arm_const, riscv_const

from autotiny.cores import (
    CORES,
    Instruction,
    block_cost,
    decode,
    issue,
)
from autotiny.simulator.cycles import CycleCounter
from autotiny.target import Memory, load_target

FLASH = 0x0800_0000
RAM = 0x2000_0000
NOPS = b"\x00\xbf" * 8

Counted = Literal[
    "repeated", "loop", "loop, 2 off", "apart", "apart, 2 off", "2 off", "behind itself", "executed"
]
COUNTED: dict[Counted, str] = {
    "repeated": "cycles of one repetition in a straight line, where it no longer changes",
    "loop": "cycles of one round of a loop that starts on a word border",
    "loop, 2 off": "the same 2 bytes off a word border",
    "apart": "cycles from the issue of the first instruction to the issue of the last",
    "apart, 2 off": "the same 2 bytes off a word border",
    "2 off": "cycles that the code takes more 2 bytes off a word border than on it",
    "behind itself": "cycles of one repetition, with what its stores wait for each other",
    "executed": "cycles that one execution loses to predictions and to unaligned data; r3 or a3 "
    "points to a word border",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A micro-benchmark.

    Attributes:
        core: as targets call it.
        counted: a key of `COUNTED`.
        what: the effect.
        code: instructions, parted by semicolons.
        cycles: that the source gives; without a source, that the model takes.
        source: keys of `REFERENCES` in brackets, empty where no document is known.
        model: what the model gives, where it is known to differ.
    """

    core: str
    counted: Counted
    what: str
    code: str
    cycles: float
    source: str
    model: float | None = None


Row = tuple[str, str, float, str] | tuple[str, str, float, str, float]
"""What is shown, instructions, cycles, source, and what the model gives where it differs."""


def _cases(core: str, counted: Counted, rows: Sequence[Row]) -> list[Case]:
    return [Case(core, counted, *row) for row in rows]


_JNK0LE = 'github.com/jnk0le/random, "pipeline cycle test", '
_I0 = (
    "compendium.i-0.nl: instruction-alignment/rules, measured on an STM32L4 from flash with data "
    "in SRAM2; data-operations/fpu_reg"
)
_EPRINT = (
    "eprint.iacr.org/2025/523, as jnk0le quotes it: a multi-cycle instruction in front of three "
    "unaligned 32-bit ones"
)
_KA = "Arm knowledge article KA8521: 32-bit opcodes off word boundaries, Cortex-M3 and M4"

REFERENCES: dict[str, dict[str, str]] = {
    "cortex-m0plus": {
        "TRM": "Arm DDI0484C, Cortex-M0+ Technical Reference Manual, table 3-1",
        "jnk0le": f"{_JNK0LE}cortex_m0, measured on a Cortex-M0",
    },
    "cortex-m3": {
        "TRM": "Arm 100165, Cortex-M3 Technical Reference Manual, table 3-1 and section 3.3.2",
        "jnk0le": f"{_JNK0LE}cortex_m3m4, measured on an STM32F103",
        "i-0": f"{_I0}; a Cortex-M4, taken for the Cortex-M3 too",
        "eprint": f"{_EPRINT}; taken for the Cortex-M3 too",
        "KA": _KA,
    },
    "cortex-m4": {
        "TRM": "Arm 100166, Cortex-M4 Technical Reference Manual, tables 3-1 and 7-1 and section "
        "3.3.2",
        "jnk0le": f"{_JNK0LE}cortex_m3m4, measured on an STM32F407",
        "i-0": _I0,
        "eprint": _EPRINT,
        "KA": _KA,
    },
    "cortex-m33": {
        "TRM": "Arm 100230, Cortex-M33 Technical Reference Manual",
        "jnk0le": f"{_JNK0LE}cortex_m33, measured on an RP2350",
        "KA": "Arm knowledge article KA001260: MULS stalls for another cycle",
        "TI": "TI SWCU194, Cortex-M33 unaligned accesses: two or more aligned transfers",
    },
    "cortex-m7": {
        "jnk0le": f"{_JNK0LE}cortex_m7, measured on an STM32H743",
        "LLVM": "llvm/lib/Target/ARM/ARMScheduleM7.td, written by Arm",
    },
    "rv32imc": {
        "Ibex": "Ibex documentation, Pipeline Details and Load-Store Unit: a core of the same "
        "class; X stall cycles are X + 1 cycles",
        "C3": "two figures that Espressif publishes of the ESP32-C3, CoreMark and person detection "
        "with ESP-NN, which decide what loads take",
    },
}
"""Core → key → document."""

_WIDE_OFF_BORDERS: Sequence[Row] = (
    ("two wide ALU instructions", ".rept 2; movw r0, #1; .endr", 0, "[i-0]"),
    ("three", ".rept 3; movw r0, #1; .endr", 1, "[i-0]"),
    ("four", ".rept 4; movw r0, #1; .endr", 1, "[i-0]"),
    ("eight", ".rept 8; movw r0, #1; .endr", 1, "[i-0]"),
    ("sixteen", ".rept 16; movw r0, #1; .endr", 1, "[i-0]"),
    ("two wide loads", ".rept 2; ldr.w r0, [r1, #4]; .endr", 0, "[i-0]"),
    ("three wide loads", ".rept 3; ldr.w r0, [r1, #4]; .endr", 1, "[i-0]"),
    ("eight wide loads", ".rept 8; ldr.w r0, [r1, #4]; .endr", 1, "[i-0]"),
    ("three wide STR", ".rept 3; str.w r0, [r1, #4]; .endr", 0, "[i-0]", 1),
    ("four wide STR", ".rept 4; str.w r0, [r1, #4]; .endr", 1, "[i-0]"),
    ("eight wide STR", ".rept 8; str.w r0, [r1, #4]; .endr", 1, "[i-0]"),
    ("a mix can cost more than one",
     ".rept 2; movw r0, #1; .endr; ldr.w r0, [r1, #4]; .rept 3; movw r0, #1; .endr",
     2, "[i-0]"),
    ("a mix with a load second", "movw r0, #1; ldr.w r0, [r1, #4]; movw r0, #1", 1, "[i-0]", 0),
    ("a mix with a load first",
     "ldr.w r0, [r1, #4]; .rept 2; movw r0, #1; .endr", 1, "[i-0]", 0),
    ("a mix with a load last", ".rept 2; movw r0, #1; .endr; ldr.w r0, [r1, #4]", 1, "[i-0]"),
    ("a wide load and three wide",
     "ldr.w r0, [r1, #4]; .rept 3; movw r0, #1; .endr", 1, "[eprint]", 0),
    ("a narrow load and three wide",
     "nop; ldr r2, [r3]; .rept 3; movw r0, #1; .endr", 1, "[eprint]"),
    ("a division and three wide",
     "udiv r4, r5, r6; .rept 3; movw r0, #1; .endr", 1, "[eprint]"),
    ("LDM and three wide", "ldmia.w r4, {r5, r6}; .rept 3; movw r0, #1; .endr", 1, "[eprint]"),
    ("LDRD and three wide", "ldrd r4, r5, [r6]; .rept 3; movw r0, #1; .endr", 1, "[eprint]"),
)  # fmt: skip
"""Cortex-M3 and M4: wide instructions off word borders."""

_DATA_OFF_BORDERS: Sequence[Row] = (
    ("word, 2 bytes off", "ldr r0, [r3, #2]; nop", 1, "[TRM]"),
    ("word, 1 byte off", "ldr.w r0, [r3, #1]; nop", 2, "[TRM]", 1),
    ("word, 3 bytes off", "ldr.w r0, [r3, #3]; nop", 2, "[TRM]", 1),
    ("halfword, 1 byte off in a word", "ldrh.w r0, [r3, #1]; nop", 1, "[TRM]", 0),
    ("halfword, 1 byte off across words", "ldrh.w r0, [r3, #3]; nop", 1, "[TRM]"),
    ("store of a word, 1 byte off", "str.w r0, [r3, #1]; nop", 0, "[TRM]"),
    ("on its border", "ldr r0, [r3]; nop", 0, "[TRM]"),
)  # fmt: skip
"""Cortex-M3 and M4: data off word borders."""


CASES = [
    *_cases("cortex-m0plus", "repeated", [
        ("additions", "adds r0, r0, r1; adds r0, r0, r2", 2, "[TRM]"),
        ("fast multiplier", "muls r0, r1, r0", 1, "[TRM]"),
        ("load", "ldr r0, [r1]", 2, "[TRM]"),
        ("byte load", "ldrb r0, [r1]", 2, "[TRM]"),
        ("store", "str r0, [r1]", 2, "[TRM]"),
        ("load multiple 1 + N", "ldmia r0!, {r1, r2, r3}", 4, "[TRM]"),
        ("push 1 + N", "push {r0, r1, r2, r3}", 5, "[TRM]"),
        ("byte store", "strb r0, [r1]", 2, "[TRM]"),
        ("MRS 3", "mrs r0, primask", 3, "[TRM]"),
        ("DMB 3", "dmb sy", 3, "[TRM]"),
        ("branch not taken 1", "beq 1f; 1:", 1, "[TRM]"),
        ("halfword load 2", "ldrh r0, [r1]", 2, "[TRM]"),
        ("load with register offset 2", "ldr r0, [r1, r2]", 2, "[TRM]"),
        ("store with register offset 2", "str r0, [r1, r2]", 2, "[TRM]"),
        ("load, then store", "ldr r0, [r1]; str r0, [r2]", 4, "[TRM]"),
        ("store, then load", "str r0, [r1]; ldr r2, [r1]", 4, "[TRM]"),
        ("no load-use delay", "ldr r0, [r1]; adds r0, r0, r3", 3, "[jnk0le]"),
        ("store multiple 1 + N", "stmia r0!, {r1, r2, r3}", 4, "[TRM]"),
        ("POP 1 + N", "pop {r0, r1, r2}", 4, "[TRM]"),
        ("MSR 3", "msr primask, r0", 3, "[TRM]"),
        ("ISB 3", "isb", 3, "[TRM]"),
        ("NOP 1", "nop; nop", 2, "[TRM]"),
        ("16 and 32 bits mixed", "adds r0, r0, r1; dmb sy; adds r0, r0, r1", 5, "[TRM]"),
    ]),
    *_cases("cortex-m0plus", "loop", [
        ("taken branch 2", "1: adds r0, r0, #1; b 1b", 3, "[TRM]"),
        ("taken conditional branch 2", "1: bne 1b", 2, "[TRM]"),
        ("BX 2", "bx lr", 2, "[TRM]"),
        ("BL 3", "1: bl 1b", 3, "[TRM]"),
        ("POP with PC 3 + N", "pop {r0, pc}", 5, "[TRM]"),
        ("BLX 2", "blx r3", 2, "[TRM]"),
    ]),
    *_cases("cortex-m3", "repeated", [
        ("multiply", "mul r0, r1, r2", 1, "[TRM]"),
        ("multiply-accumulate", "mla r0, r1, r2, r0", 2, "[TRM]"),
        ("long multiply, 3 to 5", "smull r0, r1, r2, r3", 4, "[TRM]"),
        ("long accumulate, 4 to 7", "smlal r0, r1, r2, r3", 5, "[TRM]"),
        ("lone load", "ldr r0, [r1]; adds r2, r2, r3", 3, "[TRM]"),
        ("loads pipeline", "ldr r0, [r1]; ldr r2, [r1, #4]; adds r3, r3, r4", 4, "[TRM]"),
        ("division, 2 to 12", "udiv r0, r1, r2", 7, "[TRM]"),
        ("LDRD 1 + N", "ldrd r0, r1, [r2]", 3, "[TRM]"),
        ("STRD 1 + N", "strd r0, r1, [r2]", 3, "[TRM]"),
        ("LDM 1 + N", "ldmia r0, {r1, r2, r3}", 4, "[TRM]"),
        ("STM 1 + N", "stmia r0!, {r1, r2, r3}", 4, "[TRM]"),
        ("MRS 1 or 2", "mrs r0, apsr", 2, "[TRM]"),
        ("branch not taken 1", "beq 1f; 1:", 1, "[TRM]"),
        ("store with register offset 2", "str r0, [r1, r2]; adds r3, r3, r4", 3, "[jnk0le]"),
        ("such a store, then a nop", "str r0, [r1, r2]; nop; adds r3, r3, r4", 3, "[jnk0le]"),
        ("byte store, then load", "strb r0, [r1]; ldr r2, [r1]; nop", 4, "[jnk0le]"),
        ("LDR; LDR: three in all", "ldr r0, [r1]; ldr r1, [r2]; adds r4, r4, r5", 4, "[TRM]"),
        ("LDR; LDR; LDR: four in all",
         "ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]; adds r4, r4, r6", 5, "[TRM]"),
        ("LDR, STR of what it loaded: three in all",
         "ldr r0, [r1, r2]; str r0, [r3, #20]; adds r4, r4, r5", 4, "[TRM]", 3),
        ("LDR, STR with register offset: three in all",
         "ldr r0, [r1, r2]; str r4, [r3, r2]; adds r5, r5, r6", 4, "[TRM]"),
        ("STR with constant offset 1", "str r0, [r1, #4]; adds r2, r2, r3", 2, "[TRM]"),
        ("LDR, then LDRD: not pipelined, 2 and 3",
         "ldr r0, [r1]; ldrd r2, r3, [r4]; adds r5, r5, r6", 6, "[TRM]", 5),
        ("LDRD, then LDR: not pipelined, 3 and 2",
         "ldrd r2, r3, [r4]; ldr r0, [r1]; adds r5, r5, r6", 6, "[TRM]"),
        ("LDR, then LDM: not pipelined, 2 and 3",
         "ldr r0, [r1]; ldmia r4, {r2, r3}; adds r5, r5, r6", 6, "[TRM]", 5),
        ("LDM, then LDR: not pipelined, 3 and 2",
         "ldmia r4, {r2, r3}; ldr r0, [r1]; adds r5, r5, r6", 6, "[TRM]"),
        ("STR, then STM", "str r0, [r1]; stmia r4, {r2, r3}; adds r5, r5, r6", 5, "[jnk0le]"),
        ("STM of eight 9", "stmia r8, {r0, r1, r2, r3, r4, r5, r6, r7}", 9, "[TRM]"),
        ("PUSH of eight 9", "push {r0, r1, r2, r3, r4, r5, r6, r7}", 9, "[TRM]"),
        ("POP of three 4", "pop {r0, r1, r2}", 4, "[TRM]"),
        ("IT folded onto a 16-bit instruction: 0",
         "adds r0, r0, r1; it eq; addeq r2, r3", 2, "[TRM]", 3),
        ("IT behind a 32-bit instruction: 1", "add.w r0, r0, r1; it eq; addeq r2, r3", 3, "[TRM]"),
        ("IT block of two", "add.w r0, r0, r1; ite eq; addeq r2, r3; addne r2, r4", 4, "[TRM]"),
        ("byte loads pipeline as words do",
         "ldrb r0, [r1]; ldrb r2, [r1, #1]; adds r3, r3, r4", 4, "[TRM]"),
        ("wide instructions on word borders", "add.w r0, r1, #1; add.w r2, r3, #1", 2, "[i-0]"),
        ("16 and 32 bits mixed",
         "adds r0, r1; add.w r2, r3, #1; adds r0, r1; adds r4, r5; add.w r2, r3, #1", 5, "[KA]"),
        ("MOVW, MOVT 1", "movw r0, #1; movt r0, #2", 2, "[TRM]"),
        ("shifted operand 1", "add.w r0, r1, r2, lsl #3", 1, "[TRM]"),
        ("MLS 2", "mls r0, r1, r2, r3", 2, "[TRM]"),
        ("long unsigned accumulate, 4 to 7", "umlal r0, r1, r2, r3", 5, "[TRM]"),
    ]),
    *_cases("cortex-m3", "loop", [
        ("B 1 + P, P = 1", "1: b 1b", 2, "[TRM]"),
        ("BNE 1 + P, P = 1", "1: bne 1b", 2, "[TRM]"),
        ("BL 1 + P, P = 1", ".balign 4; 1: bl 1b", 2, "[TRM]"),
        ("BX 1 + P, P = 2", "bx lr", 3, "[TRM]"),
        ("TBB 2 + P, P = 2", "tbb [r0, r1]", 4, "[TRM]"),
        ("POP with PC 1 + N + P, P = 3", "pop {r0, pc}", 6, "[TRM]"),
        ("LDR to PC, at least 5", "adds r0, r0, r2; ldr pc, [r1]", 6, "[TRM]"),
        ("TBB, at least 6", "tbb [r0, r1]", 6, "[TRM] 3.3.2", 4),
        ("a wide target on a word border", "1: add.w r0, r1, #1; b 1b", 3, "[TRM]"),
    ]),
    *_cases("cortex-m3", "loop, 2 off", [
        ("a wide target off one: 1 more", "1: add.w r0, r1, #1; b 1b", 4, "[TRM]"),
        ("a 16-bit target off one", "1: adds r0, r1, #1; b 1b", 3, "[TRM]"),
    ]),
    *_cases("cortex-m3", "apart", [
        ("address one cycle early", "add r0, r1; ldr r2, [r0]", 2, "[jnk0le]"),
        ("offset one cycle early", "add r0, r1; ldr r2, [r3, r0]", 2, "[jnk0le]"),
        ("stored value", "add r0, r1; str r0, [r3]", 1, "[jnk0le]"),
        ("loaded address: not pipelined", "ldr r0, [r1]; ldr r2, [r0]", 2, "[TRM]"),
        ("store with a loaded address", "ldr r0, [r1]; str r2, [r0]", 2, "[TRM]"),
        ("post-indexed stores on one base", "str r0, [r1], #4; str r2, [r1], #4", 2, "[jnk0le]"),
        ("post-indexed stores on two", "str r0, [r1], #4; str r2, [r3], #4", 1, "[jnk0le]"),
        ("pre-indexed stores on one base", "str r0, [r1, #4]!; str r2, [r1, #4]!", 2, "[jnk0le]"),
        ("pre-indexed stores on two", "str r0, [r1, #4]!; str r2, [r3, #4]!", 1, "[jnk0le]"),
        ("pre-indexed loads on one base", "ldr r0, [r1, #4]!; ldr r2, [r1, #4]!", 2, "[jnk0le]"),
        ("pre-indexed loads on two", "ldr r0, [r1, #4]!; ldr r2, [r3, #4]!", 2, "[jnk0le]"),
        ("load, post-indexed store", "ldr r0, [r1]; str r2, [r3], #4", 2, "[jnk0le]"),
        ("load, pre-indexed store", "ldr r0, [r1]; str r2, [r3, #4]!", 2, "[jnk0le]"),
        ("the first of a run may be post-indexed", "ldr r0, [r1], #4; ldr r2, [r3]", 1, "[jnk0le]"),
        ("store, then load multiple", "str r0, [r1]; ldmia r2, {r3, r4}", 2, "[jnk0le]"),
        ("store, then store", "str r0, [r1]; str r2, [r3]", 1, "[jnk0le]"),
        ("post-indexed loads on one base", "ldr r0, [r1], #4; ldr r2, [r1], #4", 2, "[jnk0le]"),
        ("post-indexed loads on two", "ldr r0, [r1], #4; ldr r2, [r3], #4", 2, "[jnk0le]"),
    ]),
    *_cases("cortex-m3", "2 off", _WIDE_OFF_BORDERS),
    *_cases("cortex-m3", "executed", _DATA_OFF_BORDERS),
    *_cases("cortex-m4", "repeated", [
        ("accumulator chain", "smlad r0, r1, r2, r0", 1, "[TRM]"),
        ("long accumulate", "smlal r0, r1, r2, r3", 1, "[TRM]"),
        ("lone load", "ldr r0, [r1]; adds r2, r2, r3", 3, "[TRM]"),
        ("load-use", "ldr r0, [r1]; adds r0, r0, r3", 3, "[jnk0le]"),
        ("three loads", "ldr r0, [r1]; ldr r2, [r1]; ldr r3, [r1]; adds r4, r4, r5", 5, "[TRM]"),
        ("load eats a nop", "ldr r0, [r1]; nop; adds r2, r2, r3", 3, "[jnk0le]"),
        ("store", "str r0, [r1]; adds r2, r2, r3", 2, "[TRM]"),
        ("store, then load", "str r0, [r1]; ldr r2, [r1]; adds r3, r3, r4", 5, "[jnk0le]"),
        ("load, then store", "ldr r0, [r1]; str r0, [r2]; adds r3, r3, r4", 3, "[jnk0le]"),
        ("address one cycle early", "adds r0, r0, r1; ldr r2, [r0]; nop", 4, "[jnk0le]"),
        ("load multiple 1 + N", "ldmia r0, {r1, r2, r3, r4}", 5, "[TRM]"),
        ("push 1 + N", "push {r4, r5, r6, r7}", 5, "[TRM]"),
        ("VFMA 3", "vfma.f32 s0, s1, s2; vfma.f32 s3, s1, s2", 6, "[TRM]"),
        ("VDIV 14", "vdiv.f32 s0, s1, s2", 14, "[TRM]"),
        ("VSQRT 14", "vsqrt.f32 s0, s1", 14, "[TRM]"),
        ("VLDR.64 3", "vldr d0, [r0]", 3, "[TRM]"),
        ("VSTR.64 3", "vstr d0, [r0]", 3, "[TRM]"),
        ("VLDM 1 + N", "vldmia r0, {s0, s1, s2}", 4, "[TRM]"),
        ("VSTM 1 + N", "vstmia r0, {s0, s1, s2}", 4, "[TRM]"),
        ("VLDM of doubles 1 + N", "vldmia r0, {d0, d1}", 5, "[TRM]"),
        ("lone VLDR 2", "vldr s0, [r0]; adds r2, r2, r3", 3, "[TRM]"),
        ("VSTR 2", "vstr s0, [r0]", 2, "[TRM]"),
        ("division, 2 to 12", "sdiv r0, r1, r2", 7, "[TRM]"),
        ("LDRD 1 + N", "ldrd r0, r1, [r2]", 3, "[TRM]"),
        ("long multiply", "umull r0, r1, r2, r3", 1, "[TRM]"),
        ("LDR; LDR: three in all", "ldr r0, [r1]; ldr r1, [r2]; adds r4, r4, r5", 4, "[TRM]"),
        ("LDR; LDR; LDR: four in all",
         "ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]; adds r4, r4, r6", 5, "[TRM]"),
        ("LDR, STR of what it loaded: three in all",
         "ldr r0, [r1, r2]; str r0, [r3, #20]; adds r4, r4, r5", 4, "[TRM]", 3),
        ("LDR, STR with register offset: three in all",
         "ldr r0, [r1, r2]; str r4, [r3, r2]; adds r5, r5, r6", 4, "[TRM]"),
        ("STR with constant offset 1", "str r0, [r1, #4]; adds r2, r2, r3", 2, "[TRM]"),
        ("LDR, then LDRD: not pipelined, 2 and 3",
         "ldr r0, [r1]; ldrd r2, r3, [r4]; adds r5, r5, r6", 6, "[TRM]", 5),
        ("LDRD, then LDR: not pipelined, 3 and 2",
         "ldrd r2, r3, [r4]; ldr r0, [r1]; adds r5, r5, r6", 6, "[TRM]"),
        ("LDR, then LDM: not pipelined, 2 and 3",
         "ldr r0, [r1]; ldmia r4, {r2, r3}; adds r5, r5, r6", 6, "[TRM]", 5),
        ("LDM, then LDR: not pipelined, 3 and 2",
         "ldmia r4, {r2, r3}; ldr r0, [r1]; adds r5, r5, r6", 6, "[TRM]"),
        ("STR, then STM", "str r0, [r1]; stmia r4, {r2, r3}; adds r5, r5, r6", 5, "[jnk0le]"),
        ("STM of eight 9", "stmia r8, {r0, r1, r2, r3, r4, r5, r6, r7}", 9, "[TRM]"),
        ("PUSH of eight 9", "push {r0, r1, r2, r3, r4, r5, r6, r7}", 9, "[TRM]"),
        ("POP of three 4", "pop {r0, r1, r2}", 4, "[TRM]"),
        ("IT folded onto a 16-bit instruction: 0",
         "adds r0, r0, r1; it eq; addeq r2, r3", 2, "[TRM]", 3),
        ("IT behind a 32-bit instruction: 1", "add.w r0, r0, r1; it eq; addeq r2, r3", 3, "[TRM]"),
        ("IT block of two", "add.w r0, r0, r1; ite eq; addeq r2, r3; addne r2, r4", 4, "[TRM]"),
        ("byte loads pipeline as words do",
         "ldrb r0, [r1]; ldrb r2, [r1, #1]; adds r3, r3, r4", 4, "[TRM]"),
        ("wide instructions on word borders", "add.w r0, r1, #1; add.w r2, r3, #1", 2, "[i-0]"),
        ("16 and 32 bits mixed",
         "adds r0, r1; add.w r2, r3, #1; adds r0, r1; adds r4, r5; add.w r2, r3, #1", 5, "[KA]"),
        ("MOVW, MOVT 1", "movw r0, #1; movt r0, #2", 2, "[TRM]"),
        ("shifted operand 1", "add.w r0, r1, r2, lsl #3", 1, "[TRM]"),
        ("MLA, MLS chain", "mla r0, r1, r2, r0; mls r0, r1, r2, r0", 2, "[TRM]"),
        ("saturating arithmetic 1", "qadd r0, r1, r2; ssat r3, #8, r4", 2, "[TRM]"),
        ("VPUSH 1 + N", "vpush {s16, s17, s18}", 4, "[TRM]"),
        ("VPOP 1 + N", "vpop {s16, s17, s18}", 4, "[TRM]"),
        ("VMOV from the core 1", "vmov s0, r0", 1, "[i-0]"),
        ("VMOV to the core 1", "vmov r0, s0", 1, "[i-0]"),
        ("VMOV of two from the core 2", "vmov d0, r0, r1", 2, "[i-0]", 1),
        ("VMOV of two to the core 2", "vmov r0, r1, d0", 2, "[i-0]", 1),
        ("VCVT 1", "vcvt.f32.s32 s0, s1", 1, "[TRM]"),
        ("store with register offset 2", "str r0, [r1, r2]; adds r3, r3, r4", 3, "[jnk0le]"),
        ("such a store, then a nop", "str r0, [r1, r2]; nop; adds r3, r3, r4", 3, "[jnk0le]"),
    ]),
    *_cases("cortex-m4", "loop", [
        ("taken branch 1 + P, P = 1", ".balign 4; 1: subs r0, r0, #1; bne 1b", 3, "[TRM]"),
        ("LDR to PC, at least 5", "adds r0, r0, r2; ldr pc, [r1]", 6, "[TRM]"),
        ("TBB, at least 6", "tbb [r0, r1]", 6, "[TRM] 3.3.2", 4),
        ("B 1 + P, P = 1", "1: b 1b", 2, "[TRM]"),
        ("BX 1 + P, P = 2", "bx lr", 3, "[TRM]"),
        ("TBB 2 + P, P = 2", "tbb [r0, r1]", 4, "[TRM]"),
        ("POP with PC 1 + N + P, P = 3", "pop {r0, pc}", 6, "[TRM]"),
        ("a wide target on a word border", "1: add.w r0, r1, #1; b 1b", 3, "[i-0]"),
    ]),
    *_cases("cortex-m4", "loop, 2 off", [
        ("a wide target off one: 1 more", "1: add.w r0, r1, #1; b 1b", 4, "[i-0]"),
        ("a 16-bit target off one", "1: adds r0, r1, #1; b 1b", 3, "[i-0]"),
    ]),
    *_cases("cortex-m4", "apart", [
        ("post-indexed loads on one base", "ldr r0, [r1], #4; ldr r2, [r1], #4", 2, "[jnk0le]"),
        ("post-indexed loads on two", "ldr r0, [r1], #4; ldr r2, [r3], #4", 1, "[jnk0le]"),
        ("VADD to VADD", "vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2, "[TRM]"),
        ("VMUL to VADD", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2, "[TRM]"),
        ("VFMA to VADD", "vfma.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 4, "[TRM]"),
        ("loaded address: not pipelined", "ldr r0, [r1]; ldr r2, [r0]", 2, "[TRM]"),
        ("store with a loaded address", "ldr r0, [r1]; str r2, [r0]", 2, "[TRM]"),
        ("post-indexed stores on one base", "str r0, [r1], #4; str r2, [r1], #4", 2, "[jnk0le]"),
        ("post-indexed stores on two", "str r0, [r1], #4; str r2, [r3], #4", 1, "[jnk0le]"),
        ("pre-indexed stores on one base", "str r0, [r1, #4]!; str r2, [r1, #4]!", 2, "[jnk0le]"),
        ("pre-indexed stores on two", "str r0, [r1, #4]!; str r2, [r3, #4]!", 1, "[jnk0le]"),
        ("pre-indexed loads on one base", "ldr r0, [r1, #4]!; ldr r2, [r1, #4]!", 2, "[jnk0le]"),
        ("pre-indexed loads on two", "ldr r0, [r1, #4]!; ldr r2, [r3, #4]!", 1, "[jnk0le]"),
        ("load, post-indexed store", "ldr r0, [r1]; str r2, [r3], #4", 1, "[jnk0le]"),
        ("load, pre-indexed store", "ldr r0, [r1]; str r2, [r3, #4]!", 1, "[jnk0le]"),
        ("the first of a run may be post-indexed", "ldr r0, [r1], #4; ldr r2, [r3]", 1, "[jnk0le]"),
        ("store, then load multiple", "str r0, [r1]; ldmia r2, {r3, r4}", 2, "[jnk0le]"),
        ("store, then store", "str r0, [r1]; str r2, [r3]", 1, "[jnk0le]"),
        ("address one cycle early", "add r0, r1; str r2, [r0]", 2, "[jnk0le]"),
    ]),
    *_cases("cortex-m4", "2 off", _WIDE_OFF_BORDERS),
    *_cases("cortex-m4", "executed", _DATA_OFF_BORDERS),
    *_cases("cortex-m33", "repeated", [
        ("load-use 2", "ldr r0, [r1]; adds r0, r0, r3", 3, "[jnk0le]"),
        ("load to store 1", "ldr r0, [r1]; str r0, [r2]", 2, "[jnk0le]"),
        ("load to accumulator 1", "ldr r0, [r1]; mla r0, r2, r3, r0", 2, "[jnk0le]"),
        ("accumulator chain", "smlad r0, r1, r2, r0", 1, "[jnk0le]"),
        ("MAC result 2", "mla r0, r1, r2, r3; adds r3, r0, #1", 3, "[jnk0le]"),
        ("shifted operand 2", "add.w r0, r1, r2, ror #24; adds r2, r0, #1", 3, "[jnk0le]"),
        ("SIMD result 2", "qsub8 r0, r1, r2; adds r1, r0, #1", 3, "[jnk0le]"),
        ("flag-setting MULS", "muls r0, r1, r0; nop", 2, "[jnk0le] [KA]"),
        ("no arithmetic pairs", "adds r0, r0, r1; adds r2, r2, r3", 2, "[jnk0le]"),
        ("nop with an addition", "nop; adds r0, r0, r1", 1, "[jnk0le]"),
        ("load multiple N", "ldmia r0!, {r1, r2, r3, r4}", 4, "[jnk0le]"),
        ("FMA accumulator 3", "vfma.f32 s0, s1, s2", 3, "[jnk0le]"),
        ("VADD pipelines", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2, "[jnk0le]"),
        ("FPU alone waits for an FMA", "vfma.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 4, "[jnk0le]"),
        ("others do not", "vfma.f32 s0, s1, s2; add r0, r1; add r2, r3", 3, "[jnk0le]"),
        ("division, 2 to 11", "udiv r0, r1, r2", 6, "[TRM]"),
        ("LDRD 2", "ldrd r0, r1, [r2]", 2, "[jnk0le]"),
        ("STRD 2", "strd r0, r1, [r2]", 2, "[jnk0le]"),
        ("store multiple N", "stmia r0!, {r1, r2, r3, r4}", 4, "[jnk0le]"),
        ("VLDM N", "vldmia r0, {s0, s1, s2}", 3, "[jnk0le]"),
        ("VSTM N", "vstmia r0, {s0, s1, s2}", 3, "[jnk0le]"),
        ("VLDR.64 2", "vldr d0, [r0]", 2, "[jnk0le]"),
        ("VSTR.64 2", "vstr d0, [r0]", 2, "[jnk0le]"),
        ("two nops", "nop; nop", 1, "[jnk0le]"),
        ("wide encodings never pair", "nop.w; add r0, r1", 2, "[jnk0le]"),
        ("nothing pairs with a wide one", "nop; add.w r0, r1, #1", 2, "[jnk0le]"),
        ("IT pairs", "add.w r2, r3, #1; it eq; addeq r0, r1", 2, "[jnk0le]"),
        ("a branch not taken pairs", "adds r0, r0, r1; cbz r7, 1f; add r2, r3; 1:", 2, "[jnk0le]"),
        ("flags and a shifted constant", "adds.w r0, r1, #0xff00000; nop", 3, "[jnk0le]"),
        ("comparison with one", "cmp.w r1, #0xff00000; nop", 2, "[jnk0le]"),
        ("flags and a constant of 12 bits", "adds.w r0, r1, #0xff0; nop", 2, "[jnk0le]"),
        ("flags and a constant of 13 bits", "adds.w r0, r1, #0x1fe0; nop", 3, "[jnk0le]"),
        ("flags and bytes, 00XY00XY", "adds.w r0, r1, #0x120012; nop", 2, "[jnk0le]"),
        ("flags and bytes, XY00XY00", "adds.w r0, r1, #0x12001200; nop", 2, "[jnk0le]"),
        ("flags and bytes, XYXYXYXY", "adds.w r0, r1, #0x12121212; nop", 2, "[jnk0le]"),
        ("no arithmetic with a load", "adds r0, r0, r1; ldr r2, [r3]", 2, "[jnk0le]"),
        ("nop with a load", "nop; ldr r0, [r1]", 1, "[jnk0le]"),
        ("LDM of two N", "ldmia r4, {r0, r1}; nop", 3, "[jnk0le]"),
        ("shifted constants and MLA chain",
         "add.w r0, r1, r2, ror #24; mla r3, r4, r5, r0", 2, "[jnk0le]"),
        ("UXTAB accumulators chain", "uxtab r0, r0, r1", 1, "[jnk0le]"),
        ("VMOV of two to the core 2", "vmov r0, r1, s0, s1", 2, "[jnk0le]", 1),
        ("VMOV of two from the core 1", "vmov s0, s1, r0, r1", 1, "[jnk0le]"),
        ("IT, a shifted constant with flags",
         "mov r10, r10; it eq; addseq.w r0, r1, #0x1fc0", 3, "[jnk0le]", 2),
        ("unfused products, two accumulators",
         "vmul.f32 s0, s1, s2; vmul.f32 s4, s5, s6; vadd.f32 s3, s3, s0; vadd.f32 s7, s7, s4",
         4, "[jnk0le]"),
    ]),
    *_cases("cortex-m33", "loop", [
        ("behind flags 2", "1: subs r7, r7, #1; bne 1b", 3, "[jnk0le]"),
        ("pairs with an addition", "1: subs r7, r7, #1; add r0, r1; bne 1b", 3, "[jnk0le]"),
        ("pairs with LDM", "1: subs r7, r7, #1; ldmia r6!, {r0-r3}; bne 1b", 6, "[jnk0le]"),
        ("taken branch alone 2", "1: b 1b", 2, "[jnk0le]"),
        ("taken conditional branch alone 2", "1: bne 1b", 2, "[jnk0le]"),
        ("call 2", "1: bl 1b", 2, "[jnk0le]"),
        ("a return pairs too", "add r0, r1; bx lr", 2, "[jnk0le]"),
        ("no taken branch pairs with flags", "1: adds r0, r0, r1; b 1b", 3, "[jnk0le]"),
        ("pop {pc}, one more than pop {lr} and bx lr", "pop {pc}", 4, "[jnk0le]"),
    ]),
    *_cases("cortex-m33", "apart", [
        ("byte load-use 2", "ldrb r0, [r1]; adds r0, r0, r3", 2, "[jnk0le]"),
        ("LDRD-use, 2 behind the second word", "ldrd r0, r2, [r1]; adds r3, r2, #1", 3, "[jnk0le]"),
        ("multiply result 2", "mul r0, r1, r2; adds r3, r0, #1", 2, "[jnk0le]"),
        ("multiply to multiplicand 2", "mul r0, r1, r2; mul r3, r0, r4", 2, "[jnk0le]"),
        ("multiply to accumulator 1", "mul r0, r1, r2; mla r3, r4, r5, r0", 1, "[jnk0le]"),
        ("multiply to store 1", "mul r0, r1, r2; str r0, [r3]", 1, "[jnk0le]"),
        ("long multiply result 2", "smull r0, r1, r2, r3; adds r4, r1, #1", 2, "[jnk0le]"),
        ("long accumulate result 2", "smlal r0, r1, r2, r3; adds r4, r0, #1", 2, "[jnk0le]"),
        ("long accumulator chain 1", "smlal r0, r1, r2, r3; smlal r0, r1, r4, r5", 1, "[jnk0le]"),
        ("addition result 1", "add r0, r1; add r2, r0", 1, "[jnk0le]"),
        ("load to CBZ 2", "ldr r0, [r1]; .short 0xb100", 2, "[jnk0le]"),
        ("nothing pairs behind a branch", "beq 1f; 1: nop", 1, "[jnk0le]"),
        ("a base made anew", "str r0, [r1], #4; mul r1, r2, r3; add r4, r1", 3, "[jnk0le]"),
        ("VADD result 2", "vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2, "[jnk0le]"),
        ("VMUL result 2", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2, "[jnk0le]"),
        ("FMA result 4", "vfma.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 4, "[jnk0le]"),
        ("VMOV to the core 2", "vmov r0, s0; adds r1, r0, #1", 2, "[jnk0le]"),
        ("VLDR to use 1", "vldr s0, [r0]; vadd.f32 s1, s0, s2", 1, "[jnk0le]"),
        ("nop, addition", "nop; add r0, r1", 0, "[jnk0le]"),
        ("UXTAB result 2", "uxtab r0, r1, r2; adds r3, r0, #1", 2, "[jnk0le]", 1),
        ("SXTAH result 2", "sxtah r0, r1, r2; adds r3, r0, #1", 2, "[jnk0le]", 1),
        ("BFI result 1", "bfi r0, r1, #3, #4; add.w r3, r0, #1", 1, "[jnk0le]"),
        ("PKHBT result 2", "pkhbt r0, r1, r2; adds r3, r0, #1", 2, "[jnk0le]", 1),
        ("shifted constant result 2",
         "add.w r0, r1, #0xff00000; adds r3, r0, #1", 2, "[jnk0le]", 1),
        ("shifted operand to accumulator 1",
         "add.w r0, r1, r2, ror #24; mla r3, r4, r5, r0", 1, "[jnk0le]"),
        ("UXTAB to accumulator 1", "uxtab r0, r1, r2; mla r3, r4, r5, r0", 1, "[jnk0le]"),
        ("shifted operand, flags 2", "adds.w r0, r1, r2, ror #24; adc.w r3, r4, r5", 2, "[jnk0le]"),
        ("SIMD result to accumulator 2", "qsub8 r0, r1, r2; mla r3, r4, r5, r0", 2, "[jnk0le]", 1),
        ("load to shifted operand 2", "ldr r0, [r1]; add.w r2, r3, r0, ror #8", 2, "[jnk0le]"),
        ("load to address 2", "ldr r0, [r1]; ldr r2, [r0]", 2, "[jnk0le]"),
        ("byte load to accumulator 1", "ldrb r0, [r1]; mla r2, r3, r4, r0", 1, "[jnk0le]"),
        ("byte load to store 1", "ldrb r0, [r1]; strb r0, [r2]", 1, "[jnk0le]"),
        ("FMA result to multiplicand 4", "vfma.f32 s0, s1, s2; vfma.f32 s3, s0, s4", 4, "[jnk0le]"),
        ("FMA, then VLDR 3", "vfma.f32 s0, s1, s2; vldr s3, [r0]", 3, "[jnk0le]"),
        ("VMOV from the core 1", "vmov s0, r0; vadd.f32 s1, s0, s2", 1, "[jnk0le]"),
        ("VMOV of two from the core, result 2",
         "vmov s0, s1, r0, r1; vadd.f32 s2, s0, s3", 2, "[jnk0le]", 1),
        ("VADD issues before its operand",
         "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4; mov r10, r10; mov r10, r10; vstr s3, [r0]",
         4, "[jnk0le]", 5),
        ("FMA, other work, VADD",
         "vfma.f32 s0, s1, s2; mov r10, r10; mov r10, r10; vadd.f32 s3, s4, s5", 3, "[jnk0le]"),
    ]),
    *_cases("cortex-m33", "apart, 2 off", [
        ("a pair off a word border", "nop; add r0, r1", 0, "[jnk0le]"),
    ]),
    *_cases("cortex-m33", "executed", [
        ("word, 2 bytes off: two transfers", "ldr r0, [r3, #2]; nop", 1, "[TI]"),
        ("on its border", "ldr r0, [r3]; nop", 0, "[TI]"),
    ]),
    *_cases("cortex-m7", "repeated", [
        ("two ALUs", "add.w r0, r1, #1; add.w r2, r3, #1", 1, "[jnk0le]"),
        ("early to late ALU in no time", "add.w r0, r1, #1; eor.w r2, r0, r3", 1, "[jnk0le]"),
        ("MACs never pair", "smlad r0, r1, r2, r0; smlad r3, r1, r2, r3", 2, "[jnk0le]"),
        ("MAC with an addition", "smlad r0, r1, r2, r0; add.w r3, r4, #1", 1, "[jnk0le]"),
        ("MAC and store never pair", "smlad r0, r1, r2, r0; str.w r3, [r4]", 2, "[jnk0le]"),
        ("multiply result one later", "mul r0, r1, r2; eor.w r1, r0, r3", 3, "[jnk0le]"),
        ("accumulator chain", "mla r0, r1, r2, r0", 1, "[jnk0le]"),
        ("SIMD never pairs", "sxtb16 r0, r1; sxtb16 r2, r3", 2, "[jnk0le]"),
        ("loads on two banks", "ldr.w r0, [r1]; ldr.w r2, [r1, #4]", 1, "[jnk0le]"),
        ("loads on one bank", "ldr.w r0, [r1]; ldr.w r2, [r1, #8]", 2, "[jnk0le]"),
        ("stores never pair", "str.w r0, [r1]; str.w r2, [r1, #4]", 2, "[jnk0le]"),
        ("load with store", "ldr.w r0, [r1]; str.w r2, [r3]", 1, "[jnk0le]"),
        ("word load, next cycle", "ldr.w r0, [r1]; and.w r1, r0, r2", 3, "[jnk0le]"),
        ("byte load, one later", "ldrb.w r0, [r1]; and.w r1, r0, r2", 4, "[jnk0le]"),
        ("multiple, two a cycle", "ldmia r0, {r1, r2, r3, r4, r5}", 3, "[jnk0le]"),
        ("shifts never pair", "add.w r0, r1, r2, ror #8; add.w r3, r1, r2, ror #8", 2, "[jnk0le]"),
        ("FMA accumulator 3", "vfma.f32 s0, s1, s2", 3, "[jnk0le]"),
        ("three FMAs",
         "vfma.f32 s0, s9, s8; vfma.f32 s1, s9, s8; vfma.f32 s2, s9, s8", 3, "[jnk0le]"),
        ("VDIV 16", "vdiv.f32 s0, s1, s2", 16, "[jnk0le]"),
        ("VSQRT 14", "vsqrt.f32 s0, s1", 14, "[jnk0le]"),
        ("store multiple, two a cycle", "stmia r0, {r1, r2, r3, r4, r5}", 3, "[jnk0le]"),
        ("VLDM, two a cycle", "vldmia r0, {s0, s1, s2, s3, s4}", 3, "[jnk0le]"),
        ("VSTM, two a cycle", "vstmia r0, {s0, s1, s2, s3, s4}", 3, "[jnk0le]"),
        ("division 7", "udiv r0, r1, r2", 7, "[LLVM]"),
        ("VDIV pairs, and then stalls", "add.w r0, r1, #1; vdiv.f32 s0, s1, s2", 16, "[jnk0le]"),
        ("banks equal every other time", "ldr.w r0, [r1]; ldr.w r2, [r3]", 1.5, "[jnk0le]"),
        ("at unknown distance", "ldr.w r0, [r1, r2]; ldr.w r3, [r1]", 1.5, "[jnk0le]"),
        ("from an unknown one", "ldr.w r0, [r1]; ldr.w r2, [r1, r3]", 1.5, "[jnk0le]"),
        ("a base that moves", "ldr.w r0, [r1], #4; ldr.w r2, [r3]", 1.5, "[jnk0le]"),
        ("banks are words", "ldrb.w r0, [r1, #3]; ldrb.w r2, [r1, #7]", 1, "[jnk0le]"),
        ("banks behind one another", "ldr.w r0, [r1, #12]; ldr.w r2, [r1]", 1, "[jnk0le]"),
        ("post-indexed loads on one base, one a cycle",
         "ldr.w r0, [r1], #4; ldr.w r2, [r1], #4", 2, "[jnk0le]"),
        ("post-indexed loads, two bases", "ldr.w r0, [r1], #8; add.w r4, r5, #1", 1, "[jnk0le]"),
        ("LDRD, one a cycle", "ldrd r0, r1, [r2]", 1, "[jnk0le]"),
        ("STRD, one a cycle", "strd r0, r1, [r2]", 1, "[jnk0le]"),
        ("IT never makes a third", "it eq; moveq r0, r1", 1, "[jnk0le]"),
        ("STM of an even number, 4 bytes off 8", "stmia r0, {r1, r2, r3, r4}", 3, "[jnk0le]", 2),
        ("unaligned stores, one every cycle", "str.w r0, [r1, #1]", 4, "[jnk0le]", 1),
        ("SMLAD with a shifted operand",
         "smlad r0, r1, r2, r0; add.w r3, r4, r5, lsl #8", 1, "[jnk0le]"),
        ("VADD pipelines", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2, "[jnk0le]"),
        ("VLDR on two banks", "vldr s0, [r0]; vldr s1, [r0, #4]", 1, "[jnk0le]"),
        ("wide instructions, two a cycle", ".rept 4; add.w r0, r1, #1; .endr", 2, "[jnk0le]"),
    ]),
    *_cases("cortex-m7", "loop", [
        ("predicted, pairs", "1: subs.w r0, r0, #1; bne.w 1b", 1, "[jnk0le]"),
        ("no pair with a wide target", "1: add.w r0, r1, #1; nop.w; b.w 1b", 2, "[jnk0le]"),
    ]),
    *_cases("cortex-m7", "apart", [
        ("word load to late ALU", "ldr.w r0, [r1]; and.w r2, r0, r3", 1, "[jnk0le]"),
        ("byte load to late ALU", "ldrb.w r0, [r1]; and.w r2, r0, r3", 2, "[jnk0le]"),
        ("LDRD to late ALU", "ldrd r0, r2, [r1]; and.w r3, r2, r4", 1, "[LLVM]"),
        ("LDM to late ALU", "ldmia r4, {r0, r1, r2, r3}; and.w r5, r3, r6", 2, "[jnk0le]"),
        ("word load to address", "ldr.w r0, [r1]; ldr.w r2, [r0]", 2, "[jnk0le]"),
        ("word load to shifted operand", "ldr.w r0, [r1]; add.w r2, r3, r0, lsl #8", 2, "[jnk0le]"),
        ("word load to multiplicand", "ldr.w r0, [r1]; mul r2, r0, r3", 2, "[jnk0le]"),
        ("byte load to multiplicand", "ldrb.w r0, [r1]; mul r2, r0, r3", 2, "[jnk0le]"),
        ("word load to accumulator", "ldr.w r0, [r1]; mla r2, r3, r4, r0", 0, "[jnk0le]"),
        ("byte load to accumulator", "ldrb.w r0, [r1]; mla r2, r3, r4, r0", 1, "[jnk0le]"),
        ("byte load to store", "ldrb.w r0, [r1]; strb.w r0, [r2]", 0, "[jnk0le]"),
        ("multiply to late ALU", "mul r0, r1, r2; eor.w r3, r0, r4", 2, "[jnk0le]"),
        ("accumulate to late ALU", "mla r0, r1, r2, r3; eor.w r4, r0, r5", 2, "[jnk0le]"),
        ("long multiply to late ALU", "smull r0, r1, r2, r3; eor.w r4, r1, r5", 2, "[jnk0le]"),
        ("long accumulate to late ALU", "smlal r0, r1, r2, r3; eor.w r4, r0, r5", 2, "[jnk0le]"),
        ("multiply to accumulator", "mul r0, r1, r2; mla r3, r4, r5, r0", 1, "[jnk0le]"),
        ("early ALU to address", "add.w r0, r1, #1; ldr.w r2, [r0]", 1, "[jnk0le]"),
        ("late ALU to address", "and.w r0, r1, #1; ldr.w r2, [r0]", 2, "[jnk0le]"),
        ("late ALU to late ALU", "and.w r0, r1, #1; eor.w r2, r0, r3", 1, "[jnk0le]"),
        ("late addition", "and.w r1, r6, #1; add.w r0, r1, #1; ldr.w r2, [r0]", 3, "[jnk0le]"),
        ("younger addition", "and.w r4, r5, #1; add.w r0, r1, #1; ldr.w r2, [r0]", 2, "[jnk0le]"),
        ("younger shift", "and.w r4, r5, #1; lsl.w r0, r1, #1; ldr.w r2, [r0]", 1, "[jnk0le]"),
        ("flags come late", "adds.w r0, r1, #1; adc.w r2, r3, r4", 1, "[jnk0le]"),
        ("and for IT", "cmp.w r0, #1; it eq; moveq r1, r2; add.w r4, r5, #1", 2, "[jnk0le]"),
        ("moved base, next cycle", "str.w r0, [r1], #4; ldr.w r2, [r1]", 1, "[jnk0le]"),
        ("VADD to FPU", "vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s4", 3, "[jnk0le]"),
        ("VMUL to FPU", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 3, "[jnk0le]"),
        ("FMA to multiplicand", "vfma.f32 s0, s1, s2; vfma.f32 s3, s0, s4", 5, "[jnk0le]"),
        ("FMA to accumulator", "vfma.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 3, "[jnk0le]"),
        ("FMA to VSTR", "vfma.f32 s0, s1, s2; vstr s0, [r0]", 3, "[jnk0le]"),
        ("VADD to VSTR", "vadd.f32 s0, s1, s2; vstr s0, [r0]", 1, "[jnk0le]"),
        ("FMA to the core", "vfma.f32 s0, s1, s2; vmov r0, s0", 5, "[jnk0le]"),
        ("VMUL to the core", "vmul.f32 s0, s1, s2; vmov r0, s0", 3, "[jnk0le]"),
        ("VLDR to FPU", "vldr s0, [r0]; vadd.f32 s1, s0, s2", 1, "[jnk0le]"),
        ("VLDR to accumulator", "vldr s0, [r0]; vfma.f32 s0, s1, s2", 3, "[jnk0le]"),
        ("conversion to FPU", "vcvt.f32.s32 s0, s0; vadd.f32 s1, s0, s2", 3, "[LLVM]"),
        ("VMOV to FPU", "vmov.f32 s0, s1; vadd.f32 s2, s0, s3", 3, "[jnk0le]"),
        ("VMOV from the core", "vmov s0, r0; vadd.f32 s1, s0, s2", 3, "[jnk0le]"),
        ("VMOV to the core", "vmov r0, s0; and.w r1, r0, r2", 1, "[jnk0le]"),
        ("VDIV to FPU", "vdiv.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 16, "[jnk0le]"),
        ("VSQRT to FPU", "vsqrt.f32 s0, s1; vadd.f32 s3, s0, s4", 14, "[jnk0le]"),
        ("LDRD alone", "ldrd r0, r1, [r2]; add.w r3, r4, #1", 1, "[jnk0le]"),
        ("STRD alone", "add.w r3, r4, #1; strd r0, r1, [r2]", 1, "[jnk0le]"),
        ("LDM alone", "add.w r3, r4, #1; ldmia r2, {r0, r1}", 1, "[jnk0le]"),
        ("STM alone", "stmia r2, {r0, r1}; add.w r3, r4, #1", 1, "[jnk0le]"),
        ("VLDR.64 alone", "vldr d0, [r2]; add.w r3, r4, #1", 1, "[jnk0le]"),
        ("VSTR.64 alone", "add.w r3, r4, #1; vstr d0, [r2]", 1, "[jnk0le]"),
        ("VLDM alone", "add.w r3, r4, #1; vldmia r2, {s0, s1}", 1, "[jnk0le]"),
        ("VSTM alone", "vstmia r2, {s0, s1}; add.w r3, r4, #1", 1, "[jnk0le]"),
        ("MRS alone", "add.w r3, r4, #1; mrs r0, apsr", 1, "[LLVM]"),
        ("division alone", "add.w r3, r4, #1; udiv r0, r1, r2", 1, "[LLVM]"),
        ("multiplies", "mul r0, r1, r2; smull r3, r4, r1, r2", 1, "[jnk0le]"),
        ("multiply first", "mul r0, r1, r2; add.w r3, r4, #1", 0, "[jnk0le]"),
        ("multiply and store", "mul r0, r1, r2; strb.w r3, [r4]", 1, "[jnk0le]"),
        ("store and multiply", "strb.w r3, [r4]; mul r0, r1, r2", 1, "[jnk0le]"),
        ("multiply and load", "mul r0, r1, r2; ldr.w r3, [r4]", 0, "[jnk0le]"),
        ("store first", "str.w r3, [r4]; add.w r0, r1, #1", 0, "[jnk0le]"),
        ("store and load", "str.w r3, [r4]; ldr.w r0, [r1]", 0, "[jnk0le]"),
        ("field first", "uxtb.w r0, r1; add.w r2, r3, #1", 0, "[jnk0le]"),
        ("field second", "add.w r2, r3, #1; uxtb.w r0, r1", 1, "[jnk0le]"),
        ("field behind a branch", "beq.w 1f; 1: uxtb.w r0, r1", 0, "[jnk0le]"),
        ("SIMD first", "uadd8 r0, r1, r2; add.w r3, r4, #1", 0, "[jnk0le]"),
        ("SIMD second", "add.w r3, r4, #1; uadd8 r0, r1, r2", 1, "[jnk0le]"),
        ("SIMD behind a branch", "beq.w 1f; 1: uadd8 r0, r1, r2", 0, "[jnk0le]"),
        ("shift first", "add.w r0, r1, r2, lsl #8; add.w r3, r4, #1", 0, "[jnk0le]"),
        ("shift second", "add.w r3, r4, #1; add.w r0, r1, r2, lsl #8", 0, "[jnk0le]"),
        ("constant first", "add.w r0, r1, #0xff00000; add.w r3, r4, #1", 0, "[jnk0le]"),
        ("constant second", "add.w r3, r4, #1; add.w r0, r1, #0xff00000", 0, "[jnk0le]"),
        ("shift and constant", "add.w r0, r1, r2, lsl #8; add.w r3, r4, #0xff00000", 1, "[jnk0le]"),
        ("constant and shift", "add.w r3, r4, #0xff00000; add.w r0, r1, r2, lsl #8", 1, "[jnk0le]"),
        ("constants", "add.w r0, r1, #0xff00000; add.w r3, r4, #0xff00000", 1, "[jnk0le]"),
        ("field and shift", "uxtb.w r0, r1; add.w r3, r4, r2, lsl #8", 1, "[jnk0le]"),
        ("field and constant", "uxtb.w r0, r1; add.w r3, r4, #0xff00000", 1, "[jnk0le]"),
        ("a jump to the next instruction", "b.w 1f; 1: add.w r0, r1, #1", 0, "[jnk0le]"),
        ("branches", "beq.w 1f; 1: beq.w 2f; 2:", 1, "[LLVM]"),
        ("three", "add.w r0, r1, #1; add.w r2, r3, #1; add.w r4, r5, #1", 1, "[jnk0le]"),
        ("five", "adds r0, #1; adds r1, #1; adds r2, #1; adds r3, #1; adds r4, #1", 2, "[jnk0le]"),
        ("VADD and VADD", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 1, "[jnk0le]"),
        ("FMA and VLDR", "vfma.f32 s0, s1, s2; vldr s3, [r0]", 1, "[jnk0le]"),
        ("VADD and an addition", "vadd.f32 s0, s1, s2; add.w r3, r4, #1", 0, "[jnk0le]"),
        ("VADD and VMUL, never together",
         "vadd.f32 s0, s1, s2; vmul.f32 s3, s4, s5", 1, "[jnk0le]"),
        ("VADD and VLDR", "vadd.f32 s0, s1, s2; vldr s3, [r0]", 0, "[jnk0le]"),
        ("VLDR and VADD", "vldr s3, [r0]; vadd.f32 s0, s1, s2", 0, "[jnk0le]"),
        ("VMUL and VSTR", "vmul.f32 s0, s1, s2; vstr s3, [r0]", 0, "[jnk0le]"),
        ("VMUL and VMOV", "vmul.f32 s0, s1, s2; vmov.f32 s3, s4", 0, "[jnk0le]"),
        ("VSTR and VFMA, never together", "vstr s3, [r0]; vfma.f32 s0, s1, s2", 1, "[jnk0le]"),
        ("VFMA and VMOV, never together", "vfma.f32 s0, s1, s2; vmov.f32 s3, s4", 1, "[jnk0le]"),
        ("VMOV and VMOV, never together", "vmov r0, s0; vmov r1, s1", 1, "[jnk0le]"),
        ("VMOV and VMOV, never together", "vmov s0, r0; vmov r1, s1", 1, "[jnk0le]"),
        ("VMOV and VMOV, never together", "vmov r0, s0; vmov s1, r1", 1, "[jnk0le]"),
        ("VMOV and VLDR", "vmov r0, s0; vldr s1, [r1]", 0, "[jnk0le]"),
        ("VLDR and VSTR", "vldr s0, [r0]; vstr s1, [r1]", 0, "[jnk0le]"),
        ("VLDR and VLDR", "vldr s0, [r0]; vldr s1, [r0, #4]", 0, "[jnk0le]"),
        ("VSTR and VSTR, never together", "vstr s0, [r0]; vstr s1, [r0, #4]", 1, "[jnk0le]"),
        ("VFMA and ADD", "vfma.f32 s0, s1, s2; add.w r0, r1, #1", 0, "[jnk0le]"),
        ("ADD and VFMA", "add.w r0, r1, #1; vfma.f32 s0, s1, s2", 0, "[jnk0le]"),
        ("VADD and LDR", "vadd.f32 s0, s1, s2; ldr.w r0, [r1]", 0, "[jnk0le]"),
        ("a base that the older changes", "ldr.w r0, [r1], #4; ldr.w r2, [r1]", 1, "[jnk0le]"),
        ("an offset that the older changes",
         "ldr.w r0, [r1, #4]!; ldr.w r2, [r3, r1]", 1, "[jnk0le]"),
        ("post-indexed, another base", "ldr.w r0, [r1], #4; ldr.w r2, [r3]", 0, "[jnk0le]"),
        ("post-indexed base to late ALU", "ldr.w r0, [r1], #4; add.w r2, r1, #1", 0, "[jnk0le]"),
        ("MOVW and MOVT", "movw r0, #1; movt r0, #2", 0, "[jnk0le]"),
        ("field to address", "uxtb.w r0, r1; ldr.w r2, [r0]", 2, "[jnk0le]"),
        ("late ALU to UBFX", "and.w r0, r1, #1; ubfx r2, r0, #1, #4", 2, "[jnk0le]"),
        ("late ALU to UXTB", "and.w r0, r1, #1; uxtb.w r2, r0", 1, "[jnk0le]"),
        ("REV to late ALU", "rev.w r0, r1; eor.w r2, r0, r3", 0, "[jnk0le]", 1),
        ("AGU to late ALU", "ldr.w r0, [r1], #4; eor.w r2, r1, r3", 0, "[jnk0le]"),
        ("REV to address", "rev.w r0, r1; ldr.w r2, [r0]", 2, "[jnk0le]"),
        ("late ALU to inline shift", "and.w r0, r1, #1; add.w r2, r3, r0, lsl #8", 2, "[jnk0le]"),
        ("late ALU to accumulator", "and.w r0, r1, #1; mla r2, r3, r4, r0", 0, "[jnk0le]"),
        ("byte load to early ALU", "ldrb.w r0, [r1]; ldr.w r2, [r0]", 3, "[jnk0le]"),
        ("byte load to inline shift", "ldrb.w r0, [r1]; add.w r2, r3, r0, lsl #8", 3, "[jnk0le]"),
        ("word load to store", "ldr.w r0, [r1]; str.w r0, [r2]", 0, "[jnk0le]"),
        ("VMLA to multiplicand", "vmla.f32 s0, s1, s2; vmul.f32 s3, s0, s4", 6, "[jnk0le]", 5),
        ("VMLA to VMLA accumulator", "vmla.f32 s0, s1, s2; vmla.f32 s0, s3, s4", 3, "[jnk0le]"),
        ("FMA to VMLA accumulator", "vfma.f32 s0, s1, s2; vmla.f32 s0, s3, s4", 2, "[jnk0le]", 3),
        ("VMLA to VSTR", "vmla.f32 s0, s1, s2; vstr s0, [r0]", 4, "[jnk0le]", 3),
        ("VADD to FMA accumulator", "vadd.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 3, "[jnk0le]", 2),
        ("VADD to VMLA accumulator", "vadd.f32 s0, s1, s2; vmla.f32 s0, s3, s4", 2, "[jnk0le]"),
        ("VMUL to FMA accumulator", "vmul.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 3, "[jnk0le]", 2),
        ("VMUL to VSTR", "vmul.f32 s0, s1, s2; vstr s0, [r0]", 1, "[jnk0le]"),
        ("FMA, then VADD", "vfma.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 4, "[jnk0le]"),
        ("FMA, then VLDM", "vfma.f32 s0, s1, s2; vldmia r0, {s3, s4}", 4, "[jnk0le]"),
        ("FMA, then VLDR.64", "vfma.f32 s0, s1, s2; vldr d2, [r0]", 4, "[jnk0le]"),
        ("FMA, then VMOV of a constant",
         "vfma.f32 s0, s1, s2; vmov.f32 s3, #1.0", 4, "[jnk0le]", 1),
        ("VMOV of two alone", "vmov r0, r1, s0, s1; add.w r2, r3, #1", 1, "[jnk0le]", 0),
        ("VMOV to accumulator", "vmov r0, s0; mla r1, r2, r3, r0", 0, "[jnk0le]"),
        ("VLDR to VMOV", "vldr s0, [r0]; vmov r1, s0", 2, "[jnk0le]", 1),
        ("VLDM, last register to FPU", "vldmia r0, {s0, s1}; vadd.f32 s2, s1, s3", 1, "[jnk0le]"),
        ("VLDM, last register to FMA accumulator",
         "vldmia r0, {s0, s1}; vfma.f32 s1, s2, s3", 3, "[jnk0le]", 1),
    ]),
    *_cases("cortex-m7", "behind itself", [
        ("byte stores, one word after the other",
         ".rept 4; strb r0, [r1], #1; .endr", 9.6, "[jnk0le]"),
        ("byte stores to one bank", ".rept 4; strb r0, [r1]; .endr", 16, "[jnk0le]", 9.6),
        ("byte stores to both banks in turn",
         "strb r0, [r1]; strb r0, [r1, #4]", 4, "[jnk0le]", 4.8),
        ("halfword stores in turn", "strh r0, [r1], #2; strh r0, [r1], #2", 4, "[jnk0le]", 4.8),
        ("word stores", "str r0, [r1], #4; str r0, [r1], #4", 2, "[jnk0le]"),
    ]),
    *_cases("cortex-m7", "executed", [
        ("unaligned load as the older", "ldr.w r0, [r3, #1]; nop.w", 3, "[jnk0le]"),
        ("unaligned load as the younger", "nop.w; ldr.w r0, [r3, #1]", 4, "[jnk0le]", 3),
        ("wrongly predicted, flags just before",
         "cmp r0, r0; beq 1f; nop; 1: nop", 8, "[jnk0le]", 7),
        ("wrongly predicted, flags three cycles before",
         "cmp.w r0, r0; .rept 8; nop.w; .endr; beq 1f; nop; 1: nop", 6, "[jnk0le]", 7),
        ("rightly predicted", "cmp r0, r0; bne 1f; nop; 1: nop", 0, "[jnk0le]"),
    ]),
    *_cases("rv32imc", "repeated", [
        ("additions", "add a0, a0, a1; add a0, a0, a2", 2, "[Ibex]"),
        ("load", "lw a0, 0(a1)", 1, "[C3]"),
        ("store", "sw a0, 0(a1)", 1, "[C3]"),
        ("multiply", "mul a0, a1, a2", 1, "[Ibex]"),
        ("high multiply", "mulh a0, a1, a2", 2, "[Ibex]"),
        ("division", "div a0, a1, a2", 38, "[Ibex]", 37),
        ("remainder", "remu a0, a1, a2", 38, "[Ibex]", 37),
        ("byte load", "lbu a0, 0(a1)", 1, "[C3]"),
        ("load-use 2", "lw a0, 0(a1); addi a1, a0, 0", 3, "[C3]"),
        ("halfword store", "sh a0, 0(a1)", 1, "[C3]"),
        ("status register", "csrr a0, mcycle", 1, "[Ibex]", 3),
        ("branch not taken 1", "beqz a0, 1f; 1:", 1, "[Ibex]"),
        ("load, as in Ibex", "lw a0, 4(a1)", 2, "[Ibex]", 1),
        ("store, as in Ibex", "sw a0, 4(a1)", 2, "[Ibex]", 1),
        ("multiply-accumulate chain", "mul a0, a1, a2; add a3, a3, a0", 2, "[Ibex]"),
        ("load, then store", "lw a0, 0(a1); sw a2, 0(a3)", 2, "[C3]"),
        ("16 and 32 bits mixed", "addi a0, a0, 1; addi a1, a2, 100; addi a0, a0, 1", 3, "[Ibex]"),
        ("byte load-use as words", "lbu a0, 0(a1); addi a1, a0, 0", 3, "[C3]"),
    ]),
    *_cases("rv32imc", "loop", [
        ("taken branch 3", "1: addi a0, a0, -1; bnez a0, 1b", 4, "[Ibex]"),
        ("jump 2", "1: j 1b", 2, "[Ibex]"),
        ("call 2", "1: jal ra, 1b", 2, "[Ibex]"),
        ("return 2", "ret", 2, "[Ibex]"),
        ("a wide target on a word border", "1: addi a0, a1, 100; j 1b", 3, "[Ibex]"),
    ]),
    *_cases("rv32imc", "loop, 2 off", [
        ("a wide target off one: two fetches", "1: addi a0, a1, 100; j 1b", 4, "[Ibex]"),
        ("a 16-bit target off one", "1: addi a0, a0, 1; j 1b", 3, "[Ibex]"),
    ]),
    *_cases("rv32imc", "executed", [
        ("word across words: two accesses", "lw a0, 2(a3); nop", 1, "[Ibex]", 0),
        ("on its border", "lw a0, 0(a3); nop", 0, "[Ibex]"),
    ]),
]  # fmt: skip

UNDOCUMENTED = [
    *_cases("cortex-m0plus", "loop, 2 off", [
        ("a branch to a target off a word border", "1: adds r0, r0, #1; b 1b", 3, ""),
    ]),
    *_cases("cortex-m3", "repeated", [
        ("MRS of a special register", "mrs r0, primask", 2, ""),
    ]),
    *_cases("cortex-m4", "repeated", [
        ("whether VLDRs pipeline", "vldr s0, [r0]; vldr s1, [r0, #4]; adds r2, r2, r3", 4, ""),
        ("whether a VSTR pipelines with a VLDR", "vldr s0, [r0]; vstr s1, [r0]; nop", 4, ""),
    ]),
    *_cases("cortex-m33", "repeated", [
        ("VDIV", "vdiv.f32 s0, s1, s2", 14, ""),
        ("VSQRT", "vsqrt.f32 s0, s1", 14, ""),
        ("status register", "mrs r0, apsr", 2, ""),
        ("store, then load", "str r0, [r1]; ldr r2, [r1]", 2, ""),
        ("store with register offset", "str r0, [r1, r2]; adds r3, r3, r4", 2, ""),
    ]),
    *_cases("cortex-m33", "loop", [
        ("return", "bx lr", 2, ""),
        ("table branch", "tbb [r0, r1]", 3, ""),
    ]),
    *_cases("cortex-m33", "loop, 2 off", [
        ("a wide target off a word border", "1: add.w r0, r1, #1; b 1b", 3, ""),
    ]),
    *_cases("cortex-m33", "apart", [
        ("LDM-use", "ldmia r4, {r0, r1, r2}; adds r3, r2, #1", 4, ""),
        ("moved base", "ldr r0, [r1], #4; ldr r2, [r1]", 1, ""),
        ("pre-indexed base", "ldr r0, [r1, #4]!; ldr r2, [r1, #4]!", 1, ""),
    ]),
    *_cases("cortex-m33", "2 off", [
        ("wide instructions off word borders", ".rept 8; movw r0, #1; .endr", 0, ""),
    ]),
    *_cases("cortex-m33", "executed", [
        ("a word 1 byte off", "ldr.w r0, [r3, #1]; nop", 1, ""),
    ]),
    *_cases("cortex-m7", "repeated", [
        ("status register", "mrs r0, apsr", 4, ""),
    ]),
    *_cases("cortex-m7", "loop", [
        ("predicted return", "bx lr", 2, ""),
        ("predicted table branch", "tbb [r0, r1]", 5, ""),
        ("predicted pop {pc}", "pop {pc}", 3, ""),
    ]),
    *_cases("cortex-m7", "loop, 2 off", [
        ("a wide target off a word border", "1: add.w r0, r1, #1; b 1b", 1, ""),
    ]),
    *_cases("cortex-m7", "apart", [
        ("comparison to flags", "vcmp.f32 s0, s1; it eq; moveq r0, r1", 1, ""),
    ]),
    *_cases("cortex-m7", "2 off", [
        ("wide instructions off word borders", ".rept 8; movw r0, #1; .endr", 0, ""),
    ]),
    *_cases("rv32imc", "executed", [
        ("a halfword 1 byte off in a word", "lhu a0, 1(a3); nop", 0, ""),
    ]),
]  # fmt: skip
"""Effects of which no document is known, with the cycles that the model takes."""


@cache
def codes(core: str) -> dict[str, bytes]:
    """Every snippet of a core, assembled in one go."""
    snippets = list(dict.fromkeys(one.code for one in (*CASES, *UNDOCUMENTED) if one.core == core))
    return dict(zip(snippets, assemble(core, snippets), strict=True))


def instructions(core: str, code: bytes, address: int = 0) -> tuple[Instruction, ...]:
    """The instructions of a snippet."""
    return decode(code, address, arm=core != "rv32imc")


def model_cycles(case: Case) -> float:
    """What the model gives for a case, in the cycles that `case.counted` names."""
    timing, code = CORES[case.core].timing, codes(case.core)[case.code]
    if case.counted == "executed":
        return _lost_when_executed(case.core, code)
    if case.counted == "2 off":
        on, off = (
            issue(timing, instructions(case.core, NOPS + code + NOPS, address)).end
            for address in (0, 2)
        )
        return off - on
    once = instructions(case.core, code, 2 if case.counted.endswith("2 off") else 0)
    if case.counted.startswith("apart"):
        return issue(timing, once).starts[-1]
    if case.counted == "behind itself":
        return block_cost(timing, once * 3, once)[0]
    rounds = {
        n: once * n if case.counted.startswith("loop") else instructions(case.core, code * n)
        for n in (12, 24)
    }
    return (issue(timing, rounds[24]).end - issue(timing, rounds[12]).end) / 12


def _lost_when_executed(core: Any, code: bytes) -> float:
    """Cycles lost to predictions and data, once, with memory that answers at once."""
    answers_at_once = (Memory("flash", "flash", FLASH, 0x1000), Memory("sram", "sram", RAM, 0x1000))
    board = replace(load_target("stm32l4r5"), core=core, memories=answers_at_once, accelerator=None)
    arm = CORES[core].isa.is_arm
    uc = _thumb_emulator() if arm else unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    for base in (FLASH, RAM):
        uc.mem_map(base, 0x1000)
    uc.mem_write(FLASH, code)
    uc.reg_write(arm_const.UC_ARM_REG_R3 if arm else riscv_const.UC_RISCV_REG_A3, RAM)
    counter = CycleCounter(board).attach(uc)
    uc.emu_start(FLASH | arm, FLASH + len(code))
    stalls = counter.report().stalls
    return stalls["branch"] + stalls["data"]


def _thumb_emulator() -> Any:
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M33)
    return uc
