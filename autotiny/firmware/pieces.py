"""The functions and constant arrays that the C of a model is compiled to, and who needs whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from autotiny.engine.sources import Sources
from autotiny.firmware.linking import compiler_flags, zig_object
from autotiny.target import Target

_FLASH = (".text.", ".rodata.")
"""How sections that lie in flash begin; each holds one function or array, named behind it."""


@dataclass(frozen=True)
class Piece:
    """A function or constant array of an object file.

    Attributes:
        bytes: in flash, filled up to the next border that it may lie on.
        needs: the names of functions and arrays that it refers to, those of libraries among them.
        frame_bytes: of the stack that it takes itself, without what it calls.
    """

    bytes: int
    needs: frozenset[str]
    frame_bytes: int = 0


def compiled(sources: Sources, target: Target, *, optimize: str = "-O2") -> bytes:
    """The object file of a model's program, without its weights; `link` takes it.

    Raises:
        LinkError: the compiler refused it.
    """
    with TemporaryDirectory(prefix="autotiny-") as folder:
        for name, text in sources.files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        flags = (*compiler_flags(target, optimize), "-fstack-size-section")
        return zig_object(flags, f"{sources.name}.c", Path(folder))


def pieces_of(program: bytes) -> dict[str, Piece]:
    """The functions and arrays of an object file, by name."""
    with BytesIO(program) as file:
        elf = ELFFile(file)
        sections = list(elf.iter_sections())
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        names = {
            k: section.name.split(".", 2)[2]
            for k, section in enumerate(sections)
            if section.name.startswith(_FLASH) and section["sh_flags"] & SH_FLAGS.SHF_ALLOC
        }
        needs: dict[int, set[str]] = {k: set() for k in names}
        for section in sections:
            if isinstance(section, RelocationSection) and section["sh_info"] in needs:
                for relocation in section.iter_relocations():
                    symbol = symbols.get_symbol(relocation["r_info_sym"])
                    place = symbol["st_shndx"]
                    name = names.get(place) if isinstance(place, int) else symbol.name
                    if name is not None and name != names[section["sh_info"]]:
                        needs[section["sh_info"]].add(name)
        frames = {
            section["sh_link"]: _frame_bytes(section.data())
            for section in sections
            if section.name == ".stack_sizes"
        }
        return {
            name: Piece(
                _up(sections[k]["sh_size"], max(4, sections[k]["sh_addralign"])),
                frozenset(needs[k]),
                frames.get(k, 0),
            )
            for k, name in names.items()
        }


def _up(size: int, border: int) -> int:
    return -(-size // border) * border


def _frame_bytes(entry: bytes) -> int:
    """The size behind the address of a function, in LEB128."""
    return sum((byte & 127) << 7 * k for k, byte in enumerate(entry[4:]))


def reached(pieces: Mapping[str, Piece], start: str) -> set[str]:
    """A piece and all that it needs, directly or by others; what is not among them, too."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += pieces[name].needs if name in pieces else ()
    return found
