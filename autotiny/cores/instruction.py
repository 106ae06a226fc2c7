"""Machine code → what a pipeline has to know of each instruction.

Capstone decodes; which registers are read and written, and in which role, is worked out here from
the operands, because capstone's own register lists leave out accumulators, shifted operands and
floating-point register lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import capstone
from capstone import arm, arm_const, riscv_const

Kind = Literal[
    "alu", "shift", "alu_shifted", "dsp", "bitfield", "mul", "mac", "mul_long", "mac_long", "div",
    "load", "load_narrow", "load_pair", "load_multiple",
    "store", "store_narrow", "store_pair", "store_multiple",
    "branch", "branch_conditional", "call", "branch_register", "branch_table",
    "it", "nop", "system",
    "fpu_add", "fpu_mul", "fpu_mac", "fpu_div", "fpu_sqrt", "fpu_convert", "fpu_compare",
    "fpu_move", "fpu_from_core", "fpu_to_core",
    "fpu_load", "fpu_load_pair", "fpu_load_multiple",
    "fpu_store", "fpu_store_pair", "fpu_store_multiple",
]  # fmt: skip
Role = Literal["operand", "shifted", "address", "accumulator", "multiplicand", "stored", "flags"]

LOADS = frozenset(
    {"load", "load_narrow", "load_pair", "load_multiple",
     "fpu_load", "fpu_load_pair", "fpu_load_multiple"}
)  # fmt: skip
STORES = frozenset(
    {"store", "store_narrow", "store_pair", "store_multiple",
     "fpu_store", "fpu_store_pair", "fpu_store_multiple"}
)  # fmt: skip
BRANCHES = frozenset({"branch", "branch_conditional", "call", "branch_register", "branch_table"})
MULTIPLIES = frozenset({"mul", "mac", "mul_long", "mac_long"})
FPU = frozenset(kind for kind in get_args(Kind) if kind.startswith("fpu_"))

FLAGS = "flags"

WORD_BYTES = 4
BLOCKS_KEPT = 1 << 13
"""Basic blocks whose instructions are kept, of some ten kilobytes each."""


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction, as a pipeline sees it.

    Attributes:
        address: where it stands.
        size: 2 or 4 bytes.
        mnemonic: as capstone prints it.
        kind: which row of a core's table it takes.
        reads: register and the role in which it is consumed.
        writes: registers that receive the result.
        updates: address registers that pre- or post-indexing changes.
        transfers: registers that a load or store moves.
        base, offset: base register and constant offset of a memory access; offset is None if it is
            a register.
        indexed: "", "pre" or "post".
        sets_flags: it writes the condition flags.
        predicated: it stands in an IT block.
        early: an addition, subtraction or move without shifted operand, or a shift (for early
            ALUs).
        wide_constant: its constant is a shifted 8-bit value, which takes the shifter.
        loads_pc: it writes the program counter from memory (`pop {pc}`, `ldr pc`).
    """

    address: int
    size: int
    mnemonic: str
    kind: Kind
    reads: tuple[tuple[str, Role], ...] = ()
    writes: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    transfers: int = 0
    base: str = ""
    offset: int | None = None
    indexed: str = ""
    sets_flags: bool = False
    predicated: bool = False
    early: bool = False
    wide_constant: bool = False
    loads_pc: bool = False

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size


_ALU = {
    "adc", "add", "and", "bic", "cmn", "cmp", "eor", "mov", "mvn", "neg", "orn", "orr", "rsb",
    "sbc", "sub", "teq", "tst", "addw", "subw", "movw", "movt", "adr", "rrx",
}  # fmt: skip
_NO_RESULT = {"cmp", "cmn", "tst", "teq", "vcmp", "vcmpe"}
_SHIFT = {"lsl", "lsr", "asr", "ror"}
_BITFIELD = {
    "bfc", "bfi", "sbfx", "ubfx", "rbit", "rev", "rev16", "revsh", "clz",
    "sxtb", "sxth", "uxtb", "uxth", "sxtb16", "uxtb16",
    "sxtab", "sxtah", "uxtab", "uxtah", "sxtab16", "uxtab16", "pkhbt", "pkhtb",
}  # fmt: skip
_MUL = {"mul", "smulbb", "smulbt", "smultb", "smultt", "smulwb", "smulwt", "smuad", "smuadx",
"smusd",         "smusdx", "smmul", "smmulr"}  # fmt: skip
_MAC = {"mla", "mls", "smlabb", "smlabt", "smlatb", "smlatt", "smlawb", "smlawt", "smlad", "smladx",
        "smlsd", "smlsdx", "smmla", "smmlar", "smmls", "smmlsr", "usada8"}  # fmt: skip
