"""One step of a program as C: what an emitter sees (`Site`) and what it returns (`Kernel`).

An emitter never knows addresses. It names its operands; the planner gives them offsets; `generate`
writes one function of pointers per distinct body, so layers of equal shape share their code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

import numpy as np

from autotiny.errors import UnsupportedOp
from autotiny.graph import Array, DType, Graph, Op, Option, Tensor
from autotiny.schedule import Step, Way, WeightsMemory

C_TYPE: dict[str, str] = {
    "float32": "float",
    "float16": "uint16_t",
    "int4": "int8_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
}

Default = TypeVar("Default", bound=Option)
Wanted = TypeVar("Wanted", bound=Way)


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array that a kernel reads; its dtype decides the C type."""

    values: Array
    memory: WeightsMemory = "flash"


@dataclass(frozen=True)
class Scratch:
    """Working memory of one step, in bytes; undefined when the step begins.

    Attributes:
        bytes: how much.
        alignment: of its offset.
    """

    bytes: int
    alignment: int = 4


@dataclass(frozen=True)
class Kept:
    """Memory of one step that keeps what an inference leaves there; zeros at the start."""

    bytes: int


@dataclass(frozen=True, eq=False)
class Operand:
    """A pointer parameter of a kernel's function.

    Attributes:
        name: as the body calls it.
        what: a tensor's index, a constant table, scratch memory, or memory that is kept.
        c_type: what it points to, with `const` where it is only read.
    """

    name: str
    what: int | Table | Scratch | Kept
    c_type: str


@dataclass(frozen=True)
class Overlap:
    """How a buffer that a step writes may lie over an input that dies with the step.

    The written buffer may start at most `until` bytes after the input does (negative: at least so
    many bytes before it), as when it is written from its first byte on and the input is read in
    the same order; or at least `since` bytes after it, as when it is written from its last byte on.
    Where neither holds the two are kept apart; None forbids that side. `same` allows the very same
    address too, as when each output element replaces the input element it is computed from.
    """

    until: int | None = 0
    since: int | None = None
    same: bool = False


@dataclass(frozen=True, eq=False)
class Kernel:
    """A step as C.

    Attributes:
        headers: the files of C that `body` needs ("port.h" comes by itself); see `headers`.
        body: statements that use the operands' names; all else is a constant. A function that
            steps can share, an AT_KERNEL of port.h, is called with an @ before its name.
        operands: the function's parameters.
        overlaps: (operand read, operand written) → how the second may lie over the first.
        aliases: output tensor → (input tensor, byte offset): they are the same memory. The step
            does nothing, and `body` is empty, unless it writes that memory itself.
        reads_past: so many bytes behind an input may be read, whatever they hold.
    """

    headers: tuple[str, ...] = ()
    body: str = ""
    operands: tuple[Operand, ...] = ()
    overlaps: Mapping[tuple[str, str], Overlap] = field(default_factory=dict)
    aliases: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    reads_past: int = 0


