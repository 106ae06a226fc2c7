"""Constants and functions of a program, each emitted once however often it is used."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from autotiny.engine.kernel import Kept, Kernel, Site, Table, c_type
from autotiny.engine.owner import Owner
from autotiny.graph import Array
from autotiny.schedule import Code, WeightsMemory


class Constants:
    """The constant arrays met so far; equal ones share a symbol."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays: dict[str, tuple[Array, WeightsMemory]] = {}
        self._symbols: dict[tuple[str, str, bytes], str] = {}
        self.bytes = 0
        self.slow_bytes = 0

    def symbol(self, table: Table) -> str:
        """The symbol of a constant, which is new where no equal one was met."""
        key = (str(table.values.dtype), table.memory, table.values.tobytes())
        if key not in self._symbols:
            symbol = f"{self.name}_w{len(self._symbols)}"
            self._symbols[key] = symbol
            self.arrays[symbol] = (table.values, table.memory)
            self.bytes += table.values.nbytes
            if table.memory == "slow_sram":
                self.slow_bytes += -(-table.values.nbytes // 4) * 4
        return self._symbols[key]

    def declared(self, symbol: str) -> str:
        """The declaration of a constant, without its end."""
        # alignment is part of it: where it is not stated, x86 takes 16 bytes for granted
        values, memory = self.arrays[symbol]
        before = {"flash": "const ", "sram": "", "slow_sram": "AT_SLOW "}[memory]
        kind = c_type(str(values.dtype))
        return f"AT_WORD_ALIGNED {before}{kind} {symbol}[{max(values.size, 1)}]"

    def declarations(self) -> Iterable[str]:
        """The declarations of all constants."""
        return (f"extern {self.declared(symbol)};" for symbol in self.arrays)


class Functions:
    """The step functions met so far, and the memory they keep; equal texts share a function.

    Attributes:
        texts: their C.
        shared: the kernels that they call, as keys.
        kept: bytes of each array of memory that they keep.
    """

    def __init__(self, owner: Owner) -> None:
        self.owner, self.name = owner, owner.name
        self.texts: list[str] = []
        self.shared: dict[str, None] = {}
        self.kept: list[int] = []
        self._symbols: dict[tuple[str, str], str] = {}

    def keep(self, memory: Kept) -> str:
        """The symbol of new memory that is kept."""
        symbol = self.owner.variable(f"kept{len(self.kept)}")
        self.kept.append(memory.bytes)
        if not self.owner.is_caller:
            self.texts.append(f"AT_WORD_ALIGNED static int8_t {symbol}[{memory.bytes}];\n")
        return symbol

    def call(self, site: Site, kernel: Kernel, code: Code, arguments: Sequence[str]) -> str:
        """The call of a step's function, which is new where no equal one was met."""
        parameters, body = _text(kernel)
        if code == "shared":
            self.shared |= dict.fromkeys(_shareable(body))
            body = body.replace("@", "")
        else:
            body = re.sub(r"@(\w+)", r"\1_own", body)
        if code == "fixed":
            places = zip(parameters, arguments, strict=True)
            body = "\n".join([*(f"{one} = {place};" for one, place in places), body])
            parameters, arguments = ("void",), ()
        key = (", ".join(parameters), body)
        if key not in self._symbols:
            symbol = f"{self.name}_{site.op.kind.lower()}_{len(self._symbols)}"
            self._symbols[key] = symbol
            lines = "\n".join(wrapped(f"  {line}") for line in body.splitlines())
            self.texts.append(f"AT_STEP void {symbol}({key[0]}) {{\n{lines}\n}}\n")
        return f"{self._symbols[key]}({', '.join(arguments)});"

    def clearing(self, places: Sequence[tuple[int, int]]) -> str:
        """The call of a function that sets parts of the arena, (offset, bytes), to zero."""
        head = f"AT_STEP void {self.name}_forget({self.owner.takes()})"
        self.texts.append(f"{head} {{\n{cleared(self.owner, places)}}}\n")
        return f"{self.owner.call('forget')};"

    def on_two_cores(self, call: str, other: str) -> str:
        """A call of a function that has the other call made on the second core meanwhile."""
        number = sum("at_start_task" in text for text in self.texts)
        task, both = f"{self.name}_second_{number}", f"{self.name}_both_{number}"
        self.texts.append(f"static void {task}(void) {{\n{wrapped(f'  {other}')}\n}}\n")
        lines = "\n".join(
            wrapped(f"  {one}") for one in (f"at_start_task({task});", call, "at_await_task();")
        )
        self.texts.append(f"AT_STEP void {both}(void) {{\n{lines}\n}}\n")
        return f"{both}();"


def codes_of(kernels: Sequence[Kernel], wanted: Sequence[Code]) -> list[Code]:
    """What each step's function is made for, where the schedule leaves it open too.

    "shared" where steps of another text call its kernels too, else "own"; or "fixed", if there is
    no other step of its text either.
    """
    texts = Counter(_text(kernel) for kernel in kernels)
    calls = Counter(name for _, body in texts for name in set(_shareable(body)))

    def chosen(kernel: Kernel) -> Code:
        if any(calls[name] > 1 for name in _shareable(kernel.body)):
            return "shared"
        return "fixed" if texts[_text(kernel)] == 1 else "own"

    return [
        chosen(kernel) if code == "auto" else code
        for kernel, code in zip(kernels, wanted, strict=True)
    ]


def _text(kernel: Kernel) -> tuple[tuple[str, ...], str]:
    """The parameters and the body of a kernel's function."""
    return tuple(f"{one.c_type} *{one.name}" for one in kernel.operands), kernel.body


def _shareable(body: str) -> list[str]:
    """The functions that a kernel's body calls and that other steps can call too."""
    return re.findall(r"@(\w+)", body)


def calls_shared(kernel: Kernel) -> bool:
    """Whether a kernel calls a function that other steps can call too."""
    return bool(_shareable(kernel.body))


def cleared(owner: Owner, places: Sequence[tuple[int, int]]) -> str:
    """Lines that set parts of the arena, (offset, bytes), to zero."""
    return "".join(f"  at_fill({owner.arena} + {at}, 0, {size}u);\n" for at, size in places)


def wrapped(line: str) -> str:
    """A line of C on as many lines as it needs, broken behind commas."""
    if "//" in line:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    tight = line.lstrip().replace(", ", ",\n").replace(" ", "\0").replace(",\n", ", ")
    return textwrap.fill(
        indent + tight,
        100,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")


def const_free(c: str) -> str:
    """A C type that can be written to."""
    return c.removeprefix("const ")
