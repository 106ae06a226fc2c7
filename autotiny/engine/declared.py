"""What an op must be like before its kernel is written, as data: operands, options, shapes.

A file may say anything, and the kernels believe it. So each entry of `ops.EMITTERS` declares the
tensors that it takes and gives, the values of its options, and how its shapes fit together; `check`
holds an op against that and refuses it by name. An emitter may rely on all that it declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from autotiny.engine.kernel import Emit, Site
from autotiny.errors import UnsupportedOp
from autotiny.graph import ITEM_BYTES, DType, Graph, Option, Tensor

MOST_DIMENSIONS: Final = 8
MOST_BYTES: Final = (1 << 31) - 1  # offsets into the arena are int32

STORED: Final[tuple[DType, ...]] = ("int8", "uint8", "int16", "int32")


@dataclass(frozen=True)
class Takes:
    """What an op takes, or gives, as one of its tensors.

    Attributes:
        name: what messages call it.
        dtypes: the types it may have; without any it must be absent.
        ranks: the fewest and the most dimensions.
        constant: whether its values must be known.
        optional: whether it may be absent.
        empty: whether it may have no elements.
        scales: what an integer tensor must have: one scale, one for all or one a "channel", those
            of the "same" tensor `Declared.like`; "any" does not look at them.
        symmetric: whether its zero-points must be 0.
        many: whether any number of such tensors may follow it; it is the last one then.
    """

    name: str
    dtypes: tuple[DType, ...]
    ranks: tuple[int, int] = (0, MOST_DIMENSIONS)
    constant: bool = False
    optional: bool = False
    empty: bool = False
    scales: Literal["any", "one", "channel", "same"] = "any"
    symmetric: bool = False
    many: bool = False


@dataclass(frozen=True)
class OneOf:
    """An option that has one of these values."""

    values: tuple[Option, ...]

    def takes(self, value: Option) -> bool:
        """Whether the option may have a value."""
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))


@dataclass(frozen=True)
class Whole:
    """An option that is an integer between two others."""

    low: int = -(1 << 31)
    high: int = (1 << 31) - 1

    def takes(self, value: Option) -> bool:
        """Whether the option may have a value."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"an integer from {self.low} to {self.high}"


@dataclass(frozen=True)
class Real:
    """An option that is a finite number, at least `low`."""

    low: float = -math.inf

    def takes(self, value: Option) -> bool:
        """Whether the option may have a value."""
        number = type(value) in (int, float)
        return number and math.isfinite(float(value)) and float(value) >= self.low  # type: ignore[arg-type]

    def __str__(self) -> str:
        return "a finite number" + ("" if self.low == -math.inf else f" of at least {self.low:g}")


@dataclass(frozen=True)
class Ignored:
    """An option of a type that nothing is computed from; the shapes say what it says."""

    type: type

    def takes(self, value: Option) -> bool:
        """Whether the option may have a value."""
        return isinstance(value, self.type)

    def __str__(self) -> str:
        return f"of type {self.type.__name__}"


Values = OneOf | Whole | Real | Ignored

FLAG: Final = OneOf((False, True))
SIZE: Final = Whole(1)
TYPE: Final = Ignored(str)
ACTIVATION: Final[Mapping[str, Values]] = {
    "fused_activation_function": OneOf(("NONE", "RELU", "RELU6", "RELU_N1_TO_1"))
}
NO_ACTIVATION: Final[Mapping[str, Values]] = {"fused_activation_function": OneOf(("NONE",))}
STRIDES: Final[Mapping[str, Values]] = {
    "stride_h": SIZE,
    "stride_w": SIZE,
    "padding": OneOf(("SAME", "VALID")),
}


@dataclass(frozen=True)
class Declared:
    """What an op must be like, in one arithmetic.

    Attributes:
        inputs: what it takes, in order.
        outputs: what it gives.
        options: by name; those that an op lacks have the defaults of the schema.
        shapes: refuses shapes that do not fit together; all else was checked before.
        like: position of the input whose scale is meant by `Takes.scales` "same".
    """

    inputs: tuple[Takes, ...]
    outputs: tuple[Takes, ...]
    shapes: Callable[[Site], None]
    options: Mapping[str, Values] = field(default_factory=dict)
    like: int = 0


