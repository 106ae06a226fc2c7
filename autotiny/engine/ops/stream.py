"""Windows of a stream: what they keep of earlier samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autotiny.engine.declared import Declared, Emitter, Takes
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.ops.recurrent import state_of
from autotiny.engine.ops.shape import DTYPES
from autotiny.engine.shapes import result
from autotiny.signal import SHIFT_IN


def shift_in(site: Site) -> Kernel:
    """SHIFT_IN: new values behind those that a window kept; the result is the window itself."""
    kept, new = site.input(0), site.input(1)
    window = state_of(site, "window", 0)
    size = min(kept.bytes, new.bytes)
    x = site.reads("x", 1)
    source = "x" if size == new.bytes else f"(const uint8_t *)x + {new.bytes - size}"
    return Kernel(
        ("shift_in.h",),
        f"at_shift_in(window, {source}, {kept.bytes - size}u, {size}u);",
        (window, x),
        aliases={site.output_index: (site.op.inputs[0], 0)},
    )


def _fits(site: Site) -> None:
    """The result is the window."""
    kept, y = site.input(0), result(site)
    if y.shape != kept.shape:
        site.refuse(f"its result is {y.shape}, but its window {kept.shape}")


SHIFTING: Final[Mapping[tuple[str, str], Emitter]] = {
    (SHIFT_IN, dtype): Emitter(
        shift_in,
        Declared(
            inputs=(Takes("window", (dtype,)), Takes("new values", (dtype,), scales="same")),
            outputs=(Takes("result", (dtype,), scales="same"),),
            shapes=_fits,
        ),
    )
    for dtype in DTYPES
}
"""(kind, arithmetic) → emitter."""
