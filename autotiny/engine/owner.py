"""Who owns what a program writes to: the program itself, in static variables, or its caller.

The caller's is a struct, `NAME_t`: the arena, and behind it what outlives an inference. There can
be several, as all else of a program is constant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from autotiny.errors import UserError, unknown

State = Literal["static", "caller"]

BORDER: Final = 8
"""Bytes that an instance, and so its arena, is aligned to: those of a uint64_t."""

_WORD = 4

_STANDARD = re.compile(
    r"u?int(_least|_fast)?(8|16|32|64)|u?int(max|ptr)|r?size|ssize|ptrdiff|max_align|nullptr|"
    r"wchar|char(8|16|32)|wint|wctype|wctrans|mbstate|float|double|l{0,2}div|imaxdiv|fpos|clock|"
    r"time|errno|sig_atomic|off|pid|uid|gid|id|mode|dev|ino|key|suseconds|useconds|pthread|"
    r"cnd|mtx|thrd|tss|once|locale"
)
"""What has a type of its name and _t in the headers of C and POSIX."""

_STRUCT = """
// What one instance writes to. Instances share all constants, and may run at the same time. One
// begins as zeros, as static variables do; in other memory {name}_init sees to that. Inputs lie in
// arena.bytes at their offsets before {name}_run, outputs after; a run may overwrite the inputs.
typedef struct {name}_t {{
  union {{
    uint8_t bytes[{upper}_ARENA_BYTES];
    uint64_t aligned;  // is never read: it decides at which borders an instance may lie
  }} arena;
{more}}} {name}_t;

// Sets an instance to the start.
void {name}_init({name}_t *m);
"""

_STATIC = """
// Working memory. The inputs lie in it at their offsets before {name}_run, the outputs after;
// a run may overwrite the inputs.
extern uint8_t {name}_arena[{upper}_ARENA_BYTES];
"""


@dataclass(frozen=True)
class Owner:
    """How the C of a program names what it writes to.

    Attributes:
        name: of the program.
        state: whose memory that is.
    """

    name: str
    state: State

    @property
    def is_caller(self) -> bool:
        """Whether functions get the memory from their caller."""
        return self.state == "caller"

    @property
    def arena(self) -> str:
        """The first byte of the arena."""
        return "m->arena.bytes" if self.is_caller else f"{self.name}_arena"

    def variable(self, what: str) -> str:
        """What outlives an inference."""
        return f"m->{what}" if self.is_caller else f"{self.name}_{what}"

    def takes(self, *parameters: str) -> str:
        """The parameters of a function that works on this memory."""
        first = (f"{self.name}_t *m",) if self.is_caller else ()
        return ", ".join((*first, *parameters)) or "void"

    def call(self, function: str) -> str:
        """The call of such a function that takes nothing else."""
        return f"{self.name}_{function}({'m' if self.is_caller else ''})"

    def declared(self, kept: Sequence[int], hears: bool) -> str:
        """The memory as the header declares it.

        Args:
            kept: bytes of each array that outlives an inference.
            hears: whether samples of a stream are counted.
        """
        heard = "  uint32_t heard;  // samples of the stream, up to a window\n" if hears else ""
        arrays = (f"  int8_t kept{k}[{_up(size, _WORD)}];\n" for k, size in enumerate(kept))
        text = _STRUCT if self.is_caller else _STATIC
        more = heard + "".join(arrays)
        return text.format(name=self.name, upper=self.name.upper(), more=more)

    def init_text(self) -> str:
        """The function that sets an instance to the start."""
        if not self.is_caller:
            return ""
        return f"\nvoid {self.name}_init({self.takes()}) {{ at_fill(m, 0, sizeof *m); }}\n"

    def bytes(self, arena_bytes: int, kept: Sequence[int], hears: bool) -> tuple[int, int]:
        """Of the memory that the linker places as the arena, and how many at its end are kept."""
        if not self.is_caller:
            return arena_bytes, 0
        arena = _up(arena_bytes, BORDER)
        behind = _WORD * hears + sum(_up(size, _WORD) for size in kept)
        return arena + _up(behind, BORDER), _up(behind, BORDER)


def check_state(state: str, name: str) -> None:
    """Refuse what is no state, and names whose type would be one of the C library.

    Raises:
        UserError: it is so.
    """
    if state not in get_args(State):
        raise unknown("state", state, get_args(State), "autotiny compile --help")
    if state == "caller" and _STANDARD.fullmatch(name):
        raise UserError(
            f"the name {name!r} gives the type {name}_t, which the headers of C or POSIX have; "
            f"choose another one, e.g. 'my_{name}'"
        )


def _up(size: int, border: int) -> int:
    return -(-size // border) * border
