"""Every way to compute a layer on int8; one folder each, with its dataclass, its packer and its C.

A new one is a folder and a line in `VARIANTS`. Its `__init__.py` defines

- a frozen dataclass of `schedule.Way`, what a step says of it, with the facts that hold for it;
- `why_not(site)`, why a layer cannot be computed so, and `emit(site)`, its C;
- `VARIANT`, which names these and the files of C beside them;
- what gives it to the steps of a schedule, `variant.with_each` over a function that chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.variants import (
    blocks,
    lines,
    pairs,
    plain,
    planes,
    row_pairs,
    slide,
    sparse,
    strassen,
    strip,
    trios,
    winograd,
)
from autotiny.engine.variants.variant import Variant
from autotiny.schedule import Way

VARIANTS: Final[tuple[Variant, ...]] = (
    plain.VARIANT,
    pairs.VARIANT,
    blocks.VARIANT,
    planes.VARIANT,
    lines.VARIANT,
    row_pairs.VARIANT,
    winograd.VARIANT,
    strassen.VARIANT,
    slide.VARIANT,
    strip.VARIANT,
    trios.VARIANT,
    sparse.VARIANT,
)

WAYS: Final[Mapping[str, type[Way]]] = {one.way.__name__: one.way for one in VARIANTS}
"""What a stored step may name, by its name."""

_OF: Final[Mapping[type[Way], Variant]] = {one.way: one for one in VARIANTS}


def emit(site: Site) -> Kernel:
    """The kernel of a layer on int8, by the variant that its step names."""
    return _OF[type(site.step.kernel)].emit(site)
