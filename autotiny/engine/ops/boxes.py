"""Boxes of elements moved from one tensor to another (`kernels/move.h`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from autotiny.engine.kernel import Kernel, Operand, Site
from autotiny.graph import ITEM_BYTES

DIMENSIONS: Final = 5


def steps(shape: Sequence[int], item: int) -> list[int]:
    """Bytes from one index of each dimension to the next, row-major."""
    return [item * int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def move(
    site: Site,
    counts: Sequence[int],
    x: Sequence[int],
    y: Sequence[int],
    item: int,
    source: str = "x",
    target: str = "y",
) -> str:
    """A call of `at_move_box`: `counts` elements along each dimension, byte strides x and y.

    Dimensions that are one piece of memory on both sides are joined. Empty if nothing is moved.
    """
    if 0 in counts:
        return ""
    kept: list[tuple[int, int, int]] = []
    run = item
    for n, xs, ys in reversed(list(zip(counts, x, y, strict=True))):
        if n == 1:
            continue
        if not kept and xs == ys == run:
            run *= n
        elif kept and xs == kept[-1][0] * kept[-1][1] and ys == kept[-1][0] * kept[-1][2]:
            kept[-1] = (kept[-1][0] * n, kept[-1][1], kept[-1][2])
        else:
            kept.append((n, xs, ys))
    if len(kept) > DIMENSIONS:
        site.refuse(f"it moves elements along more than {DIMENSIONS} dimensions")
    kept += [(1, 0, 0)] * (DIMENSIONS - len(kept))
    fields = ", ".join(
        "{" + ", ".join(str(part[i]) for part in reversed(kept)) + "}" for i in range(3)
    )
    return f"at_move_box({source}, {target}, (at_layout){{{fields}}}, {run}u);"


def at(name: str, offset: int) -> str:
    """A byte address inside an operand that is written or read."""
    return (
        f"(const uint8_t *){name} + {offset}"
        if name.startswith("x")
        else (f"(uint8_t *){name} + {offset}")
    )


def item_of(site: Site) -> int:
    """Bytes of an element that is moved."""
    return ITEM_BYTES[site.output.dtype]


def moving(lines: Sequence[str], *operands: Operand) -> Kernel:
    """The kernel of such calls."""
    body = "\n".join(line for line in lines if line)
    return Kernel(("move.h",), body or "(void)x;\n(void)y;", operands)