_MUL_LONG = {"smull", "umull"}
_MAC_LONG = {"smlal", "umlal", "umaal", "smlalbb", "smlalbt", "smlaltb", "smlaltt", "smlald",
             "smlaldx", "smlsld", "smlsldx"}  # fmt: skip
_DSP = {
    "qadd", "qsub", "qdadd", "qdsub", "ssat", "usat", "ssat16", "usat16", "sel", "usad8",
    *(f"{sign}{op}" for sign in ("s", "u", "q", "uq", "sh", "uh")
      for op in ("add8", "add16", "sub8", "sub16", "asx", "sax")),
}  # fmt: skip
_WHOLE_REGISTER = {"clz", "sxtb", "sxth", "uxtb", "uxth", "sxtb16", "uxtb16"}
_FPU_KINDS: dict[str, Kind] = {
    "vadd": "fpu_add", "vsub": "fpu_add", "vabs": "fpu_add", "vneg": "fpu_add",
    "vmaxnm": "fpu_add", "vminnm": "fpu_add", "vmul": "fpu_mul", "vnmul": "fpu_mul",
    "vfma": "fpu_mac", "vfms": "fpu_mac", "vfnma": "fpu_mac", "vfnms": "fpu_mac",
    "vmla": "fpu_mac", "vmls": "fpu_mac", "vnmla": "fpu_mac", "vnmls": "fpu_mac",
    "vdiv": "fpu_div", "vsqrt": "fpu_sqrt", "vcvt": "fpu_convert", "vcvtr": "fpu_convert",
    "vcvtb": "fpu_convert", "vcvtt": "fpu_convert", "vcvta": "fpu_convert",
    "vcvtn": "fpu_convert", "vcvtp": "fpu_convert", "vcvtm": "fpu_convert",
    "vrinta": "fpu_convert", "vrintn": "fpu_convert", "vrintp": "fpu_convert",
    "vrintm": "fpu_convert", "vrintr": "fpu_convert", "vrintz": "fpu_convert",
    "vrintx": "fpu_convert", "vcmp": "fpu_compare", "vcmpe": "fpu_compare", "vmrs": "fpu_to_core",
    "vmsr": "fpu_from_core", "vseleq": "fpu_move", "vselge": "fpu_move", "vselgt": "fpu_move",
    "vselvs": "fpu_move",
}  # fmt: skip
_NARROW = ("b", "h", "sb", "sh")
_S_BIT = 0x10
"""In the first byte of a 4-byte instruction with register operands: it sets the flags."""
_HINTS = {"nop", "hint", "yield", "wfe", "wfi", "sev", "sevl", "dbg", "csdb", "esb"}
_PRELOADS = {"pld", "pldw", "pli"}
_BRANCH_NAMES = {"b", "bl", "blx", "bx", "bxns", "blxns", "cbz", "cbnz", "tbb", "tbh"}


def thumb_decoder() -> capstone.Cs:
    """A capstone decoder for the Thumb code of M-profile cores."""
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.detail = True
    return decoder


def riscv_decoder() -> capstone.Cs:
    """A capstone decoder for RV32 with compressed instructions."""
    decoder = capstone.Cs(
        capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC
    )
    decoder.detail = True
    return decoder


def decode(code: bytes, address: int, *, arm: bool) -> tuple[Instruction, ...]:
    """The instructions of a basic block; what does not decode becomes `system`, two bytes each.

    Args:
        code: the bytes of the block.
        address: where the block stands.
        arm: whether it is Thumb code, else it is RISC-V's.
    """
    begin = address % WORD_BYTES  # what an instruction means depends on no more of its address
    return tuple(_moved(one, address - begin) for one in _decoded(code, begin, arm))


