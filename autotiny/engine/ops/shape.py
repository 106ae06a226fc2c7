"""Ops that only rename memory: the output is the input's, or a part of it, or joins its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autotiny.engine import shapes
from autotiny.engine.declared import Declared, Emitter, Ignored, Takes, Values
from autotiny.engine.kernel import Kernel, Site
from autotiny.engine.layers.sharing import MAKES_ANEW
from autotiny.graph import DType, Graph, Op, Tensor, producers

DTYPES: Final[tuple[DType, ...]] = (
    "int8", "uint8", "int16", "int32", "int64", "float32", "bool",
)  # fmt: skip
"""Types that can be moved and renamed, whatever they mean."""


def alias(site: Site) -> Kernel:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same bytes under another shape."""
    source, result = site.input(0), site.output
    feeds_out = site.output_index in site.graph.outputs
    if source.data is not None or (feeds_out and site.op.inputs[0] in site.graph.inputs):
        body = f"at_move_all(x, y, {result.bytes}u);"
        return Kernel(("move.h",), body, (site.reads("x"), site.writes()))
    return Kernel(aliases={site.output_index: (site.op.inputs[0], 0)})


def as_part(site: Site, offset: int) -> Kernel | None:
    """The output as a part of the input, so many bytes behind its beginning.

    Kernels read words from any address, so the part may begin at any element.

    None if it is not one piece of it, or must be memory of its own, as what is joined to others.
    """
    index, graph = site.op.inputs[0], site.graph
    joining = (op for op in graph.ops if op.kind == "CONCATENATION")
    if any(site.output_index in op.inputs and joins_in_place(graph, op) for op in joining):
        return None
    made = index in graph.inputs or index in producers(graph)
    if site.input(0).data is not None or not made or site.output_index in graph.outputs:
        return None
    if not _one_piece(site.output, site.input(0)):
        return None
    return Kernel(aliases={site.output_index: (index, offset)})


def as_whole(site: Site, offsets: list[int]) -> Kernel | None:
    """The inputs as parts of the output, each so many bytes behind its beginning.

    None if one is not one piece of it, or is more than that to another op.
    """
    if not joins_in_place(site.graph, site.op):
        return None
    places = zip(site.op.inputs, offsets, strict=True)
    return Kernel(aliases={index: (site.output_index, offset) for index, offset in places})


def joins_in_place(graph: Graph, op: Op) -> bool:
    """Whether all inputs of a CONCATENATION are made where they belong in its output.

    A SLICE is among them: it is copied there, since it is no other name for a part of its input.
    """
    parts = set(op.inputs)
    made_by = {part: one for one in graph.ops for part in parts.intersection(one.outputs)}
    reading = [one for one in graph.ops if not parts.isdisjoint(one.inputs)]
    if len(reading) > 1 or len(parts) < len(op.inputs) or made_by.keys() != parts:
        return False
    return parts.isdisjoint((*graph.inputs, *graph.outputs)) and all(
        one.kind in (*MAKES_ANEW, "SLICE")
        and graph.tensors[part].data is None
        and _one_piece(graph.tensors[part], graph.tensors[op.outputs[0]])
        for part, one in made_by.items()
    )


def _one_piece(small: Tensor, large: Tensor) -> bool:
    """Whether a box of a tensor is one piece of its memory: whole behind its first dimension."""
    if len(small.shape) != len(large.shape):
        return False
    first = next((d for d, n in enumerate(small.shape) if n > 1), len(small.shape))
    return small.shape[first + 1 :] == large.shape[first + 1 :]


_SHAPE_OPTIONS: Final[Mapping[str, Mapping[str, Values]]] = {
    "RESHAPE": {"new_shape": Ignored(tuple)},
    "SQUEEZE": {"squeeze_dims": Ignored(tuple)},
    "EXPAND_DIMS": {},
}

RENAMING: Final[Mapping[tuple[str, str], Emitter]] = {
    (kind, dtype): Emitter(
        alias,
        Declared(
            inputs=(
                Takes("input", (dtype,)),
                Takes("shape", ("int32", "int64"), optional=True, empty=True),
            ),
            outputs=(Takes("result", (dtype,)),),
            shapes=shapes.same_size,
            options=options,
        ),
    )
    for kind, options in _SHAPE_OPTIONS.items()
    for dtype in DTYPES
}
"""(kind, arithmetic) → emitter."""
