"""A graph whose layers are cut into stripes of full rows, under construction; see `stripes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.engine.layers.window import window_of
from autotiny.graph import Array, DType, Graph, Op, Option, Tensor, compact
from autotiny.schedule import Schedule, Step

_PLAIN = Step(())

Rows = tuple[int, int]
"""The first row of a tensor (1, height, width, channels), and the one behind the last."""

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
POOLINGS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")


@dataclass(frozen=True)
class Window:
    """The window of a convolution or pooling, in rows and columns.

    Attributes:
        taps: rows and columns that it reaches over, dilation included.
        strides: from one place to the next.
        before: padding above the first row and before the first column.
    """

    taps: tuple[int, int]
    strides: tuple[int, int]
    before: tuple[int, int]

    @staticmethod
    def of(graph: Graph, op: Op) -> Window:
        """The window of an op."""
        if op.kind in POOLINGS:
            k_h, k_w = op.integer("filter_height"), op.integer("filter_width")
        else:
            k_h, k_w = graph.tensors[op.inputs[1]].shape[1:3]
        at = window_of(graph, op, k_h, k_w)
        return Window(
            ((k_h - 1) * at["step_h"] + 1, (k_w - 1) * at["step_w"] + 1),
            (at["stride_h"], at["stride_w"]),
            (at["pad_top"], at["pad_left"]),
        )

    def sides(self, x: Sequence[int], y: Sequence[int]) -> tuple[int, int, int, int]:
        """The padding above, below, left and right of the whole input (1, height, width, …)."""
        top, left = self.before
        below, right = (
            max((y[side] - 1) * self.strides[i] + self.taps[i] - self.before[i] - x[side], 0)
            for i, side in enumerate((1, 2))
        )
        return top, below, left, right

    def rows(self, rows: Rows, height: int) -> tuple[Rows, int, int]:
        """(the rows read for these rows of the output, padding above, padding below)."""
        first = rows[0] * self.strides[0] - self.before[0]
        end = (rows[1] - 1) * self.strides[0] - self.before[0] + self.taps[0]
        return (max(first, 0), min(end, height)), max(-first, 0), max(end - height, 0)


def cut(height: int, parts: int) -> list[Rows]:
    """Rows in equal parts, the last one maybe smaller: equal stripes share their code."""
    rows = -(-height // parts)
    return [(first, min(first + rows, height)) for first in range(0, height, rows)]


class Rewrite:
    """A graph under construction: the ops of stripes, their tensors and their steps."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors = list(graph.tensors)
        self.ops = list(graph.ops)
        self.steps: list[Step] = []
        self._slices: dict[tuple[int, Rows], int] = {}

    def keep(self, step: Step) -> None:
        """Leave a step as it is."""
        self.steps.append(step)

    def stripe(self, region: Sequence[Op], result: int, rows: Rows, like: Step = _PLAIN) -> int:
        """Compute these rows of a region's result by steps like that one.

        Returns:
            The tensor that holds them.
        """
        needed = self._needed(region, {result: rows})
        made: dict[int, int] = {}
        for op in region:
            if op.outputs[0] in needed:
                made[op.outputs[0]] = self._compute(op, needed, made, like)
        return made[result]

    def advance(
        self, region: Sequence[Op], ends: Mapping[int, int], since: Mapping[int, int],
        held: dict[int, tuple[int, Rows]],
    ) -> None:  # fmt: skip
        """Compute a region on from the rows that it holds; those that it needs again are moved.

        Args:
            region: the ops.
            ends: the row of each result before which it is computed then.
            since: the first row of each result that is to be held then.
            held: of each result the tensor that holds rows of it, and which; brought up to date.
        """
        for op in region:
            output = op.outputs[0]
            (tensor, (low, high)), first = held.get(output, (-1, (0, 0))), since[output]
            if ends[output] > high:
                old = self._moved(tensor, (low, high), (first, high)) if first < high else -1
                rows = {name: there for name, (_, there) in held.items()}
                made = {name: one for name, (one, _) in held.items()}
                new = self._compute(op, {**rows, output: (high, ends[output])}, made, _PLAIN)
                if old >= 0:
                    tensor, parts = self._rows_of(output, (first, ends[output])), (old, new)
                    self.join(parts, tensor)
                else:
                    tensor, first = new, high
                held[output] = tensor, (first, ends[output])

    def _moved(self, tensor: int, held: Rows, wanted: Rows) -> int:
        """These rows as memory of their own, which are joined to others."""
        rows = self._sliced(tensor, held, wanted)
        output = self._rows_of(tensor, wanted)
        begin, size = (self._constant(list(v)) for v in ([0] * 4, self.tensors[output].shape))
        self._step(Op("SLICE", (rows, begin, size), (output,)))
        return output

    def fused(self, region: Sequence[Op], result: int, rows: Rows, like: Step) -> int:
        """`stripe`, by one step."""
        made = self.stripe(region, result, rows, like)
        first, *others = self.steps[-len(region) :]
        further = tuple(index for step in others for index in step.ops)
        self.steps[-len(region) :] = [replace(first, ops=(*first.ops, *further))]
        return made

    def slice(self, region: Sequence[Op], result: int, rows: Rows) -> None:
        """Have the rows sliced that a region reads for these rows of its result."""
        needed = self._needed(region, {result: rows})
        made = {op.outputs[0] for op in region}
        for op in region:
            for tensor in self._images(op):
                if tensor not in made:
                    wanted = self._read(op, tensor, needed[op.outputs[0]])[0]
                    self._sliced(*self._whole(tensor), wanted)

    def join(self, stripes: Sequence[int], result: int) -> None:
        """Stripes one behind the other are the tensor `result`."""
        options: dict[str, Option] = {"axis": 1, "fused_activation_function": "NONE"}
        self._step(Op("CONCATENATION", tuple(stripes), (result,), options))

    def finished(self) -> tuple[Graph, Schedule]:
        """The graph with the new ops in the order of the steps, without tensors nobody uses."""
        order = [index for step in self.steps for index in self._in_order(step)]
        places = {index: place for place, index in enumerate(order)}
        ops = tuple(self.ops[index] for index in order)
        graph = replace(self.graph, tensors=tuple(self.tensors), ops=ops)
        return compact(graph), Schedule(
            tuple(replace(step, ops=tuple(places[i] for i in step.ops)) for step in self.steps)
        )

    def _in_order(self, step: Step) -> list[int]:
        """The ops of a step; it names the one that computes first, even if a PAD stands before."""
        return sorted(step.ops, key=lambda index: self.ops[index].kind != "PAD")

    def _needed(self, region: Sequence[Op], needed: dict[int, Rows]) -> dict[int, Rows]:
        """The rows of each tensor of a region that rows of its result depend on."""
        for op in reversed(region):
            if op.outputs[0] in needed:
                for tensor in self._images(op):
                    rows = self._read(op, tensor, needed[op.outputs[0]])[0]
                    low, high = needed.get(tensor, rows)
                    needed[tensor] = min(low, rows[0]), max(high, rows[1])
        return needed

    def _images(self, op: Op) -> Iterator[int]:
        return (t for t in op.inputs if t >= 0 and self.tensors[t].data is None)

    def _read(self, op: Op, tensor: int, rows: Rows) -> tuple[Rows, int, int]:
        """(the rows that an op reads for rows of its output, padding above, padding below)."""
        if op.kind in (*CONVOLUTIONS, *POOLINGS):
            return Window.of(self.graph, op).rows(rows, self.tensors[tensor].shape[1])
        return rows, 0, 0

    def _compute(
        self, op: Op, needed: Mapping[int, Rows], made: Mapping[int, int], like: Step
    ) -> int:
        """A step that computes the needed rows of an op; the tensor that holds them."""
        rows = needed[op.outputs[0]]
        inputs = list(op.inputs)
        for position, tensor in enumerate(op.inputs):
            if tensor in self._images(op):
                wanted = self._read(op, tensor, rows)[0]
                there = (made[tensor], needed[tensor]) if tensor in made else self._whole(tensor)
                inputs[position] = self._sliced(*there, wanted)
        new = replace(op, inputs=tuple(inputs))
        pads: tuple[int, ...] = ()
        if op.kind in (*CONVOLUTIONS, *POOLINGS):
            kept = {name: op.options[name] for name in op.options if not name.startswith("pad_")}
            new = replace(new, options={**kept, "padding": "VALID"})
            x, y = (self.tensors[t].shape for t in (op.inputs[0], op.outputs[0]))
            _, above, below = self._read(op, op.inputs[0], rows)
            _, _, left, right = Window.of(self.graph, op).sides(x, y)
            if above or below or left or right:
                padded = self._pad(inputs[0], (above, below), (left, right))
                pads = (len(self.ops) - 1,)
                new = replace(new, inputs=(padded, *inputs[1:]))
        output = self._rows_of(op.outputs[0], rows)
        self._step(replace(new, outputs=(output,)), pads, like)
        return output

    def outputs_of(self, op: Op, outputs: Rows, like: Step) -> int:
        """Compute these outputs of a dense layer; the tensor that holds them."""
        chosen = slice(*outputs)
        constants = [
            t if t < 0 else self._tensor(_chosen(self.tensors[t], chosen)) for t in op.inputs[1:]
        ]
        y = self.tensors[op.outputs[0]]
        name, shape = f"{y.name}/from{outputs[0]}", (1, outputs[1] - outputs[0])
        output = self._tensor(replace(y, name=name, shape=shape))
        inputs = (op.inputs[0], *constants)
        self._step(replace(op, inputs=inputs, outputs=(output,)), (), like)
        return output

    def _whole(self, tensor: int) -> tuple[int, Rows]:
        return tensor, (0, self.tensors[tensor].shape[1])

    def _sliced(self, tensor: int, held: Rows, wanted: Rows) -> int:
        """The tensor of these rows, of one that holds those."""
        if held == wanted:
            return tensor
        if (tensor, wanted) not in self._slices:
            output = self._rows_of(tensor, wanted)
            begin = self._constant([0, wanted[0] - held[0], 0, 0])
            size = self._constant(list(self.tensors[output].shape))
            self._step(Op("SLICE", (tensor, begin, size), (output,)))
            self._slices[tensor, wanted] = output
        return self._slices[tensor, wanted]

    def _pad(self, tensor: int, vertical: Rows, horizontal: Rows) -> int:
        """Put a PAD behind a tensor, to be computed by the step that reads it."""
        x = self.tensors[tensor]
        sides = self._constant([[0, 0], [*vertical], [*horizontal], [0, 0]])
        shape = (1, x.shape[1] + sum(vertical), x.shape[2] + sum(horizontal), x.shape[3])
        output = self._tensor(replace(x, name=f"{x.name}/padded", shape=shape))
        self.ops.append(Op("PAD", (tensor, sides), (output,)))
        return output

    def _rows_of(self, tensor: int, rows: Rows) -> int:
        whole = self.tensors[tensor]
        shape = (1, rows[1] - rows[0], *whole.shape[2:])
        return self._tensor(
            replace(whole, name=f"{whole.name}/rows{rows[0]}", shape=shape, data=None)
        )

    def _constant(self, values: list[int] | list[list[int]]) -> int:
        data: Array = np.array(values, np.int32)
        dtype: DType = "int32"
        return self._tensor(Tensor("", data.shape, dtype, None, data))

    def _tensor(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _step(self, op: Op, further: tuple[int, ...] = (), like: Step = _PLAIN) -> None:
        self.ops.append(op)
        self.steps.append(replace(like, ops=(len(self.ops) - 1, *further)))


def _chosen(one: Tensor, outputs: slice) -> Tensor:
    """Weights or biases of some outputs of a dense layer."""
    assert one.data is not None
    quantization = one.quantization
    if quantization is not None and len(quantization.scales) > 1:
        quantization = replace(
            quantization,
            scales=quantization.scales[outputs],
            zero_points=quantization.zero_points[outputs],
        )
    data = one.data[outputs]
    return replace(one, shape=data.shape, data=data, quantization=quantization)