def _moved(one: Instruction, by: int) -> Instruction:
    """The same at another address; `replace` takes ten times as long."""
    moved = object.__new__(Instruction)
    moved.__dict__.update(one.__dict__, address=one.address + by)
    return moved


@lru_cache(maxsize=BLOCKS_KEPT)
def _decoded(code: bytes, address: int, arm: bool) -> tuple[Instruction, ...]:
    """The same, found once: one firmware after the other holds the same code."""
    # Of its own: others may decode in other threads.
    decoder = thumb_decoder() if arm else riscv_decoder()
    understand = _thumb if arm else _riscv
    instructions: list[Instruction] = []
    predicated = 0
    place = 0
    while place < len(code):
        for decoded in decoder.disasm(code[place:], address + place):
            name = decoded.mnemonic
            if name.startswith("it") and set(name[2:]) <= {"t", "e"} and understand is _thumb:
                reads: tuple[tuple[str, Role], ...] = ((FLAGS, "flags"),)
                instructions.append(Instruction(decoded.address, 2, name, "it", reads))
                predicated = len(name) - 1
            else:
                instructions.append(understand(decoded, predicated > 0))
                predicated -= predicated > 0
            place += decoded.size
        if place < len(code):
            instructions.append(Instruction(address + place, 2, "unknown", "system"))
            place += 2
    return tuple(instructions)


def _thumb(decoded: capstone.CsInsn, predicated: bool) -> Instruction:
    name = decoded.mnemonic.split(".")[0]
    if predicated or (decoded.cc not in (arm_const.ARM_CC_AL, arm_const.ARM_CC_INVALID)):
        name = _without_condition(name)
    base_name = name
    if decoded.update_flags and name.endswith("s") and name[:-1] in _ALU | _SHIFT | {"mul"}:
        base_name = name[:-1]
    operands = decoded.operands
    registers = [decoded.reg_name(o.reg) for o in operands if o.type == arm_const.ARM_OP_REG]
    common: dict[str, Any] = {
        "address": decoded.address,
        "size": decoded.size,
        "mnemonic": decoded.mnemonic,
        "predicated": predicated,
    }
    condition: tuple[tuple[str, Role], ...] = ((FLAGS, "flags"),) if predicated else ()
    if base_name in _BRANCH_NAMES:
        return _thumb_branch(decoded, base_name, registers, predicated, common)
    memory = _thumb_memory(decoded, base_name, registers, common, condition)
    if memory is not None:
        return memory
    if base_name in _HINTS:
        return Instruction(kind="nop", **common)
    kind = _thumb_kind(decoded, base_name, operands)
    if kind == "system":
        return Instruction(kind=kind, **common)
    names = [
        (decoded.reg_name(o.reg), o.shift.type != arm_const.ARM_SFT_INVALID)
        for o in operands
        if o.type == arm_const.ARM_OP_REG
    ]
    writes: tuple[str, ...]
    reads: list[tuple[str, Role]] = list(condition)
    sources = names
    if base_name in _NO_RESULT or base_name == "vmsr":
        writes = ()
    elif kind in ("mul_long", "mac_long"):
        writes = tuple(n for n, _ in names[:2])
        sources = names[2:]
        if kind == "mac_long":
            reads += [(n, "accumulator") for n in writes]
    elif (kind, len(names)) in (("fpu_to_core", 3), ("fpu_to_core", 4), ("fpu_from_core", 4)):
        writes = tuple(n for n, _ in names[:2])
        sources = names[2:]
    else:
        writes = tuple(n for n, _ in names[:1])
        sources = names[1:]
        if base_name in ("bfi", "bfc", "movt") or (
            len(operands) == 2 and kind in ("alu", "shift", "mul", "alu_shifted")
            and base_name not in ("mov", "mvn", "neg", "movw", "adr", "rrx", "rsb")
        ):  # fmt: skip
            reads.append((names[0][0], "operand"))
        if kind == "fpu_mac":
            reads.append((names[0][0], "accumulator"))
    if predicated and writes:  # the old value stays if the condition fails
        reads += [(n, "operand") for n in writes if (n, "accumulator") not in reads]
    for index, (register, is_shifted) in enumerate(sources):
        role: Role = "operand"
        if kind in MULTIPLIES or kind == "fpu_mac":
            role = "accumulator" if kind == "mac" and index == 2 else "multiplicand"
        elif is_shifted and kind in ("alu_shifted", "dsp"):
            role = "shifted"
        elif kind == "bitfield" and base_name not in _WHOLE_REGISTER:
            # the extracted, shifted or inserted field
            role = "shifted" if index == len(sources) - 1 or base_name == "pkhtb" else "operand"
        reads.append((register, role))
    # Inside an IT block the short encodings leave the flags alone.
    sets_flags = (bool(decoded.update_flags) and not predicated) or base_name in _NO_RESULT
    if base_name in ("adc", "sbc") and decoded.size == 4:  # capstone takes each for an adcs
        sets_flags = bool(decoded.bytes[0] & _S_BIT)
    if base_name in ("adc", "sbc", "rrx") or base_name.startswith("vsel"):
        reads.append((FLAGS, "operand"))
    reads = [(single, role) for register, role in reads for single in _singles(register)]
    writes = tuple(single for register in writes for single in _singles(register))
    return Instruction(
        kind=kind,
        reads=tuple(reads),
        writes=writes + ((FLAGS,) if sets_flags else ()),
        sets_flags=sets_flags,
        early=kind == "shift"
        or (
            kind == "alu"
            and base_name in ("add", "sub", "mov", "movw", "movt", "addw", "subw", "adr")
        ),
        wide_constant=kind == "alu"
        and base_name not in ("movw", "movt")
        and _is_shifted_constant(operands),
        **common,
    )


