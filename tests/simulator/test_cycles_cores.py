"""Micro-benchmarks: each core's table yields the cycles that its documents give.

Snippets are repeated, and the cost of one repetition is taken where it no longer changes.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from functools import cache

import pytest
from assembly import assemble

from autotiny.cores import (
    CORES,
    block_cost,
    cortex_m7,
    decode,
    issue,
    riscv_decoder,
    thumb_decoder,
)

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
    ("cortex-m0plus", "byte store", "strb r0, [r1]", 2),
    ("cortex-m0plus", "MRS 3", "mrs r0, primask", 3),
    ("cortex-m0plus", "DMB 3", "dmb sy", 3),
    ("cortex-m0plus", "branch not taken 1", "beq 1f; 1:", 1),
    # Arm 100165, table 3-1
    ("cortex-m3", "multiply", "mul r0, r1, r2", 1),
    ("cortex-m3", "multiply-accumulate", "mla r0, r1, r2, r0", 2),
    ("cortex-m3", "long multiply, 3 to 5", "smull r0, r1, r2, r3", 4),
    ("cortex-m3", "long accumulate, 4 to 7", "smlal r0, r1, r2, r3", 5),
    ("cortex-m3", "lone load", "ldr r0, [r1]; adds r2, r2, r3", 3),
    ("cortex-m3", "loads pipeline", "ldr r0, [r1]; ldr r2, [r1, #4]; adds r3, r3, r4", 4),
    ("cortex-m3", "division, 2 to 12", "udiv r0, r1, r2", 7),
    ("cortex-m3", "LDRD 1 + N", "ldrd r0, r1, [r2]", 3),
    ("cortex-m3", "STRD 1 + N", "strd r0, r1, [r2]", 3),
    ("cortex-m3", "LDM 1 + N", "ldmia r0, {r1, r2, r3}", 4),
    ("cortex-m3", "STM 1 + N", "stmia r0!, {r1, r2, r3}", 4),
    ("cortex-m3", "MRS 1 or 2", "mrs r0, apsr", 2),
    ("cortex-m3", "branch not taken 1", "beq 1f; 1:", 1),
    # jnk0le, cortex_m3m4
    ("cortex-m3", "store with register offset 2", "str r0, [r1, r2]; adds r3, r3, r4", 3),
    ("cortex-m3", "such a store, then a nop", "str r0, [r1, r2]; nop; adds r3, r3, r4", 3),
    ("cortex-m3", "byte store, then load", "strb r0, [r1]; ldr r2, [r1]; nop", 4),
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
    ("cortex-m4", "VSQRT 14", "vsqrt.f32 s0, s1", 14),
    ("cortex-m4", "VLDR.64 3", "vldr d0, [r0]", 3),
    ("cortex-m4", "VSTR.64 3", "vstr d0, [r0]", 3),
    ("cortex-m4", "VLDM 1 + N", "vldmia r0, {s0, s1, s2}", 4),
    ("cortex-m4", "VSTM 1 + N", "vstmia r0, {s0, s1, s2}", 4),
    ("cortex-m4", "VLDM of doubles 1 + N", "vldmia r0, {d0, d1}", 5),
    ("cortex-m4", "lone VLDR 2", "vldr s0, [r0]; adds r2, r2, r3", 3),
    ("cortex-m4", "VSTR 2", "vstr s0, [r0]", 2),
    ("cortex-m4", "division, 2 to 12", "sdiv r0, r1, r2", 7),
    ("cortex-m4", "LDRD 1 + N", "ldrd r0, r1, [r2]", 3),
    ("cortex-m4", "long multiply", "umull r0, r1, r2, r3", 1),
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
    ("cortex-m33", "FPU alone waits for an FMA", "vfma.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 4),
    ("cortex-m33", "others do not", "vfma.f32 s0, s1, s2; add r0, r1; add r2, r3", 3),
    ("cortex-m33", "division, 2 to 11", "udiv r0, r1, r2", 6),
    ("cortex-m33", "LDRD 2", "ldrd r0, r1, [r2]", 2),
    ("cortex-m33", "STRD 2", "strd r0, r1, [r2]", 2),
    ("cortex-m33", "store multiple N", "stmia r0!, {r1, r2, r3, r4}", 4),
    ("cortex-m33", "VLDM N", "vldmia r0, {s0, s1, s2}", 3),
    ("cortex-m33", "VSTM N", "vstmia r0, {s0, s1, s2}", 3),
    ("cortex-m33", "VLDR.64 2", "vldr d0, [r0]", 2),
    ("cortex-m33", "VSTR.64 2", "vstr d0, [r0]", 2),
    ("cortex-m33", "VDIV 14", "vdiv.f32 s0, s1, s2", 14),
    ("cortex-m33", "VSQRT 14", "vsqrt.f32 s0, s1", 14),
    ("cortex-m33", "status register", "mrs r0, apsr", 2),
    ("cortex-m33", "two nops", "nop; nop", 1),
    ("cortex-m33", "wide encodings never pair", "nop.w; add r0, r1", 2),
    ("cortex-m33", "nothing pairs with a wide one", "nop; add.w r0, r1, #1", 2),
    ("cortex-m33", "IT pairs", "add.w r2, r3, #1; it eq; addeq r0, r1", 2),
    ("cortex-m33", "a branch not taken pairs", "adds r0, r0, r1; cbz r7, 1f; add r2, r3; 1:", 2),
    ("cortex-m33", "flags and a shifted constant", "adds.w r0, r1, #0xff00000; nop", 3),
    ("cortex-m33", "comparison with one", "cmp.w r1, #0xff00000; nop", 2),
    ("cortex-m33", "flags and a constant of 12 bits", "adds.w r0, r1, #0xff0; nop", 2),
    ("cortex-m33", "flags and a constant of 13 bits", "adds.w r0, r1, #0x1fe0; nop", 3),
    ("cortex-m33", "flags and bytes, 00XY00XY", "adds.w r0, r1, #0x120012; nop", 2),
    ("cortex-m33", "flags and bytes, XY00XY00", "adds.w r0, r1, #0x12001200; nop", 2),
    ("cortex-m33", "flags and bytes, XYXYXYXY", "adds.w r0, r1, #0x12121212; nop", 2),
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
    ("cortex-m7", "store multiple, two a cycle", "stmia r0, {r1, r2, r3, r4, r5}", 3),
    ("cortex-m7", "VLDM, two a cycle", "vldmia r0, {s0, s1, s2, s3, s4}", 3),
    ("cortex-m7", "VSTM, two a cycle", "vstmia r0, {s0, s1, s2, s3, s4}", 3),
    ("cortex-m7", "division 7", "udiv r0, r1, r2", 7),
    ("cortex-m7", "VDIV pairs, and then stalls", "add.w r0, r1, #1; vdiv.f32 s0, s1, s2", 16),
    ("cortex-m7", "status register", "mrs r0, apsr", 4),
    ("cortex-m7", "banks equal every other time", "ldr.w r0, [r1]; ldr.w r2, [r3]", 1.5),
    ("cortex-m7", "at unknown distance", "ldr.w r0, [r1, r2]; ldr.w r3, [r1]", 1.5),
    ("cortex-m7", "from an unknown one", "ldr.w r0, [r1]; ldr.w r2, [r1, r3]", 1.5),
    ("cortex-m7", "a base that moves", "ldr.w r0, [r1], #4; ldr.w r2, [r3]", 1.5),
    ("cortex-m7", "banks are words", "ldrb.w r0, [r1, #3]; ldrb.w r2, [r1, #7]", 1),
    ("cortex-m7", "banks behind one another", "ldr.w r0, [r1, #12]; ldr.w r2, [r1]", 1),
    # Ibex, pipeline details
    ("rv32imc", "additions", "add a0, a0, a1; add a0, a0, a2", 2),
    ("rv32imc", "load", "lw a0, 0(a1)", 1),
    ("rv32imc", "store", "sw a0, 0(a1)", 1),
    ("rv32imc", "multiply", "mul a0, a1, a2", 1),
    ("rv32imc", "high multiply", "mulh a0, a1, a2", 2),
    ("rv32imc", "division", "div a0, a1, a2", 37),
    ("rv32imc", "remainder", "remu a0, a1, a2", 37),
    ("rv32imc", "byte load", "lbu a0, 0(a1)", 1),
    ("rv32imc", "load-use 2", "lw a0, 0(a1); addi a1, a0, 0", 3),
    ("rv32imc", "halfword store", "sh a0, 0(a1)", 1),
    ("rv32imc", "status register", "csrr a0, mcycle", 3),
    ("rv32imc", "branch not taken 1", "beqz a0, 1f; 1:", 1),
]  # fmt: skip

# core, what is shown, a loop that jumps to 1, cycles of one round
LOOPS = [
    ("cortex-m0plus", "taken branch 2", "1: adds r0, r0, #1; b 1b", 3),
    ("cortex-m0plus", "taken conditional branch 2", "1: bne 1b", 2),
    ("cortex-m0plus", "BX 2", "bx lr", 2),
    ("cortex-m0plus", "BL 3", "1: bl 1b", 3),
    ("cortex-m0plus", "POP with PC 3 + N", "pop {r0, pc}", 5),
    ("cortex-m3", "B 1 + P, P = 1", "1: b 1b", 2),
    ("cortex-m3", "BNE 1 + P, P = 1", "1: bne 1b", 2),
    ("cortex-m3", "BL 1 + P, P = 1", ".balign 4; 1: bl 1b", 2),
    ("cortex-m3", "BX 1 + P, P = 2", "bx lr", 3),
    ("cortex-m3", "TBB 2 + P, P = 2", "tbb [r0, r1]", 4),
    ("cortex-m3", "POP with PC 1 + N + P, P = 3", "pop {r0, pc}", 6),
    ("cortex-m4", "taken branch 1 + P, P = 1", ".balign 4; 1: subs r0, r0, #1; bne 1b", 3),
    ("cortex-m33", "behind flags 2", "1: subs r7, r7, #1; bne 1b", 3),
    ("cortex-m33", "pairs with an addition", "1: subs r7, r7, #1; add r0, r1; bne 1b", 3),
    ("cortex-m33", "pairs with LDM", "1: subs r7, r7, #1; ldmia r6!, {r0-r3}; bne 1b", 6),
    ("cortex-m33", "taken branch alone 2", "1: b 1b", 2),
    ("cortex-m33", "taken conditional branch alone 2", "1: bne 1b", 2),
    ("cortex-m33", "call 2", "1: bl 1b", 2),
    ("cortex-m33", "return 2", "bx lr", 2),
    ("cortex-m33", "a return pairs too", "add r0, r1; bx lr", 2),
    ("cortex-m33", "no taken branch pairs with flags", "1: adds r0, r0, r1; b 1b", 3),
    ("cortex-m33", "table branch", "tbb [r0, r1]", 3),
    ("cortex-m33", "pop {pc}, one more than pop {lr} and bx lr", "pop {pc}", 4),
    ("cortex-m7", "predicted, pairs", "1: subs.w r0, r0, #1; bne.w 1b", 1),
    ("cortex-m7", "predicted return", "bx lr", 2),
    ("cortex-m7", "no pair with a wide target", "1: add.w r0, r1, #1; nop.w; b.w 1b", 2),
    ("cortex-m7", "predicted table branch", "tbb [r0, r1]", 5),
    ("cortex-m7", "predicted pop {pc}", "pop {pc}", 3),
    ("rv32imc", "taken branch 3", "1: addi a0, a0, -1; bnez a0, 1b", 4),
    ("rv32imc", "jump 2", "1: j 1b", 2),
    ("rv32imc", "call 2", "1: jal ra, 1b", 2),
    ("rv32imc", "return 2", "ret", 2),
]  # fmt: skip

# core, what is shown, instructions, cycles from the issue of the first to the issue of the last
RESULTS = [
    # jnk0le, cortex_m3m4; Arm 100166, table 7-1: a dependent FPU instruction waits one cycle
    ("cortex-m3", "address one cycle early", "add r0, r1; ldr r2, [r0]", 2),
    ("cortex-m3", "offset one cycle early", "add r0, r1; ldr r2, [r3, r0]", 2),
    ("cortex-m3", "stored value", "add r0, r1; str r0, [r3]", 1),
    ("cortex-m4", "post-indexed loads on one base", "ldr r0, [r1], #4; ldr r2, [r1], #4", 2),
    ("cortex-m4", "post-indexed loads on two", "ldr r0, [r1], #4; ldr r2, [r3], #4", 1),
    ("cortex-m4", "VADD to VADD", "vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2),
    ("cortex-m4", "VMUL to VADD", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2),
    ("cortex-m4", "VFMA to VADD", "vfma.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 4),
    # jnk0le, cortex_m33
    ("cortex-m33", "byte load-use 2", "ldrb r0, [r1]; adds r0, r0, r3", 2),
    ("cortex-m33", "LDRD-use, 2 behind the second word", "ldrd r0, r2, [r1]; adds r3, r2, #1", 3),
    ("cortex-m33", "LDM-use, 2 behind the last", "ldmia r4, {r0, r1, r2}; adds r3, r2, #1", 4),
    ("cortex-m33", "multiply result 2", "mul r0, r1, r2; adds r3, r0, #1", 2),
    ("cortex-m33", "multiply to multiplicand 2", "mul r0, r1, r2; mul r3, r0, r4", 2),
    ("cortex-m33", "multiply to accumulator 1", "mul r0, r1, r2; mla r3, r4, r5, r0", 1),
    ("cortex-m33", "multiply to store 1", "mul r0, r1, r2; str r0, [r3]", 1),
    ("cortex-m33", "long multiply result 2", "smull r0, r1, r2, r3; adds r4, r1, #1", 2),
    ("cortex-m33", "long accumulate result 2", "smlal r0, r1, r2, r3; adds r4, r0, #1", 2),
    ("cortex-m33", "long accumulator chain 1", "smlal r0, r1, r2, r3; smlal r0, r1, r4, r5", 1),
    ("cortex-m33", "addition result 1", "add r0, r1; add r2, r0", 1),
    ("cortex-m33", "load to CBZ 2", "ldr r0, [r1]; .short 0xb100", 2),
    ("cortex-m33", "moved base, next cycle", "ldr r0, [r1], #4; ldr r2, [r1]", 1),
    ("cortex-m33", "nothing pairs behind a branch", "beq 1f; 1: nop", 1),
    ("cortex-m33", "a base made anew", "str r0, [r1], #4; mul r1, r2, r3; add r4, r1", 3),
    ("cortex-m33", "VADD result 2", "vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2),
    ("cortex-m33", "VMUL result 2", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 2),
    ("cortex-m33", "FMA result 4", "vfma.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 4),
    ("cortex-m33", "VMOV to the core 2", "vmov r0, s0; adds r1, r0, #1", 2),
    ("cortex-m33", "VLDR to use 1", "vldr s0, [r0]; vadd.f32 s1, s0, s2", 1),
    # jnk0le, cortex_m7
    ("cortex-m7", "word load to late ALU", "ldr.w r0, [r1]; and.w r2, r0, r3", 1),
    ("cortex-m7", "byte load to late ALU", "ldrb.w r0, [r1]; and.w r2, r0, r3", 2),
    ("cortex-m7", "LDRD to late ALU", "ldrd r0, r2, [r1]; and.w r3, r2, r4", 1),
    ("cortex-m7", "LDM to late ALU", "ldmia r4, {r0, r1, r2, r3}; and.w r5, r3, r6", 2),
    ("cortex-m7", "word load to address", "ldr.w r0, [r1]; ldr.w r2, [r0]", 2),
    ("cortex-m7", "word load to shifted operand", "ldr.w r0, [r1]; add.w r2, r3, r0, lsl #8", 2),
    ("cortex-m7", "word load to multiplicand", "ldr.w r0, [r1]; mul r2, r0, r3", 2),
    ("cortex-m7", "byte load to multiplicand", "ldrb.w r0, [r1]; mul r2, r0, r3", 2),
    ("cortex-m7", "word load to accumulator", "ldr.w r0, [r1]; mla r2, r3, r4, r0", 0),
    ("cortex-m7", "byte load to accumulator", "ldrb.w r0, [r1]; mla r2, r3, r4, r0", 1),
    ("cortex-m7", "byte load to store", "ldrb.w r0, [r1]; strb.w r0, [r2]", 0),
    ("cortex-m7", "multiply to late ALU", "mul r0, r1, r2; eor.w r3, r0, r4", 2),
    ("cortex-m7", "accumulate to late ALU", "mla r0, r1, r2, r3; eor.w r4, r0, r5", 2),
    ("cortex-m7", "long multiply to late ALU", "smull r0, r1, r2, r3; eor.w r4, r1, r5", 2),
    ("cortex-m7", "long accumulate to late ALU", "smlal r0, r1, r2, r3; eor.w r4, r0, r5", 2),
    ("cortex-m7", "multiply to accumulator", "mul r0, r1, r2; mla r3, r4, r5, r0", 1),
    ("cortex-m7", "early ALU to address", "add.w r0, r1, #1; ldr.w r2, [r0]", 1),
    ("cortex-m7", "late ALU to address", "and.w r0, r1, #1; ldr.w r2, [r0]", 2),
    ("cortex-m7", "late ALU to late ALU", "and.w r0, r1, #1; eor.w r2, r0, r3", 1),
    ("cortex-m7", "late addition", "and.w r1, r6, #1; add.w r0, r1, #1; ldr.w r2, [r0]", 3),
    ("cortex-m7", "younger addition", "and.w r4, r5, #1; add.w r0, r1, #1; ldr.w r2, [r0]", 2),
    ("cortex-m7", "younger shift", "and.w r4, r5, #1; lsl.w r0, r1, #1; ldr.w r2, [r0]", 1),
    ("cortex-m7", "flags come late", "adds.w r0, r1, #1; adc.w r2, r3, r4", 1),
    ("cortex-m7", "and for IT", "cmp.w r0, #1; it eq; moveq r1, r2; add.w r4, r5, #1", 2),
    ("cortex-m7", "moved base, next cycle", "str.w r0, [r1], #4; ldr.w r2, [r1]", 1),
    ("cortex-m7", "VADD to FPU", "vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s4", 3),
    ("cortex-m7", "VMUL to FPU", "vmul.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 3),
    ("cortex-m7", "FMA to multiplicand", "vfma.f32 s0, s1, s2; vfma.f32 s3, s0, s4", 5),
    ("cortex-m7", "FMA to accumulator", "vfma.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 3),
    ("cortex-m7", "FMA to VSTR", "vfma.f32 s0, s1, s2; vstr s0, [r0]", 3),
    ("cortex-m7", "VADD to VSTR", "vadd.f32 s0, s1, s2; vstr s0, [r0]", 1),
    ("cortex-m7", "FMA to the core", "vfma.f32 s0, s1, s2; vmov r0, s0", 5),
    ("cortex-m7", "VMUL to the core", "vmul.f32 s0, s1, s2; vmov r0, s0", 3),
    ("cortex-m7", "VLDR to FPU", "vldr s0, [r0]; vadd.f32 s1, s0, s2", 1),
    ("cortex-m7", "VLDR to accumulator", "vldr s0, [r0]; vfma.f32 s0, s1, s2", 3),
    ("cortex-m7", "conversion to FPU", "vcvt.f32.s32 s0, s0; vadd.f32 s1, s0, s2", 3),
    ("cortex-m7", "VMOV to FPU", "vmov.f32 s0, s1; vadd.f32 s2, s0, s3", 3),
    ("cortex-m7", "VMOV from the core", "vmov s0, r0; vadd.f32 s1, s0, s2", 3),
    ("cortex-m7", "VMOV to the core", "vmov r0, s0; and.w r1, r0, r2", 1),
    ("cortex-m7", "comparison to flags", "vcmp.f32 s0, s1; it eq; moveq r0, r1", 1),
    ("cortex-m7", "VDIV to FPU", "vdiv.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 16),
    ("cortex-m7", "VSQRT to FPU", "vsqrt.f32 s0, s1; vadd.f32 s3, s0, s4", 14),
    # jnk0le, cortex_m7: what pairs is 0 apart
    ("cortex-m7", "LDRD alone", "ldrd r0, r1, [r2]; add.w r3, r4, #1", 1),
    ("cortex-m7", "STRD alone", "add.w r3, r4, #1; strd r0, r1, [r2]", 1),
    ("cortex-m7", "LDM alone", "add.w r3, r4, #1; ldmia r2, {r0, r1}", 1),
    ("cortex-m7", "STM alone", "stmia r2, {r0, r1}; add.w r3, r4, #1", 1),
    ("cortex-m7", "VLDR.64 alone", "vldr d0, [r2]; add.w r3, r4, #1", 1),
    ("cortex-m7", "VSTR.64 alone", "add.w r3, r4, #1; vstr d0, [r2]", 1),
    ("cortex-m7", "VLDM alone", "add.w r3, r4, #1; vldmia r2, {s0, s1}", 1),
    ("cortex-m7", "VSTM alone", "vstmia r2, {s0, s1}; add.w r3, r4, #1", 1),
    ("cortex-m7", "MRS alone", "add.w r3, r4, #1; mrs r0, apsr", 1),
    ("cortex-m7", "division alone", "add.w r3, r4, #1; udiv r0, r1, r2", 1),
    ("cortex-m7", "multiplies", "mul r0, r1, r2; smull r3, r4, r1, r2", 1),
    ("cortex-m7", "multiply first", "mul r0, r1, r2; add.w r3, r4, #1", 0),
    ("cortex-m7", "multiply and store", "mul r0, r1, r2; strb.w r3, [r4]", 1),
    ("cortex-m7", "store and multiply", "strb.w r3, [r4]; mul r0, r1, r2", 1),
    ("cortex-m7", "multiply and load", "mul r0, r1, r2; ldr.w r3, [r4]", 0),
    ("cortex-m7", "store first", "str.w r3, [r4]; add.w r0, r1, #1", 0),
    ("cortex-m7", "store and load", "str.w r3, [r4]; ldr.w r0, [r1]", 0),
    ("cortex-m7", "field first", "uxtb.w r0, r1; add.w r2, r3, #1", 0),
    ("cortex-m7", "field second", "add.w r2, r3, #1; uxtb.w r0, r1", 1),
    ("cortex-m7", "field behind a branch", "beq.w 1f; 1: uxtb.w r0, r1", 0),
    ("cortex-m7", "SIMD first", "uadd8 r0, r1, r2; add.w r3, r4, #1", 0),
    ("cortex-m7", "SIMD second", "add.w r3, r4, #1; uadd8 r0, r1, r2", 1),
    ("cortex-m7", "SIMD behind a branch", "beq.w 1f; 1: uadd8 r0, r1, r2", 0),
    ("cortex-m7", "shift first", "add.w r0, r1, r2, lsl #8; add.w r3, r4, #1", 0),
    ("cortex-m7", "shift second", "add.w r3, r4, #1; add.w r0, r1, r2, lsl #8", 0),
    ("cortex-m7", "constant first", "add.w r0, r1, #0xff00000; add.w r3, r4, #1", 0),
    ("cortex-m7", "constant second", "add.w r3, r4, #1; add.w r0, r1, #0xff00000", 0),
    ("cortex-m7", "shift and constant", "add.w r0, r1, r2, lsl #8; add.w r3, r4, #0xff00000", 1),
    ("cortex-m7", "constant and shift", "add.w r3, r4, #0xff00000; add.w r0, r1, r2, lsl #8", 1),
    ("cortex-m7", "constants", "add.w r0, r1, #0xff00000; add.w r3, r4, #0xff00000", 1),
    ("cortex-m7", "field and shift", "uxtb.w r0, r1; add.w r3, r4, r2, lsl #8", 1),
    ("cortex-m7", "field and constant", "uxtb.w r0, r1; add.w r3, r4, #0xff00000", 1),
    ("cortex-m7", "a jump to the next instruction", "b.w 1f; 1: add.w r0, r1, #1", 0),
    ("cortex-m7", "branches", "beq.w 1f; 1: beq.w 2f; 2:", 1),
    ("cortex-m7", "three", "add.w r0, r1, #1; add.w r2, r3, #1; add.w r4, r5, #1", 1),
    ("cortex-m7", "five", "adds r0, #1; adds r1, #1; adds r2, #1; adds r3, #1; adds r4, #1", 2),
    ("cortex-m7", "VADD and VADD", "vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 1),
    ("cortex-m7", "FMA and VLDR", "vfma.f32 s0, s1, s2; vldr s3, [r0]", 1),
    ("cortex-m7", "VADD and an addition", "vadd.f32 s0, s1, s2; add.w r3, r4, #1", 0),
]  # fmt: skip


# core, a loop that jumps to its start, its address, cycles of one round
TARGETS = [
    # Arm 100165: P grows by one for a 4-byte instruction across a word border
    ("cortex-m3", "1: add.w r0, r1, #1; b 1b", 0, 3),
    ("cortex-m3", "1: add.w r0, r1, #1; b 1b", 2, 4),
    ("cortex-m3", "1: add.w r0, r1, #1; b 1b", 4, 3),
    ("cortex-m3", "1: adds r0, r1, #1; b 1b", 2, 3),
    # Ibex: such a target takes two fetches
    ("rv32imc", "1: addi a0, a1, 100; j 1b", 0, 3),
    ("rv32imc", "1: addi a0, a1, 100; j 1b", 2, 4),
    ("rv32imc", "1: addi a0, a0, 1; j 1b", 2, 3),
    # the Cortex-M7 fetches 8 bytes and predicts
    ("cortex-m7", "1: add.w r0, r1, #1; b 1b", 6, 1),
]

# jnk0le, cortex_m7: an older and a younger instruction, whether they can pair
PAIRS = [
    ("vadd.f32 s0, s1, s2", "vadd.f32 s3, s4, s5", False),
    ("vadd.f32 s0, s1, s2", "vmul.f32 s3, s4, s5", False),
    ("vadd.f32 s0, s1, s2", "vldr s3, [r0]", True),
    ("vldr s3, [r0]", "vadd.f32 s0, s1, s2", True),
    ("vmul.f32 s0, s1, s2", "vstr s3, [r0]", True),
    ("vmul.f32 s0, s1, s2", "vmov.f32 s3, s4", True),
    ("vfma.f32 s0, s1, s2", "vldr s3, [r0]", False),
    ("vstr s3, [r0]", "vfma.f32 s0, s1, s2", False),
    ("vfma.f32 s0, s1, s2", "vmov.f32 s3, s4", False),
    ("vmov r0, s0", "vmov r1, s1", False),
    ("vmov s0, r0", "vmov r1, s1", False),
    ("vmov r0, s0", "vmov s1, r1", False),
    ("vmov r0, s0", "vldr s1, [r1]", True),
    ("vldr s0, [r0]", "vstr s1, [r1]", True),
    ("vldr s0, [r0]", "vldr s1, [r0, #4]", True),
    ("vstr s0, [r0]", "vstr s1, [r0, #4]", False),
    ("vfma.f32 s0, s1, s2", "add.w r0, r1, #1", True),
    ("add.w r0, r1, #1", "vfma.f32 s0, s1, s2", True),
    ("vadd.f32 s0, s1, s2", "ldr.w r0, [r1]", True),
    # loads: an address that the older one changes is not reused
    ("ldr.w r0, [r1], #4", "ldr.w r2, [r1]", False),
    ("ldr.w r0, [r1, #4]!", "ldr.w r2, [r3, r1]", False),
    ("ldr.w r0, [r1], #4", "ldr.w r2, [r3]", True),
    ("ldr.w r0, [r1]", "ldr.w r2, [r1]", True),
    ("ldr.w r0, [r1], #4", "add.w r2, r1, #1", True),
    ("str.w r0, [r1], #4", "ldr.w r2, [r1]", True),
]

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


@cache
def objects(core: str) -> dict[str, bytes]:
    """Every snippet of a core, assembled in one go."""
    shown = [(name, code) for name, _, code, _ in (*CASES, *LOOPS, *RESULTS)]
    placed = [(name, code) for name, code, _, _ in TARGETS]
    losing = [(name, code) for name, code, _ in LOSSES]
    pairs = [("cortex-m7", code) for *both, _ in PAIRS for code in both]
    every = (*shown, *placed, *losing, *pairs)
    snippets = list(dict.fromkeys(code for name, code in every if name == core))
    return dict(zip(snippets, assemble(core, snippets), strict=True))


def _id(case: tuple[str, str, str, float]) -> str:
    return f"{case[0]}: {case[1]}"


def _cycles(core: str, code: bytes, rounds: int, *, loops: bool) -> float:
    decoder = riscv_decoder() if core == "rv32imc" else thumb_decoder()
    if loops:
        once = decode(decoder, code, 0)
        return issue(CORES[core].timing, once * rounds).end
    return issue(CORES[core].timing, decode(decoder, code * rounds, 0)).end


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


@pytest.mark.parametrize("case", RESULTS, ids=_id)
def test_documented_distances(case: tuple[str, str, str, float]) -> None:
    core, _, snippet, expected = case
    starts = issue(CORES[core].timing, decode(thumb_decoder(), objects(core)[snippet], 0)).starts
    assert starts[0] == 0
    assert starts[-1] == pytest.approx(expected)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_a_cortex_m7_can_pair_what_was_measured(case: tuple[str, str, bool]) -> None:
    *both, expected = case
    older, younger = (decode(thumb_decoder(), objects("cortex-m7")[code], 0)[0] for code in both)
    assert cortex_m7.pairs(older, younger, False) is expected


@pytest.mark.parametrize("case", TARGETS, ids=str)
def test_a_wide_target_across_a_word_border_costs_a_fetch(
    case: tuple[str, str, int, float],
) -> None:
    core, snippet, address, expected = case
    decoder = riscv_decoder() if core == "rv32imc" else thumb_decoder()
    once = decode(decoder, objects(core)[snippet], address)
    cost = issue(CORES[core].timing, once * 3).end - issue(CORES[core].timing, once * 2).end
    assert cost == expected


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_lost_cycles_have_a_cause(case: tuple[str, str, list[dict[str, float]]]) -> None:
    core, snippet, expected = case
    block = decode(thumb_decoder(), objects(core)[snippet], 0)
    assert list(issue(CORES[core].timing, block).lost) == expected


def test_a_branch_is_taken_if_another_address_follows() -> None:
    # jnk0le, cortex_m33: a taken branch does not pair behind an instruction that sets flags
    flags = "1: adds r0, r0, r1; b 1b"
    block = decode(thumb_decoder(), objects("cortex-m33")[flags], 0)
    assert issue(CORES["cortex-m33"].timing, (*block, block[0])).starts == (0, 1, 3)
    assert issue(CORES["cortex-m33"].timing, block).starts == (0, 0)  # nothing follows yet


def test_what_a_block_costs_leaves_its_predecessor_out() -> None:
    # the multiply issues at 0 and its result can be used by a late ALU at 2, so one cycle is lost
    before, block = (
        decode(thumb_decoder(), code, 0)
        for code in assemble("cortex-m7", ["mul r0, r1, r2", "eor.w r3, r0, r4; eor.w r5, r3, r6"])
    )
    cycles, starts, causes = block_cost(CORES["cortex-m7"].timing, before, block)
    assert (cycles, starts, causes) == (3, (1, 2), {"dependency": 1})
    assert block_cost(CORES["cortex-m7"].timing, (), block) == (2, (0, 1), {})


def test_a_run_of_loads_pays_once_wherever_blocks_part_it() -> None:
    # Arm 100166: LDR 2, each further load of a run 1
    load, addition = (
        decode(thumb_decoder(), code, 0)
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
        decode(thumb_decoder(), code, 0)
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
