"""Networks of ops of one element on int8, for tests of tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from build import tensor
from cases import Rng, pick, scale, whole

from autotiny.engine.ops.tables import FUNCTIONS
from autotiny.graph import Array, Graph, Op, Tensor

BYTES: Array = np.r_[0:128, -128:0].astype(np.int8)
"""In the order of a table."""

LITERT_ALONE = ("EXP", "RELU_N1_TO_1")
"""Kinds that TensorFlow Lite Micro has not on int8."""


class Tree:
    """Ops on int8 under construction; tensor 0 is the input."""

    def __init__(self, *shape: int, scale: float = 0.05, zero: int = 3) -> None:
        self.shape = shape or (1, 256)
        self.tensors: list[Tensor] = [tensor(self.shape, "int8", scale, zero, name="x")]
        self.ops: list[Op] = []

    def add(
        self, kind: str, *inputs: int, scale: float = 0.06, zero: int = -7, **options: Any
    ) -> int:
        """An op; the tensor that it makes."""
        name = f"{kind}{len(self.ops)}"
        self.tensors.append(tensor(self.shape, "int8", scale, zero, name=name))
        self.ops.append(Op(kind, inputs, (len(self.tensors) - 1,), options))
        return len(self.tensors) - 1

    def number(self, value: int, scale: float = 0.03, zero: int = -5, size: int = 1) -> int:
        """A constant."""
        made = tensor((size,), "int8", scale, zero, data=np.full(size, value))
        self.tensors.append(made)
        return len(self.tensors) - 1

    def silu(self, x: int = 0) -> int:
        return self.add("MUL", x, self.add("LOGISTIC", x, scale=1 / 256, zero=-128))

    def graph(self, *outputs: int) -> Graph:
        """The last result, or others, as the outputs of a network."""
        results = outputs or (len(self.tensors) - 1,)
        return Graph(tuple(self.tensors), tuple(self.ops), (0,), results)


def drawn(rng: Rng, kind: str, tree: Tree, x: int) -> int:
    """One more op on a tensor, with a number where it takes two, and a drawn quantization."""
    q = tree.tensors[x].quantization
    assert q is not None
    same: dict[str, Any] = {"scale": q.scale, "zero": q.zero_point}
    free: dict[str, Any] = {"scale": scale(rng), "zero": whole(rng, -128, 127)}
    near = {**free, "scale": q.scale * rng.uniform(0.5, 2)}
    if kind == "LOGISTIC":
        return tree.add(kind, x, scale=1 / 256, zero=-128)
    if kind == "TANH":
        return tree.add(kind, x, scale=1 / 128, zero=0)
    if kind == "LEAKY_RELU":
        return tree.add(kind, x, **near, alpha=float(np.float32(pick(rng, 0.1, 0.5, -0.25))))
    if kind in ("RELU6", "RELU_N1_TO_1"):
        return tree.add(kind, x, **same)  # the references agree where nothing is rescaled
    if kind in ("MAXIMUM", "MINIMUM"):
        return tree.add(kind, x, tree.number(whole(rng, -128, 127), **same), **same)
    if kind in ("ADD", "SUB", "MUL", "PRELU"):
        number = tree.number(whole(rng, -128, 127), scale(rng), whole(rng, -128, 127))
        options = {}
        if kind != "PRELU":
            options["fused_activation_function"] = pick(rng, "NONE", "RELU", "RELU6")
        sides = (x, number) if kind == "PRELU" or rng.integers(2) else (number, x)
        return tree.add(kind, *sides, **free, **options)
    return tree.add(kind, x, **(near if kind in ("RELU", "HARD_SWISH") else free))


def drawn_tree(rng: Rng) -> Graph:
    """Some ops that are a function of one tensor, of kinds that TensorFlow Lite Micro has."""
    kinds = [kind for kind in FUNCTIONS if kind not in LITERT_ALONE]
    tree = Tree(scale=scale(rng, 0.006), zero=whole(rng, -128, 127))
    values = [0]
    for _ in range(whole(rng, 2, 7)):
        if len(values) > 1 and rng.integers(3) == 0:
            pair = [pick(rng, *values), pick(rng, *values)]
            values.append(tree.add(pick(rng, "ADD", "SUB", "MUL"), *pair, scale=scale(rng)))
        else:
            values.append(drawn(rng, pick(rng, *kinds), tree, pick(rng, *values)))
    read = {tensor for op in tree.ops for tensor in op.inputs}
    left = [value for value in values if value not in read]
    while len(left) > 1:
        left.append(tree.add("ADD", left.pop(), left.pop(), scale=scale(rng)))
    return tree.graph()
