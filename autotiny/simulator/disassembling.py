"""The code of firmware, disassembled: where its calls and jumps lead."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

import capstone

from autotiny.cores import CORES, riscv_decoder, thumb_decoder

Instruction = tuple[int, int, str, str]
"""Address, bytes, mnemonic and operands."""

_BESIDE = re.compile(r"\[pc(?:, #(-?\w+))?\]")
"""The operand of what is loaded relative to the program counter."""


@functools.cache
def disassembler(core: str) -> capstone.Cs:
    """A disassembler for the code of a core, which steps over data."""
    decoder = thumb_decoder() if CORES[core].isa.is_arm else riscv_decoder()
    decoder.detail = False
    decoder.skipdata = True
    return decoder


def calls(core: str, code: bytes, address: int) -> list[tuple[int, int | None]]:
    """Where the calls in a piece of code return to, in order, and where they go if they say so."""
    return _calls(disassembler(core).disasm_lite(code, address))


def instructions(core: str, code: bytes, address: int) -> Iterator[Instruction]:
    """Those of a function, without the constants that they load.

    Such constants lie between them, and some look like calls and jumps.
    """
    at, end, constants = address, address + len(code), set[int]()
    while at < end:
        if at in constants:
            at += 4
            continue
        for instruction in disassembler(core).disasm_lite(code[at - address :], at):
            if instruction[0] in constants:
                break
            constants |= _loaded(instruction)
            yield instruction
            at = instruction[0] + instruction[1]
        else:
            return


def _loaded(instruction: Instruction) -> set[int]:
    """Addresses of the words that an instruction loads from beside the code, as Arm's do."""
    at, _, mnemonic, operands = instruction
    place = _BESIDE.search(operands)
    if place is None or not mnemonic.startswith(("ldr", "vldr")):
        return set()
    word = (at & ~3) + 4 + int(place[1] or "0", 0)
    return {word, word + 4} if mnemonic.startswith("ldrd") or operands[0] == "d" else {word}


def _calls(decoded: Iterable[Instruction]) -> list[tuple[int, int | None]]:
    found: list[tuple[int, int | None]] = []
    before = 0, "", ""
    for at, size, mnemonic, operands in decoded:
        if mnemonic in ("bl", "blx", "c.jal", "c.jalr") or (
            mnemonic in ("jal", "jalr") and ("ra" in operands or "," not in operands)
        ):
            found.append((at + size, _call_target(at, mnemonic, operands, before)))
        before = at, mnemonic, operands
    return found


def goes_to(core: str, code: bytes, address: int) -> set[int]:
    """Where calls and jumps in the code of a function lead to outside of it."""
    decoded = list(instructions(core, code, address))
    found = {target for _, target in _calls(decoded) if target is not None}
    for at, _, mnemonic, operands in decoded:
        if mnemonic in ("b", "b.w") and operands.startswith("#"):
            found.add(int(operands[1:], 0))
        elif mnemonic in ("j", "c.j"):
            found.add(at + int(operands, 0))
    return {target for target in found if not address <= target < address + len(code)}


def _call_target(at: int, mnemonic: str, operands: str, before: tuple[int, str, str]) -> int | None:
    """Where a call goes: absolute on Arm, relative on RISC-V, there also to what `auipc` said."""
    number = operands.rpartition(" ")[2]
    if mnemonic == "bl" and number.startswith("#"):
        return int(number[1:], 0)
    if mnemonic in ("jal", "c.jal"):
        return at + int(number, 0)
    base, kind, upper = before
    if mnemonic == "jalr" and operands.startswith("ra, ra, ") and kind == "auipc":
        return (base + (int(upper.rpartition(" ")[2], 0) << 12) + int(number, 0)) % (1 << 32)
    return None


def call_ends(core: str, code: bytes, address: int) -> list[int]:
    """Where the calls in a function return to, in order of their addresses."""
    return [end for end, _ in _calls(instructions(core, code, address))]
