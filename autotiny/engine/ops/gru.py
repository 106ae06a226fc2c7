"""GRU: the kernels of one step's ops in a loop over the steps.

Each step is computed by the very kernels that its ops have when they stand alone (`graph.gru`), on
memory of the layer's own; so the loop gives what the steps give written out, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from autotiny.engine.arena import Arena, lay_out
from autotiny.engine.declared import FLAG, Declared, Emitter, Ignored, Takes, check
from autotiny.engine.kernel import Kernel, Operand, Scratch, Site, scratch
from autotiny.engine.ops.binary import BINARY
from autotiny.engine.ops.layers import LAYERS
from autotiny.engine.ops.unary import UNARY
from autotiny.engine.variants import pairs
from autotiny.graph import DType, Graph, fold
from autotiny.graph.gru import (
    CANDIDATE,
    GRU,
    RECURRENT,
    ROLES,
    WEIGHTS,
    X,
    single_step,
)
from autotiny.schedule import Step, Weights

_EMITTERS: Final[Mapping[tuple[str, str], Emitter]] = {**LAYERS, **BINARY, **UNARY}


def gru(site: Site) -> Kernel:
    """GRU in any arithmetic that its ops have."""
    graph = fold(single_step(site.graph, site.op))
    kernels = [_kernel(Site(graph, step)) for step in _steps(graph, site.step)]
    # The state before is written when a step ends, so its memory is nobody else's.
    kept = (*graph.outputs, graph.inputs[1])
    memory = lay_out(replace(graph, outputs=kept), kernels)
    operands: list[Operand] = [
        site.reads("rows"), site.writes("results"), scratch("memory", memory.bytes),
    ]  # fmt: skip
    blocks = []
    for number, kernel in enumerate(kernels):
        if kernel.body:
            lines, tables = _block(kernel, number, memory)
            blocks += lines
            operands += tables
    headers = dict.fromkeys(header for kernel in kernels for header in kernel.headers)
    body = "\n".join(_loop(site, graph, memory, blocks))
    return Kernel(tuple(headers), body, tuple(operands))


def _steps(graph: Graph, step: Step) -> list[Step]:
    return [
        Step((index,), weights=Weights(memory=step.weights.memory))
        for index in range(len(graph.ops))
    ]


def _kernel(site: Site) -> Kernel:
    """The kernel of one op of a step."""
    op, tensors = site.op, site.graph.tensors
    if all(tensors[index].data is not None for index in op.outputs):
        return Kernel()  # folded away
    if op.kind == "SPLIT":  # its parts lie one behind the other
        whole, part = op.inputs[1], tensors[op.outputs[0]].bytes
        places = {index: (whole, i * part) for i, index in enumerate(op.outputs)}
        return Kernel(aliases=places)
    emitter = _EMITTERS[op.kind, site.arithmetic]
    check(site, emitter.declared)
    faster = pairs.chosen(site) if site.arithmetic == "int8" else None
    return emitter.emit(site.by(faster) if faster else site)


def _block(kernel: Kernel, number: int, memory: Arena) -> tuple[list[str], list[Operand]]:
    """A kernel's statements on memory of the layer's own, and the tables that they read."""
    lines, tables = ["  {"], []
    for operand in kernel.operands:
        if isinstance(operand.what, (int, Scratch)):
            start = f"({operand.c_type} *)(memory + {memory.offset(number, operand)})"
        else:
            start = f"{operand.name}_{number}"
            tables.append(replace(operand, name=start))
        lines.append(f"    {operand.c_type} *{operand.name} = {start};")
    return [*lines, *(f"    {line}" for line in kernel.body.splitlines()), "  }"], tables


def _loop(site: Site, graph: Graph, memory: Arena, blocks: Sequence[str]) -> list[str]:
    """The statements around those of a step."""
    (x, before), (after,) = graph.inputs, graph.outputs
    steps = site.input(X).size // graph.tensors[x].size
    row, state = graph.tensors[x].bytes, graph.tensors[before].bytes
    now, old, new = (f"memory + {memory.offset_of(index)}" for index in (x, before, after))
    step = f"{steps - 1} - step" if site.option("backwards", False) else "step"
    quantization = site.output.quantization
    zero = quantization.zero_point if quantization is not None else 0
    lines = [
        f"at_fill({old}, {zero}, {state}u);",
        f"for (int32_t step = 0; step < {steps}; step++) {{",
        f"  at_copy({now}, rows + ({step}) * {graph.tensors[x].size}, {row}u);",
        *blocks,
        f"  at_copy({old}, {new}, {state}u);",
    ]
    if len(site.output.shape) == 3:
        step = f"{steps - 1} - step" if site.option("results_backwards", False) else "step"
        units = graph.tensors[before].size
        return [*lines, f"  at_copy(results + ({step}) * {units}, {new}, {state}u);", "}"]
    return [*lines, "}", f"at_copy(results, {old}, {state}u);"]


_Types = tuple[DType, tuple[DType, ...], tuple[DType, ...]]
_REAL: Final[_Types] = ("float32", ("float32", "float16", "int8"), ("float32",))
_TYPES: Final[Mapping[str, _Types]] = {
    "int8": ("int8", ("int8",), ("int32",)),
    "int16": ("int16", ("int8",), ("int32", "int64")),
    **dict.fromkeys(
        ("float32", "float16", "hybrid"), ("float32", ("float32", "float16", "int8"), ("float32",))
    ),
}
"""Arithmetic → types of input and result, of weights, and of biases."""


def declared(arithmetic: str) -> Declared:
    """What a GRU must be in an arithmetic."""
    data, weights, biases = _TYPES[arithmetic]
    matrix = Takes("weights", weights, (2, 2), constant=True, scales="channel", symmetric=True)
    bias = Takes("bias", biases, constant=True, optional=True)
    return Declared(
        inputs=(
            Takes("input", (data,), (3, 3), scales="one"),
            matrix,
            bias,
            replace(matrix, name="recurrent weights"),
            replace(bias, name="recurrent bias"),
            replace(matrix, name="candidate's weights", optional=True),
            replace(bias, name="candidate's bias"),
        ),
        outputs=(Takes("result", (data,), (2, 3), scales="one"),),
        shapes=_fits,
        options={
            "time_major": FLAG,
            "reset_after": FLAG,
            "backwards": FLAG,
            "results_backwards": FLAG,
            "asymmetric_quantize_inputs": FLAG,
            "intermediates": Ignored(tuple),
        },
    )


def _fits(site: Site) -> None:
    """Three gates of one size, over the steps of one sequence."""
    x, y = site.input(X).shape, site.output.shape
    batch = x[1] if site.option("time_major", False) else x[0]
    depth, units = x[2], y[-1]
    if batch != 1 or y not in ((1, units), (*x[:2], units)):
        site.refuse(f"{x} does not become {y}")
    after = site.option("reset_after", True)
    wanted = {
        WEIGHTS: (3 * units, depth),
        RECURRENT: ((3 if after else 2) * units, units),
        **({} if after else {CANDIDATE: (units, units)}),
    }
    if site.has_input(CANDIDATE) == after:
        site.refuse(f"weights of the candidate's own do not go with reset_after = {after}")
    for place, shape in wanted.items():
        if site.input(place).shape != shape:
            site.refuse(f"its weights are {site.input(place).shape}; {shape} fit {units} units")
        if site.has_input(place + 1) and site.input(place + 1).size != shape[0]:
            site.refuse(f"it has {site.input(place + 1).size} biases for {shape[0]} sums")
    inner = site.op.intermediates
    if len(inner) != (0 if site.output.dtype == "float32" else len(ROLES)):
        site.refuse(f"it states {len(inner)} scales of what it computes in between")
    for index in inner:
        if not 0 <= index < len(site.graph.tensors):
            site.refuse(f"the scale {index} of what it computes in between does not exist")
        one = site.graph.tensors[index]
        if one.dtype != site.output.dtype or one.quantization is None:
            site.refuse(f"what it computes in between is {one.dtype}, or has no quantization")


GRUS: Final[Mapping[tuple[str, str], Emitter]] = {
    (GRU, arithmetic): Emitter(gru, declared(arithmetic)) for arithmetic in _TYPES
}
"""(kind, arithmetic) → emitter."""