def _thumb_kind(decoded: capstone.CsInsn, name: str, operands: Sequence[arm.ArmOp]) -> Kind:
    if name in _ALU:
        shifted = [
            o
            for o in operands
            if o.type == arm_const.ARM_OP_REG and o.shift.type != arm_const.ARM_SFT_INVALID
        ]
        if not shifted:
            return "alu"
        return "shift" if name in ("mov",) else "alu_shifted"
    if name in _SHIFT:
        return "shift"
    if name in _BITFIELD:
        return "bitfield"
    if name in _MUL:
        return "mul"
    if name in _MAC:
        return "mac"
    if name in _MUL_LONG:
        return "mul_long"
    if name in _MAC_LONG:
        return "mac_long"
    if name in ("sdiv", "udiv"):
        return "div"
    if name == "vmov":
        registers = [decoded.reg_name(o.reg) for o in operands if o.type == arm_const.ARM_OP_REG]
        core = [r[0] not in "sd" or r == "sp" for r in registers]
        if not any(core):
            return "fpu_move"
        return "fpu_to_core" if core[0] else "fpu_from_core"
    if name in _FPU_KINDS:
        return _FPU_KINDS[name]
    if name in _DSP:
        return "dsp"
    return "system"


def _is_shifted_constant(operands: Sequence[arm.ArmOp]) -> bool:
    """Whether the constant needs the shifter: more than 12 bits and no pattern of bytes."""
    for operand in operands:
        if operand.type == arm_const.ARM_OP_IMM:
            value = operand.imm & 0xFFFFFFFF
            low = value & 0xFF
            pattern = value in (
                low * 0x00010001,
                low * 0x01010101,
                (value >> 8 & 0xFF) * 0x01000100,
            )
            return value > 0xFFF and not pattern
    return False


def _without_condition(name: str) -> str:
    """The mnemonic without the condition that an IT block or a conditional branch appends."""
    conditions = (
        "eq",
        "ne",
        "hs",
        "lo",
        "mi",
        "pl",
        "vs",
        "vc",
        "hi",
        "ls",
        "ge",
        "lt",
        "gt",
        "le",
        "cs",
        "cc",
    )
    return name[:-2] if name[-2:] in conditions and len(name) > 2 else name