@dataclass(frozen=True, eq=False)
class Site:
    """A step at its place in the graph."""

    graph: Graph
    step: Step

    @property
    def op(self) -> Op:
        """The op that computes; the others of the step work on its results.

        A PAD that is fused works on its input instead: then the op reads what the PAD reads, and
        its option `padding` is "EXPLICIT", with `pad_top`, `pad_bottom`, `pad_left`, `pad_right`.
        """
        op = self.graph.ops[self.step.ops[0]]
        for index in self.step.ops[1:]:
            if self.graph.ops[index].kind == "PAD":
                return _padded(op, self.graph, self.graph.ops[index])
        return op

    @property
    def fused(self) -> tuple[Op, ...]:
        """The ops that work on the results of `op`, in order."""
        ops = (self.graph.ops[index] for index in self.step.ops[1:])
        return tuple(op for op in ops if op.kind != "PAD")

    @property
    def addend(self) -> int | None:
        """What a fused ADD adds to the results of a convolution, a tensor; None without one."""
        for op in self.fused if self.op.kind == "CONV_2D" else ():
            if op.kind == "ADD":
                return op.inputs[1 - op.inputs.index(self.op.outputs[0])]
        return None

    @property
    def output_index(self) -> int:
        """The tensor that the step leaves behind."""
        return (self.op, *self.fused)[-1].outputs[0]

    @property
    def output(self) -> Tensor:
        """The tensor that the step leaves behind."""
        return self.graph.tensors[self.output_index]

    def has_input(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.op.inputs) and self.op.inputs[position] >= 0

    def input(self, position: int = 0) -> Tensor:
        """The tensor at one input of `op`."""
        return self.graph.tensors[self.op.inputs[position]]

    def constant(self, position: int) -> Array:
        """The values of an input that must be constant."""
        data = self.input(position).data
        return self.refuse(f"input {position} is not constant") if data is None else data

    def option(self, name: str, default: Default) -> Default:
        """An option of `op`, of the type of its default."""
        return self.op.option(name, default)

    def way(self, kind: type[Wanted]) -> Wanted:
        """The step's kernel, as what its variant knows it to be."""
        assert isinstance(self.step.kernel, kind)
        return self.step.kernel

    def by(self, kernel: Way) -> Site:
        """The same step, computed another way."""
        return replace(self, step=replace(self.step, kernel=kernel))

    @property
    def arithmetic(self) -> str:
        """The key under which an emitter for this op is registered, beside its kind.

        The dtype of the first input, except "hybrid" (float32 input, int8 weights) and "float16"
        (float32 input, weights stored as float16).
        """
        dtype = self.input(0).dtype
        if dtype == "float32" and self.has_input(1):
            weights = self.input(1)
            if weights.data is not None and weights.dtype == "int8":
                return "hybrid"
            if weights.data is not None and weights.dtype == "float16":
                return "float16"
        return dtype

    @property
    def place(self) -> str:
        """The op and where it stands, for messages."""
        name = self.graph.tensors[self.op.outputs[0]].name
        return f"op {self.step.ops[0]} {self.op.kind} ({name!r})"

    def refuse(self, why: str) -> NoReturn:
        """Raise `UnsupportedOp` for this op."""
        raise UnsupportedOp(f"{self.place}: {why}")

    def reads(self, name: str, position: int = 0) -> Operand:
        """A pointer to an input of `op`; a constant input becomes a table."""
        return self.reads_tensor(name, self.op.inputs[position])

    def reads_tensor(self, name: str, index: int) -> Operand:
        """A pointer to any tensor that the step reads."""
        tensor = self.graph.tensors[index]
        if tensor.data is not None:
            return table(name, tensor.data, self.step.weights.memory)
        return Operand(name, index, f"const {c_type(tensor.dtype)}")

    def writes(self, name: str = "y", position: int | None = None) -> Operand:
        """A pointer to the step's output, or to one of several outputs of `op`."""
        index = self.output_index if position is None else self.op.outputs[position]
        return Operand(name, index, c_type(self.graph.tensors[index].dtype))


def _padded(op: Op, graph: Graph, pad: Op) -> Op:
    """The op on the input of a PAD before it."""
    paddings = graph.tensors[pad.inputs[1]].data
    assert paddings is not None
    sides = dict(
        zip(
            ("pad_top", "pad_bottom", "pad_left", "pad_right"),
            map(int, paddings.reshape(-1)[2:6]),
            strict=True,
        )
    )
    inputs = (pad.inputs[0], *op.inputs[1:])
    return replace(op, inputs=inputs, options={**op.options, "padding": "EXPLICIT", **sides})


Emit = Callable[[Site], Kernel]


def c_type(dtype: DType | str) -> str:
    """The C element type of a stored dtype."""
    return C_TYPE[dtype]


def table(name: str, values: Array, memory: WeightsMemory = "flash") -> Operand:
    """A pointer to constants; word-aligned, row-major."""
    array = np.ascontiguousarray(values)
    return Operand(name, Table(array, memory), f"const {c_type(str(array.dtype))}")


def scratch(name: str, bytes_: int, c_type: str = "uint8_t", alignment: int = 4) -> Operand:
    """A pointer to `bytes_` of working memory."""
    return Operand(name, Scratch(bytes_, alignment), c_type)


def kept(name: str, bytes_: int) -> Operand:
    """A pointer to `bytes_` of memory that outlives the inference."""
    return Operand(name, Kept(bytes_), "int8_t")


def initializer(**fields: int | str) -> str:
    """A C99 designated initializer, for the parameter structs of the kernels."""
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"
