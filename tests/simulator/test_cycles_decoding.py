"""What the cycle model understands of an instruction is what the architecture manuals say of it.

Sources: Arm DDI0403 (Armv7-M) and DDI0553 (Armv8-M), instruction descriptions; the RISC-V manual;
for what a Cortex-M7 reads early, jnk0le, "pipeline cycle test", cortex_m7.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from functools import cache

import pytest
from assembly import assemble

from autotiny.cores import Instruction, decode
from autotiny.cores.instruction import _decoded

# the last instruction, its kind, what it reads and in which role, what it writes
OPERANDS = [
    ("adds r0, r0, r1", "alu", "r0 operand, r1 operand", "r0 flags"),
    ("adds r0, r1, r2", "alu", "r1 operand, r2 operand", "r0 flags"),
    ("subs r0, #1", "alu", "r0 operand", "r0 flags"),
    ("add r0, r8", "alu", "r0 operand, r8 operand", "r0"),
    ("sub sp, #8", "alu", "sp operand", "sp"),
    ("add r0, sp, #8", "alu", "sp operand", "r0"),
    ("add.w r0, r1, r2, lsl #3", "alu_shifted", "r1 operand, r2 shifted", "r0"),
    ("adcs r0, r1", "alu", "r0 operand, r1 operand, flags operand", "r0 flags"),
    ("sbcs.w r0, r1, r2", "alu", "r1 operand, r2 operand, flags operand", "r0 flags"),
    ("rrx r0, r1", "alu", "r1 operand, flags operand", "r0"),
    ("cmp r0, r1", "alu", "r0 operand, r1 operand", "flags"),
    ("cmp r0, #1", "alu", "r0 operand", "flags"),
    ("tst r0, r1", "alu", "r0 operand, r1 operand", "flags"),
    ("teq.w r0, r1, lsl #2", "alu_shifted", "r0 operand, r1 shifted", "flags"),
    ("mov r0, r8", "alu", "r8 operand", "r0"),
    ("movs r0, #1", "alu", "", "r0 flags"),
    ("mvns r0, r1", "alu", "r1 operand", "r0 flags"),
    ("rsbs r0, r1, #0", "alu", "r1 operand", "r0 flags"),
    ("movw r0, #0x1234", "alu", "", "r0"),
    ("movt r0, #0x1234", "alu", "r0 operand", "r0"),
    ("lsls r0, r1, #3", "shift", "r1 operand", "r0 flags"),
    ("lsls r0, r1", "shift", "r0 operand, r1 operand", "r0 flags"),
    ("asr.w r0, r1, r2", "shift", "r1 operand, r2 operand", "r0"),
    ("mul r0, r1, r2", "mul", "r1 multiplicand, r2 multiplicand", "r0"),
    ("muls r0, r1, r0", "mul", "r1 multiplicand, r0 multiplicand", "r0 flags"),
    ("smuad r0, r1, r2", "mul", "r1 multiplicand, r2 multiplicand", "r0"),
    ("mla r0, r1, r2, r3", "mac", "r1 multiplicand, r2 multiplicand, r3 accumulator", "r0"),
    ("smlad r0, r1, r2, r3", "mac", "r1 multiplicand, r2 multiplicand, r3 accumulator", "r0"),
    ("umull r0, r1, r2, r3", "mul_long", "r2 multiplicand, r3 multiplicand", "r0 r1"),
    (
        "smlal r0, r1, r2, r3",
        "mac_long",
        "r0 accumulator, r1 accumulator, r2 multiplicand, r3 multiplicand",
        "r0 r1",
    ),
    ("sdiv r0, r1, r2", "div", "r1 operand, r2 operand", "r0"),
    ("qadd r0, r1, r2", "dsp", "r1 operand, r2 operand", "r0"),
    ("ssat r0, #8, r1, asr #3", "dsp", "r1 shifted", "r0"),
    ("ssat r0, #8, r1", "dsp", "r1 operand", "r0"),
    ("bfi r0, r1, #3, #4", "bitfield", "r0 operand, r1 shifted", "r0"),
    ("bfc r0, #3, #4", "bitfield", "r0 operand", "r0"),
    ("ubfx r0, r1, #3, #4", "bitfield", "r1 shifted", "r0"),
    ("sxtb r0, r1", "bitfield", "r1 operand", "r0"),
    ("clz r0, r1", "bitfield", "r1 operand", "r0"),
    ("rev r0, r1", "bitfield", "r1 shifted", "r0"),
    ("uxtab r0, r1, r2", "bitfield", "r1 operand, r2 shifted", "r0"),
    ("pkhbt r0, r1, r2, lsl #16", "bitfield", "r1 operand, r2 shifted", "r0"),
    ("pkhtb r0, r1, r2, asr #16", "bitfield", "r1 shifted, r2 shifted", "r0"),
    ("nop", "nop", "", ""),
    ("wfi", "nop", "", ""),
    ("mrs r0, apsr", "system", "", ""),
    ("svc #0", "system", "", ""),
    # inside an IT block the old value stays if the condition fails, and 16 bits leave the flags
    ("it eq; moveq r0, r1", "alu", "flags flags, r0 operand, r1 operand", "r0"),
    ("it ls; lslls r0, r1, #2", "shift", "flags flags, r0 operand, r1 operand", "r0"),
    ("it eq; cmpeq r0, r1", "alu", "flags flags, r0 operand, r1 operand", "flags"),
    ("it vs; teqvs r0, r1", "alu", "flags flags, r0 operand, r1 operand", "flags"),
    (
        "it ne; smlalne r0, r1, r2, r3",
        "mac_long",
        "flags flags, r0 accumulator, r1 accumulator, r2 multiplicand, r3 multiplicand",
        "r0 r1",
    ),
    # floating point
    ("vadd.f32 s0, s1, s2", "fpu_add", "s1 operand, s2 operand", "s0"),
    ("vmul.f32 s0, s1, s2", "fpu_mul", "s1 operand, s2 operand", "s0"),
    (
        "vfma.f32 s0, s1, s2",
        "fpu_mac",
        "s0 accumulator, s1 multiplicand, s2 multiplicand",
        "s0",
    ),
    ("vdiv.f32 s0, s1, s2", "fpu_div", "s1 operand, s2 operand", "s0"),
    ("vsqrt.f32 s0, s1", "fpu_sqrt", "s1 operand", "s0"),
    ("vcvt.s32.f32 s0, s1", "fpu_convert", "s1 operand", "s0"),
    ("vcmp.f32 s0, s1", "fpu_compare", "s0 operand, s1 operand", "flags"),
    ("vcmpe.f32 s0, #0", "fpu_compare", "s0 operand", "flags"),
    ("vmov.f32 s0, s1", "fpu_move", "s1 operand", "s0"),
    ("vmov s0, r0", "fpu_from_core", "r0 operand", "s0"),
    ("vmov r0, s0", "fpu_to_core", "s0 operand", "r0"),
    ("vmov r0, r1, d0", "fpu_to_core", "s0 operand, s1 operand", "r0 r1"),
    ("vmov r0, r1, s2, s3", "fpu_to_core", "s2 operand, s3 operand", "r0 r1"),
    ("vseleq.f32 s0, s1, s2", "fpu_move", "s1 operand, s2 operand, flags operand", "s0"),
    ("strex r0, r1, [r2]", "store", "r2 address, r1 stored", "r0"),
    ("adc.w r0, r1, r2", "alu", "r1 operand, r2 operand, flags operand", "r0"),
    ("sbcs.w r0, r1, r2", "alu", "r1 operand, r2 operand, flags operand", "r0 flags"),
    ("vmov s0, s1, r0, r1", "fpu_from_core", "r0 operand, r1 operand", "s0 s1"),
    ("vmrs r0, fpscr", "fpu_to_core", "fpscr operand", "r0"),
    ("vmsr fpscr, r0", "fpu_from_core", "fpscr operand, r0 operand", ""),
    # branches
    ("b .", "branch", "", ""),
    ("beq .", "branch_conditional", "flags flags", ""),
    ("bcs.w .", "branch_conditional", "flags flags", ""),
    ("it ne; bne .", "branch_conditional", "flags flags", ""),
    (".short 0xb103", "branch_conditional", "r3 operand", ""),  # cbz r3, .+4
    ("bl .", "call", "", "lr"),
    ("blx r3", "branch_register", "r3 operand", "lr"),
    ("bx r3", "branch_register", "r3 operand", ""),
    ("it eq; bxeq lr", "branch_register", "lr operand, flags flags", ""),
    ("tbb [r0, r1]", "branch_table", "r1 address, r0 address", ""),
    ("tbh [pc, r1, lsl #1]", "branch_table", "r1 address", ""),
    # memory
    ("ldr r0, [r1, r2]", "load", "r1 address, r2 address", "r0"),
    ("ldrsh.w r0, [r1], #2", "load_narrow", "r1 address", "r0"),
    ("ldrt r0, [r1]", "load", "r1 address", "r0"),
    ("ldrbt r0, [r1]", "load_narrow", "r1 address", "r0"),
    ("ldrex r0, [r1]", "load", "r1 address", "r0"),
    ("ldrexb r0, [r1]", "load_narrow", "r1 address", "r0"),
    ("ldrexh r0, [r1]", "load_narrow", "r1 address", "r0"),
    ("lda r0, [r1]", "load", "r1 address", "r0"),
    ("ldab r0, [r1]", "load_narrow", "r1 address", "r0"),
    ("stlh r0, [r1]", "store_narrow", "r1 address, r0 stored", ""),
    ("stl r0, [r1]", "store", "r1 address, r0 stored", ""),
    ("str r0, [r1, r2]", "store", "r1 address, r2 address, r0 stored", ""),
    ("strb r0, [r1]", "store_narrow", "r1 address, r0 stored", ""),
    ("strd r0, r1, [r2]", "store_pair", "r2 address, r0 stored, r1 stored", ""),
    ("ldrd r0, r1, [r2]", "load_pair", "r2 address", "r0 r1"),
    ("it eq; ldreq r0, [r1]", "load", "flags flags, r1 address", "r0"),
    ("pld [r1]", "nop", "r1 address", ""),
    ("push {r4, lr}", "store_multiple", "sp address, r4 stored, lr stored", ""),
    ("pop {r4, r5}", "load_multiple", "sp address", "r4 r5"),
    ("it eq; popeq {r4, pc}", "load_multiple", "flags flags, sp address", "r4 pc"),
    ("ldmia r0!, {r1, r2}", "load_multiple", "r0 address", "r1 r2"),
    ("stmdb r0!, {r1, r2}", "store_multiple", "r0 address, r1 stored, r2 stored", ""),
    ("vldr s0, [r1]", "fpu_load", "r1 address", "s0"),
    ("vldr d1, [r1]", "fpu_load_pair", "r1 address", "s2 s3"),
    ("vstr s3, [r1]", "fpu_store", "r1 address, s3 stored", ""),
    ("vstr d15, [r1]", "fpu_store_pair", "r1 address, s30 stored, s31 stored", ""),
    ("vpush {d8}", "fpu_store_multiple", "sp address, s16 stored, s17 stored", ""),
    ("vpop {s1, s2}", "fpu_load_multiple", "sp address", "s1 s2"),
    ("vldmia r0!, {s0, s1}", "fpu_load_multiple", "r0 address", "s0 s1"),
    ("vstmia r0, {d0}", "fpu_store_multiple", "r0 address, s0 stored, s1 stored", ""),
]

# an access, registers that it moves, base, constant offset, indexing, base registers it changes
ACCESSES: list[tuple[str, int, str, int | None, str, str]] = [
    ("ldr r0, [r1, #4]", 1, "r1", 4, "", ""),
    ("ldr r0, [r1, r2]", 1, "r1", None, "", ""),
    ("ldr r0, [r1, #4]!", 1, "r1", 4, "pre", "r1"),
    ("ldr r0, [r1], #4", 1, "r1", 0, "post", "r1"),
    ("ldrd r0, r1, [r2, #8]", 2, "r2", 8, "", ""),
    ("ldrd r0, r1, [r2, #8]!", 2, "r2", 8, "pre", "r2"),
    ("ldrd r0, r1, [r2], #8", 2, "r2", 0, "post", "r2"),
    ("strd r0, r1, [r2, #8]!", 2, "r2", 8, "pre", "r2"),
    ("strb r0, [r1], #1", 1, "r1", 0, "post", "r1"),
    ("vldr s0, [r1, #4]", 1, "r1", 4, "", ""),
    ("vldr d0, [r1, #8]", 2, "r1", 8, "", ""),
    ("ldmia r0!, {r1, r2, r3}", 3, "r0", 0, "", "r0"),
    ("ldmia.w r0, {r1, r2}", 2, "r0", 0, "", ""),
    ("push {r4, r5, lr}", 3, "sp", 0, "", "sp"),
    ("vpush {d8, d9}", 4, "sp", 0, "", "sp"),
    ("vpop {s1, s2, s3}", 3, "sp", 0, "", "sp"),
    ("vldmia r0!, {s0, s1}", 2, "r0", 0, "", "r0"),
    ("vstmia r0, {d0, d1}", 4, "r0", 0, "", ""),
    ("adds r0, r0, r1", 0, "", None, "", ""),
]

# an attribute, and the instructions that have it, or that do not
ATTRIBUTES = [
    ("sets_flags", True, ["adds r0, r1, r2", "cmp r0, #1", "vcmp.f32 s0, s1", "muls r0, r1, r0"]),
    ("sets_flags", False, ["add.w r0, r1, r2", "it eq; addeq r0, r1", "mul r0, r1, r2", "b ."]),
    ("sets_flags", True, ["it eq; cmpeq r0, r1"]),
    ("predicated", True, ["it eq; moveq r0, r1", "ite eq; moveq r0, r1; movne r0, r2"]),
    ("predicated", True, ["it eq; bxeq lr", "ittt eq; nopeq; nopeq; streq r0, [r1]"]),
    ("predicated", True, ["itet eq; moveq r0, r1; movne r0, r2; moveq r0, r3"]),
    ("predicated", True, ["ittee eq; moveq r0, r1; moveq r0, r2; movne r0, r3; movne r0, r4"]),
    ("predicated", False, ["itte eq; moveq r0, r1; moveq r0, r2; movne r0, r3; mov r0, r4"]),
    ("predicated", False, ["it eq; moveq r0, r1; mov r2, r3", "beq .", "it eq; nopeq; nop"]),
    ("early", True, ["add.w r0, r1, #1", "subs r0, #1", "mov r0, r9", "movw r0, #1"]),
    ("early", True, ["addw r0, r1, #1", "lsl.w r0, r1, #1", "ror.w r0, r1, r2", "movt r0, #1"]),
    ("early", False, ["and.w r0, r1, #1", "add.w r0, r1, r2, lsl #1", "cmp r0, #1", "mvn r0, r1"]),
    ("early", False, ["uxtb r0, r1", "mul r0, r1, r2", "adcs r0, r1", "rsb r0, r1, r2"]),
    ("loads_pc", True, ["pop {r4, pc}", "ldr pc, [r1]", "ldm r0, {r1, pc}"]),
    ("loads_pc", False, ["pop {r4, r5}", "ldr r0, [pc, #4]", "push {r4, lr}", "bx lr"]),
    # jnk0le, cortex_m7: constants that are shifted, and not those of 12 bits or of equal bytes
    ("wide_constant", True, ["eor r0, r1, #0x1fc0", "orr r0, r1, #0x80000000"]),
    ("wide_constant", True, ["add.w r0, r1, #0x1fe0", "and r0, r1, #0x10000", "mov r0, #0xff0000"]),
    ("wide_constant", False, ["add.w r0, r1, #0xff0", "addw r0, r1, #0xfff", "and r0, r1, #255"]),
    ("wide_constant", False, ["orr r0, r1, #0xab00ab00", "orr r0, r1, #0xab00ab", "b ."]),
    ("wide_constant", False, ["eor r6, r7, #0x1b1b1b1b", "mvn r0, #0", "ubfx r0, r1, #3, #4"]),
    ("wide_constant", False, ["mov r0, #0xffffffff", "add r0, r1, r2", "ldr r0, [r1, #4092]"]),
]  # fmt: skip

RISCV = [
    ("lw a0, 4(a1)", "load", "a1 address", "a0"),
    ("lw a0, 1024(a1)", "load", "a1 address", "a0"),
    ("lw a0, 8(sp)", "load", "sp address", "a0"),
    ("lhu a0, 2(a1)", "load_narrow", "a1 address", "a0"),
    ("sw a0, 4(a1)", "store", "a1 address, a0 stored", ""),
    ("sw a0, 8(sp)", "store", "sp address, a0 stored", ""),
    ("sb a0, 1(a1)", "store_narrow", "a1 address, a0 stored", ""),
    ("beq a0, a1, .", "branch_conditional", "a0 operand, a1 operand", ""),
    ("bnez a0, .", "branch_conditional", "a0 operand", ""),
    ("j .", "branch", "", ""),
    (".option push; .option norvc; j .; .option pop", "branch", "", ""),
    ("jal ra, .", "call", "", "ra"),
    (".option push; .option norvc; jal ra, .; .option pop", "call", "", "ra"),
    ("ret", "branch_register", "ra operand", ""),
    (".option push; .option norvc; ret; .option pop", "branch_register", "ra operand", ""),
    ("jr a0", "branch_register", "a0 operand", ""),
    ("jalr a0", "branch_register", "a0 operand", ""),
    ("nop", "nop", "", ""),
    ("addi a0, a1, 5", "alu", "a1 operand", "a0"),
    ("addi a0, a0, 1", "alu", "a0 operand", "a0"),
    ("add a0, a0, a1", "alu", "a0 operand, a1 operand", "a0"),
    ("add a0, a1, a2", "alu", "a1 operand, a2 operand", "a0"),
    ("sub a0, zero, a1", "alu", "a1 operand", "a0"),
    ("add zero, a0, a1", "alu", "a0 operand, a1 operand", ""),
    ("li a0, 5", "alu", "", "a0"),
    ("mv a0, a1", "alu", "a1 operand", "a0"),
    ("lui a0, 5", "alu", "", "a0"),
    ("addi a0, sp, 16", "alu", "sp operand", "a0"),
    ("slli a0, a0, 3", "alu", "a0 operand", "a0"),
    ("mul a0, a1, a2", "mul", "a1 operand, a2 operand", "a0"),
    ("mulhu a0, a1, a2", "mul_long", "a1 operand, a2 operand", "a0"),
    ("divu a0, a1, a2", "div", "a1 operand, a2 operand", "a0"),
    ("rem a0, a1, a2", "div", "a1 operand, a2 operand", "a0"),
    ("ecall", "system", "", ""),
    ("fence", "system", "", ""),
    ("csrr a0, mcycle", "system", "", ""),
]


@cache
def decoded() -> dict[str, Instruction]:
    """The last instruction of every snippet, assembled in one go."""
    texts = [text for text, *_ in OPERANDS]
    texts += [text for text, *_ in ACCESSES]
    texts += [text for *_, several in ATTRIBUTES for text in several]
    understood = {}
    for core, every in (
        ("cortex-m33", list(dict.fromkeys(texts))),
        ("rv32imc", [text for text, *_ in RISCV]),
    ):
        for text, code in zip(every, assemble(core, every), strict=True):
            understood[text] = decode(code, 0x100, arm=core != "rv32imc")[-1]
    return understood


@pytest.mark.parametrize("case", [*OPERANDS, *RISCV], ids=lambda case: case[0])
def test_an_instruction_reads_and_writes_what_its_manual_says(
    case: tuple[str, str, str, str],
) -> None:
    text, kind, reads, writes = case
    instruction = decoded()[text]
    assert instruction.kind == kind
    # An IT block adds the destination once more where it is a source too.
    found = dict.fromkeys(" ".join(read) for read in instruction.reads)
    assert ", ".join(found) == reads
    assert " ".join(instruction.writes) == writes


@pytest.mark.parametrize("case", ACCESSES, ids=lambda case: case[0])
def test_an_access_has_a_base_an_offset_and_so_many_registers(
    case: tuple[str, int, str, int | None, str, str],
) -> None:
    text, transfers, base, offset, indexed, updates = case
    found = decoded()[text]
    assert (found.transfers, found.base, found.offset) == (transfers, base, offset)
    assert (found.indexed, " ".join(found.updates)) == (indexed, updates)


@pytest.mark.parametrize("case", ATTRIBUTES, ids=str)
def test_an_instruction_has_an_attribute_or_not(case: tuple[str, bool, list[str]]) -> None:
    attribute, expected, texts = case
    found = {text: getattr(decoded()[text], attribute) for text in texts}
    assert found == dict.fromkeys(texts, expected)


def test_instructions_follow_one_another() -> None:
    code = assemble("cortex-m4", ["nop; add.w r0, r1, #1; it eq; moveq r0, r1; b ."])[0]
    block = decode(code, 0x800_0000, arm=True)
    places = [(i.address - 0x800_0000, i.end - 0x800_0000) for i in block]
    assert places == [(0, 2), (2, 6), (6, 8), (8, 10), (10, 12)]
    assert [i.predicated for i in block] == [False, False, False, True, False]


def test_the_same_code_elsewhere_is_the_same_but_for_its_addresses() -> None:
    text = "adr r0, . + 1020; ldr r1, [pc, #8]; bl . + 0x1000; tbb [pc, r2]"
    (code,) = assemble("cortex-m4", [text])
    first, second, odd = (decode(code, at, arm=True) for at in (0x10, 0x800_0010, 0x800_0012))
    assert [i.address for i in first] == [0x10, 0x14, 0x16, 0x1A]
    assert [i.address for i in second] == [0x800_0010, 0x800_0014, 0x800_0016, 0x800_001A]
    assert [replace(one, address=0) for one in first] == [replace(i, address=0) for i in second]
    assert [replace(one, address=0) for one in first] == [replace(i, address=0) for i in odd]
    _decoded.cache_clear()
    assert decode(code, 0x800_0010, arm=True) == second


def test_what_does_not_decode_is_a_system_instruction_of_two_bytes() -> None:
    nop, undefined = b"\x00\xbf", b"\xff\xff"  # 0xFFFF begins no instruction of 32 bits
    block = decode(nop + undefined * 2 + nop + undefined, 0x100, arm=True)
    assert [i.kind for i in block] == ["nop", "system", "system", "nop", "system"]
    assert [i.address for i in block] == [0x100, 0x102, 0x104, 0x106, 0x108]
    assert block[-1].end == 0x10A
    assert decode(b"", 0x100, arm=True) == ()


def test_a_decoded_instruction_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(decoded()["b ."], "kind", "nop")  # noqa: B010