def _thumb_branch(
    decoded: capstone.CsInsn,
    name: str,
    registers: list[str],
    predicated: bool,
    common: dict[str, Any],
) -> Instruction:
    kind: Kind
    reads: list[tuple[str, Role]] = []
    if name in ("tbb", "tbh"):
        kind = "branch_table"
        memory = decoded.operands[0].mem
        reads = [(decoded.reg_name(memory.index), "address")]
        if memory.base and decoded.reg_name(memory.base) != "pc":
            reads.append((decoded.reg_name(memory.base), "address"))
    elif name in ("cbz", "cbnz"):
        kind = "branch_conditional"
        reads = [(registers[0], "operand")]
    elif name == "b":
        conditional = predicated or decoded.cc not in (
            arm_const.ARM_CC_AL,
            arm_const.ARM_CC_INVALID,
        )
        kind = "branch_conditional" if conditional else "branch"
        reads = [(FLAGS, "flags")] if conditional else []
    elif name == "bl":
        kind = "call"
    else:
        kind = "branch_register"
        reads = [(r, "operand") for r in registers]
        if predicated:
            reads.append((FLAGS, "flags"))
    writes = ("lr",) if name in ("bl", "blx", "blxns") else ()
    return Instruction(kind=kind, reads=tuple(reads), writes=writes, **common)


def _thumb_memory(
    decoded: capstone.CsInsn,
    name: str,
    registers: list[str],
    common: dict[str, Any],
    condition: tuple[tuple[str, Role], ...],
) -> Instruction | None:
    """A load or store, or None for anything else."""
    kind: Kind
    if name in ("push", "pop") or name.startswith(("ldm", "stm", "vldm", "vstm", "vpush", "vpop")):
        floating = name[0] == "v"
        stack = name in ("push", "pop", "vpush", "vpop")
        base = "sp" if stack else registers[0]
        moved = registers if stack else registers[1:]
        words = sum(2 if floating and r[0] == "d" else 1 for r in moved)
        moved = [s for r in moved for s in _singles(r)]
        loads = name in ("pop", "vpop") or "ldm" in name
        if loads:
            kind = "fpu_load_multiple" if floating else "load_multiple"
        else:
            kind = "fpu_store_multiple" if floating else "store_multiple"
        reads: list[tuple[str, Role]] = [*condition, (base, "address")]
        if not loads:
            reads += [(r, "stored") for r in moved]
        updated = (base,) if stack or decoded.writeback else ()
        return Instruction(
            kind=kind, reads=tuple(reads), writes=tuple(moved) if loads else (), updates=updated,
            transfers=words, base=base, offset=0, loads_pc=loads and "pc" in moved, **common,
        )  # fmt: skip
    floating = name in ("vldr", "vstr")
    if not floating and not (name.startswith(("ldr", "str", "lda", "stl")) or name in _PRELOADS):
        return None
    memory = next((o for o in decoded.operands if o.type == arm_const.ARM_OP_MEM), None)
    if memory is None:
        return None
    base = decoded.reg_name(memory.mem.base)
    index = decoded.reg_name(memory.mem.index) if memory.mem.index else ""
    if name in _PRELOADS:
        return Instruction(kind="nop", reads=((base, "address"),), **common)
    loads = name.startswith(("ldr", "lda", "vldr"))
    suffix = name[4:] if floating else name[3:]
    if floating:
        double = registers[0].startswith("d")
        kind = (
            ("fpu_load_pair" if double else "fpu_load")
            if loads
            else ("fpu_store_pair" if double else "fpu_store")
        )
        transfers = 2 if double else 1
    elif suffix in ("d", "exd"):
        kind, transfers = ("load_pair" if loads else "store_pair"), 2
    elif suffix.rstrip("t") in _NARROW or suffix in ("exb", "exh"):
        kind, transfers = ("load_narrow" if loads else "store_narrow"), 1
    else:
        kind, transfers = ("load" if loads else "store"), 1
    exclusive = not loads and suffix.startswith("ex")  # the first register tells whether it stored
    data = registers[exclusive : exclusive + transfers]
    moved = [s for r in data for s in _singles(r)]
    behind = [o for o in decoded.operands if o.type == arm_const.ARM_OP_IMM]
    indexed = ""
    if decoded.writeback:
        indexed = "post" if behind or len(registers) > (1 if floating else transfers) else "pre"
    reads = [*condition, (base, "address")]
    if index:
        reads.append((index, "address"))
    if not loads:
        reads += [(r, "stored") for r in moved]
    return Instruction(
        kind=kind,
        reads=tuple(reads),
        writes=tuple(moved) if loads else tuple(registers[:exclusive]),
        updates=(base,) if decoded.writeback else (),
        transfers=transfers,
        base=base,
        offset=None if index else (0 if indexed == "post" else memory.mem.disp),
        indexed=indexed,
        loads_pc=loads and "pc" in moved,
        **common,
    )


