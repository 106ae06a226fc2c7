"""The part of tf_keras that autotiny uses, as types: tf_keras itself has none.

What comes out of `keras()` is `Any`; it becomes one of these where a function or a field says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from autotiny.graph import Array
from autotiny.mapped import Samples

Sizes = tuple[int, ...]
"""A shape, the batch first. A free batch is None; autotiny reads the sizes behind it, all fixed."""

Config = dict[str, Any]
"""What Keras writes of a model or a layer, as it is in JSON."""


class KerasType(Protocol):
    """A type of TensorFlow."""

    @property
    def name(self) -> str:
        """E.g. "float32"."""


class KerasHistory(Protocol):
    """Where a symbolic tensor comes from."""

    layer: KerasLayer
    node_index: int
    tensor_index: int


class KerasTensor(Protocol):
    """A symbolic tensor: what stands between two layers."""

    shape: Sizes
    dtype: KerasType
    _keras_history: KerasHistory


class KerasVariable(Protocol):
    """A weight of a layer."""

    name: str
    shape: Sizes
    _constraint: Callable[[KerasTensor], KerasTensor] | None

    def numpy(self) -> Array:
        """Its value."""

    def assign(self, value: Array) -> object:
        """Gives it another value."""


class KerasNode(Protocol):
    """One call of a layer."""

    layer: KerasLayer
    is_input: bool
    keras_inputs: Sequence[KerasTensor]
    outputs: object
    call_args: Sequence[object]
    call_kwargs: Mapping[str, object]

    def map_arguments(
        self, values: Mapping[str, list[KerasTensor]]
    ) -> tuple[Sequence[object], Mapping[str, object]]:
        """The arguments of the call, with other tensors in the place of those it was made with."""


class KerasLayer(Protocol):
    """What every layer has."""

    name: str
    _name: str
    weights: Sequence[KerasVariable]
    input_shape: Sizes
    output_shape: Sizes
    output: KerasTensor
    _inbound_nodes: Sequence[KerasNode]

    def __call__(self, *inputs: object, **options: object) -> KerasTensor:
        """Its result."""

    def get_config(self) -> Config:
        """Its arguments."""

    @classmethod
    def from_config(cls, config: Config) -> KerasLayer:
        """A layer of such arguments."""

    def get_weights(self) -> list[Array]:
        """Values of its weights."""

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Gives its weights other values."""

    def build(self, shape: Sizes) -> None:
        """Makes its weights for an input of a shape."""

    def get_input_shape_at(self, call: int) -> Sizes:
        """What it reads at one of its calls."""

    def compute_output_shape(self, shape: Sizes) -> Sizes:
        """What it gives for an input of a shape."""


class Activation(Protocol):
    """A function of Keras on single values, or softmax."""

    __name__: str


class KernelLayer(KerasLayer, Protocol):
    """A convolution or a dense layer.

    Dense layers have `units`; convolutions have `filters` and all that stands behind it here.
    """

    kernel: KerasVariable
    bias: KerasVariable
    use_bias: bool
    activation: Activation
    units: int
    filters: int
    groups: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    padding: str


class NormalizingLayer(KerasLayer, Protocol):
    """A batch normalization."""

    momentum: float


class KerasModel(KerasLayer, Protocol):
    """A model: sequential, functional or subclassed. It can stand in another one as a layer."""

    layers: Sequence[KerasLayer]
    inputs: Sequence[KerasTensor]
    outputs: Sequence[KerasTensor]
    input_names: Sequence[str]
    output_names: Sequence[str]
    built: bool
    optimizer: object
    stop_training: bool
    _nodes_by_depth: Mapping[int, Sequence[KerasNode]]
    _is_graph_network: bool
    _build_input_shape: Sizes | None

    def get_layer(self, name: str) -> KerasLayer:
        """The layer of a name."""

    def count_params(self) -> int:
        """How many weights there are."""

    def compile(self, *, optimizer: object, loss: object, metrics: Sequence[object]) -> None:
        """States how it is trained."""

    def fit(self, x: Samples | Sequence[Array], y: Samples, **options: object) -> object:
        """Trains it."""

    def save(self, path: Path, **options: object) -> None:
        """Writes it to a file or a folder."""

    def save_weights(self, path: Path) -> None:
        """Writes its weights alone to a file."""
