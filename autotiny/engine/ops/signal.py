"""Front ends: from recorded samples to features, in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from autotiny.engine.declared import Declared, Emitter, OneOf, Real, Takes, Values, Whole
from autotiny.engine.kernel import Kernel, Site, scratch, table
from autotiny.engine.shapes import result
from autotiny.errors import AutotinyError
from autotiny.signal import FRONT_ENDS, CCall, FrontEnd, arranged, front_end_from

WHOLE: Final = ("frame", "hop", "filters", "rate", "coefficients", "fft", "first", "bins",
                "order", "factor", "taps")  # fmt: skip
REAL: Final = ("low_hz", "high_hz", "low_db", "high_db", "limit_db", "step")
OPTIONS: Final[Mapping[str, Values]] = {
    **{name: Whole(0) for name in WHOLE},
    **{name: Real() for name in REAL},
    "dtype": OneOf(("int8", "int16")),
    "samples": OneOf(("int16",)),
}
"""Their ranges are the front end's to say."""


def front_end_of(site: Site) -> FrontEnd:
    """The front end of an op; refused where a parameter is out of range."""
    try:
        return front_end_from(site.op.kind, site.op.options)
    except AutotinyError as refusal:
        return site.refuse(str(refusal))


def call_of(site: Site, end: FrontEnd) -> CCall:
    """Its C for the samples that it takes."""
    return end.c_call(arranged(site.input(0).shape[1:], end))


def emit(site: Site) -> Kernel:
    """The call of a front end's kernel."""
    end = front_end_of(site)
    call, tables = call_of(site, end), end.tables()
    working = [
        scratch(f"work_{place}", bytes_, "void", alignment=8)
        for place, bytes_ in enumerate(call.scratch_bytes)
    ]
    constants = [table(name, tables[name]) for name in call.tables]
    operands = (site.reads("x"), site.writes(), *working, *constants)
    names = [operand.name for operand in operands]
    arguments = ", ".join([*names, *map(str, call.constants)])
    return Kernel((call.header,), f"{call.function}({arguments});", operands)


def _fits(site: Site) -> None:
    """The result has as many features as the front end gives of so many samples."""
    end = front_end_of(site)
    x, y = site.input(0), result(site)
    try:
        given = end.output_shape(arranged(x.shape[1:], end))
    except AutotinyError as refusal:
        site.refuse(str(refusal))
    if x.shape[:1] != (1,) or int(np.prod(given)) != y.size or y.dtype != end.dtype:
        site.refuse(f"its result is {y.dtype} {y.shape}, but it gives {end.dtype} {(1, *given)}")


SIGNAL: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, "int16"): Emitter(
        emit,
        Declared(
            inputs=(Takes("samples", ("int16",), ranks=(2, 3), scales="one", symmetric=True),),
            outputs=(Takes("features", ("int8", "int16"), scales="one"),),
            options={
                name: OPTIONS[name]
                for name in kind_of.__dataclass_fields__  # type: ignore[attr-defined]
            },
            shapes=_fits,
        ),
    )
    for kind, kind_of in FRONT_ENDS.items()
}
"""(kind, arithmetic) → emitter."""
