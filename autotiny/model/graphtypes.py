"""The part of TensorFlow's graphs that autotiny uses, as types: TensorFlow itself has none.

First what a graph is in a file (the messages of graph.proto and function.proto), then what it is in
a process (operations and their tensors).
"""

from __future__ import annotations

from collections.abc import (
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from typing import Any, Protocol, TypeVar

Entry = TypeVar("Entry")


class Message(Protocol):
    """A message of a protocol buffer."""

    def CopyFrom(self, other: Any) -> None:  # noqa: N802 - as protobuf calls it
        """Takes the content of another message of the same kind."""

    def ParseFromString(self, data: bytes) -> object:  # noqa: N802
        """Takes the content that bytes hold."""

    def SerializeToString(self, *, deterministic: bool = False) -> bytes:  # noqa: N802
        """The message as bytes."""


class Entries(Protocol[Entry]):
    """A list of messages inside a message; what is put in is copied."""

    def __iter__(self) -> Iterator[Entry]:
        """Its messages."""

    def __len__(self) -> int:
        """How many there are."""

    def __delitem__(self, place: slice) -> None:
        """Takes messages out."""

    def add(self, **facts: object) -> Entry:
        """A new message at the end."""

    def extend(self, entries: Iterable[Entry]) -> None:
        """Puts copies of messages at the end."""

    def remove(self, entry: Entry) -> None:
        """Takes a message out."""


class FunctionName(Message, Protocol):
    """A function that an attribute names."""

    name: str


class ListValue(Message, Protocol):
    """An attribute of several values."""

    func: Sequence[FunctionName]
    type: MutableSequence[int]
    shape: Entries[Message]


class AttrValue(Message, Protocol):
    """An attribute of a node; of its fields the one of its type is set."""

    func: FunctionName
    list: ListValue
    tensor: Message
    i: int


class NodeDef(Message, Protocol):
    """An op of a graph in a file."""

    name: str
    op: str
    input: MutableSequence[str]
    attr: Mapping[str, AttrValue]

    def __init__(self, *, name: str, op: str, input: Sequence[str]) -> None: ...  # noqa: A002


class ArgDef(Message, Protocol):
    """An argument or a result of an op or a function."""

    name: str
    type_list_attr: str
    number_attr: str


class OpDef(Message, Protocol):
    """What an op or a function takes and gives."""

    name: str
    is_stateful: bool
    input_arg: Entries[ArgDef]
    output_arg: Entries[ArgDef]


class FunctionDef(Message, Protocol):
    """A branch of a conditional, or a loop's condition or body."""

    signature: OpDef
    node_def: Entries[NodeDef]
    ret: MutableMapping[str, str]
    control_ret: Mapping[str, str]


class FunctionLibrary(Message, Protocol):
    """The functions that the nodes of a graph name."""

    function: Entries[FunctionDef]


class GraphDef(Message, Protocol):
    """A graph in a file."""

    node: Entries[NodeDef]
    library: FunctionLibrary


class TensorType(Protocol):
    """A type of TensorFlow."""

    name: str
    as_datatype_enum: int


class TensorShape(Protocol):
    """A shape, whose sizes may be unknown."""

    rank: int | None

    def __iter__(self) -> Iterator[int]:
        """Its sizes."""

    def __getitem__(self, place: slice) -> Sequence[int | None]:
        """Some of its sizes."""

    def is_fully_defined(self) -> bool:
        """Whether all sizes are known."""

    def as_proto(self) -> Message:
        """The shape in a file."""


class GraphTensor(Protocol):
    """A result of an operation."""

    name: str
    op: Operation
    value_index: int
    dtype: TensorType
    shape: TensorShape

    def consumers(self) -> list[Operation]:
        """The operations that read it."""


class Operation(Protocol):
    """An op of a graph in a process."""

    name: str
    type: str
    inputs: Sequence[GraphTensor]
    outputs: Sequence[GraphTensor]
    control_inputs: Sequence[Operation]
    op_def: OpDef
    node_def: NodeDef

    def get_attr(self, name: str) -> Any:
        """One of its attributes."""


class FunctionGraph(Protocol):
    """A function as a graph in a process."""

    inputs: Sequence[GraphTensor]
    outputs: Sequence[GraphTensor]

    def get_operations(self) -> list[Operation]:
        """Its operations, each after those it reads."""


class ConcreteFunction(Protocol):
    """A function that can be executed, of inputs of given shapes."""

    inputs: Sequence[GraphTensor]
    outputs: Sequence[GraphTensor]
    structured_input_signature: tuple[object, Mapping[str, GraphTensor]]

    def __call__(self, *inputs: object, **named: object) -> Any:
        """Its results, a list or by name."""