@dataclass(frozen=True)
class Emitter:
    """How the engine computes an op in one arithmetic.

    Attributes:
        emit: writes the kernel of a step.
        declared: what the op must be like for that.
    """

    emit: Emit
    declared: Declared


def alike(
    declared: Callable[[DType], Declared], emits: Mapping[tuple[str, DType], Emit]
) -> Mapping[tuple[str, str], Emitter]:
    """Emitters of ops that differ in nothing but the type of what they compute with."""
    return {(kind, dtype): Emitter(emit, declared(dtype)) for (kind, dtype), emit in emits.items()}


def check(site: Site, declared: Declared) -> None:
    """Refuse an op that is not what was declared of it."""
    op, graph = site.op, site.graph
    _check_options(site, declared)
    inputs = _placed(site, op.inputs, declared.inputs, "inputs")
    outputs = _placed(site, op.outputs, declared.outputs, "results")
    like = graph.tensors[op.inputs[declared.like]]
    for index, takes in (*inputs, *outputs):
        _check_tensor(site, graph.tensors[index], takes, like)
    declared.shapes(site)


def check_sizes(graph: Graph) -> None:
    """Refuse a graph with a tensor whose size is no size of an array on a microcontroller."""
    for tensor in graph.tensors:
        bytes_ = math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]
        if min(tensor.shape, default=0) < 0 or bytes_ > MOST_BYTES:
            raise UnsupportedOp(
                f"the tensor {tensor.name!r} of {graph.name} has the shape {tensor.shape}; "
                f"dimensions must not be negative, and its bytes at most {MOST_BYTES}"
            )


def _placed(
    site: Site, indices: Sequence[int], takes: Sequence[Takes], what: str
) -> list[tuple[int, Takes]]:
    """The tensors that are there, each with what is declared of it."""
    row = list(takes)
    if row and row[-1].many:
        row += [row[-1]] * (len(indices) - len(row))
    if len(indices) > len(row):
        site.refuse(f"it has {len(indices)} {what}; {len(row)} are computed")
    found = []
    for position, one in enumerate(row):
        index = indices[position] if position < len(indices) else -1
        there = 0 <= index < len(site.graph.tensors)
        if there and not one.dtypes:
            site.refuse(f"an op with {one.name} is not computed")
        if not there and one.dtypes and not one.optional:
            site.refuse(f"it has no {one.name}")
        if there:
            found.append((index, one))
    return found


def _check_options(site: Site, declared: Declared) -> None:
    for name, value in site.op.options.items():
        values = declared.options.get(name)
        if values is None:
            site.refuse(f"its option {name} = {value!r} is unknown")
        if not values.takes(value):
            site.refuse(f"its option {name} is {value!r}; it must be {values}")


def _check_tensor(site: Site, tensor: Tensor, takes: Takes, like: Tensor) -> None:
    name, shape = takes.name, tensor.shape
    if tensor.dtype not in takes.dtypes:
        site.refuse(
            f"the type of its {name} is {tensor.dtype}; {' or '.join(takes.dtypes)} is computed"
        )
    low, high = takes.ranks
    if not low <= len(shape) <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        site.refuse(f"the shape of its {name} is {shape}; {wanted} dimensions are computed")
    if 0 in shape and not takes.empty:
        site.refuse(f"the shape of its {name} is {shape}: it is empty")
    if tensor.data is None and takes.constant:
        site.refuse(f"its {name} must be constant")
    if tensor.data is not None and tensor.data.shape != shape:
        site.refuse(f"the shape of its {name} is {shape}, but of its values {tensor.data.shape}")
    _check_scales(site, tensor, takes, like)


def _check_scales(site: Site, tensor: Tensor, takes: Takes, like: Tensor) -> None:
    found = tensor.quantization
    if takes.scales == "same":
        if found != like.quantization:
            site.refuse(f"the scale of its {takes.name} is not that of its input")
        return
    if takes.scales == "any" or tensor.dtype not in STORED:
        return
    if found is None:
        site.refuse(f"the tensor {tensor.name!r} of its {takes.name} has no quantization")
    if takes.scales == "one" and len(found.scales) != 1:
        site.refuse(f"its {takes.name} must have one scale; there are {len(found.scales)}")
    if takes.symmetric and any(found.zero_points):
        site.refuse(f"the zero-point of its {takes.name} is not 0")