def _singles(register: str) -> tuple[str, ...]:
    """A double-precision register as the single-precision ones that it is made of."""
    if register[0] == "d" and register[1:].isdigit() and int(register[1:]) < 16:
        number = 2 * int(register[1:])
        return (f"s{number}", f"s{number + 1}")
    return (register,)


_RISCV_LOADS = {"lw": "load", "lb": "load_narrow", "lbu": "load_narrow", "lh": "load_narrow",
                "lhu": "load_narrow", "lwsp": "load"}  # fmt: skip
_RISCV_STORES = {"sw": "store", "sb": "store_narrow", "sh": "store_narrow", "swsp": "store"}
_RISCV_CONDITIONAL = {"beq", "bne", "blt", "bge", "bltu", "bgeu", "beqz", "bnez", "blez", "bgez",
"bltz",                       "bgtz"}  # fmt: skip


def _riscv(decoded: capstone.CsInsn, predicated: bool) -> Instruction:
    compressed = decoded.mnemonic.startswith("c.")
    name = decoded.mnemonic.removeprefix("c.")
    operands = decoded.operands
    registers = [decoded.reg_name(o.reg) for o in operands if o.type == riscv_const.RISCV_OP_REG]
    memory = next((o for o in operands if o.type == riscv_const.RISCV_OP_MEM), None)
    common: dict[str, Any] = {
        "address": decoded.address,
        "size": decoded.size,
        "mnemonic": decoded.mnemonic,
        "predicated": predicated,
    }
    kind: Kind
    if name in _RISCV_LOADS or name in _RISCV_STORES:
        loads = name in _RISCV_LOADS
        kind = _RISCV_LOADS[name] if loads else _RISCV_STORES[name]  # type: ignore[assignment]
        if memory is not None:
            base, offset = decoded.reg_name(memory.mem.base), memory.mem.disp
        else:  # compressed stack accesses name no base register
            base = registers[1] if len(registers) > 1 else "sp"
            offset = next((o.imm for o in operands if o.type == riscv_const.RISCV_OP_IMM), 0)
        reads: tuple[tuple[str, Role], ...] = ((base, "address"),)
        if not loads:
            reads += ((registers[0], "stored"),)
        return Instruction(
            kind=kind, reads=reads, writes=(registers[0],) if loads else (), transfers=1, base=base,
            offset=offset, **common,
        )  # fmt: skip
    if name in _RISCV_CONDITIONAL:
        reads = tuple((r, "operand") for r in registers)
        return Instruction(kind="branch_conditional", reads=reads, **common)
    if name in ("j", "jal"):
        called = name == "jal" and (compressed or registers[:1] != ["zero"])
        return Instruction(
            kind="call" if called else "branch", writes=("ra",) if called else (), **common
        )
    if name in ("jr", "jalr", "ret"):
        reads = tuple((r, "operand") for r in registers[-1:] or ["ra"])
        return Instruction(kind="branch_register", reads=reads, **common)
    if name in ("ecall", "ebreak", "fence", "fence.i", "mret", "wfi") or name.startswith("csr"):
        return Instruction(kind="system", **common)
    if name == "nop":
        return Instruction(kind="nop", **common)
    if name.startswith("mul"):
        kind = "mul" if name == "mul" else "mul_long"
    elif name.startswith(("div", "rem")):
        kind = "div"
    else:
        kind = "alu"
    sources = (
        registers[1:] if not compressed or name in ("li", "mv", "lui", "addi4spn") else registers
    )
    return Instruction(
        kind=kind,
        reads=tuple((r, "operand") for r in sources if r != "zero"),
        writes=tuple(r for r in registers[:1] if r != "zero"),
        **common,
    )
