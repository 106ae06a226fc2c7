"""What a front end is in C: the function of a kernel, and what it is called with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CCall:
    """A call `function(x, y, *scratch, *tables, *constants)` of a kernel.

    Attributes:
        header: the file in `engine/kernels/`.
        function: its name there.
        scratch_bytes: of each working array, of uint64 first; they are undefined before and after.
        tables: the constant arrays, by their names in `tables()`, in the order of the parameters.
        constants: the last parameters, int32 each.
    """

    header: str
    function: str
    scratch_bytes: tuple[int, ...]
    tables: tuple[str, ...]
    constants: tuple[int, ...]
