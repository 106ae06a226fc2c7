"""Rewrites that cut layers into stripes of full rows, each computed by a step of its own.

The result is an ordinary graph: SLICE takes the rows that a stripe reads, PAD stands for the part
of the padding that it meets, a convolution without padding computes it, CONCATENATION joins the
stripes. In memory rows lie one behind the other, so slicing and joining are names for parts of one
buffer, and a PAD is computed by the convolution behind it: only rows that two stripes need of a
layer between them are computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autotiny.engine.generate import arena_bytes
from autotiny.engine.kernel import Site
from autotiny.engine.layers.window import window_of
from autotiny.errors import NotApplicable
from autotiny.graph import Array, DType, Graph, Op, Option, Tensor, compact
from autotiny.schedule import Schedule, Step

_PLAIN = Step(())

Rows = tuple[int, int]
"""The first row of a tensor (1, height, width, channels), and the one behind the last."""

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_POOLINGS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
_ELEMENTWISE = (
    "ADD", "SUB", "MUL", "RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH",
    "QUANTIZE",
)  # fmt: skip


def with_patches(
    graph: Graph, schedule: Schedule, *, patches: int, stages: int = 0
) -> tuple[Graph, Schedule]:
    """Compute the first stages of a network patch by patch.

    All of them are computed for one stripe of rows, then for the next, so that of the large tensors
    between them only stripes exist.

    Args:
        graph: the network.
        schedule: its schedule; stages are steps of one op each, computed the plain way.
        patches: stripes, at most: they have equal rows, the last one maybe fewer.
        stages: the stages end behind so many layers, or earlier where more than one tensor passes
            from there to the rest; 0 takes the number that leaves the smallest arena, of those
            behind which less passes on than behind any smaller one.

    Raises:
        NotApplicable: no such rewrite makes the arena smaller.
    """
    region = _region(graph, schedule)
    cuts = _cuts(graph, region, stages)
    if not cuts:
        raise NotApplicable(
            f"with_patches: no image passes through {stages or 'some'} layers that can be computed "
            "in stripes of rows (convolutions, poolings without padding, sums) to one tensor"
        )
    made = [_patched(graph, schedule, region[:k], patches) for k in cuts]
    sizes = [arena_bytes(*one) for one in made]
    before = arena_bytes(graph, schedule)
    best = min(range(len(cuts)), key=lambda i: (sizes[i], cuts[i]))
    if sizes[best] >= before:
        raise NotApplicable(
            f"with_patches: the arena of {before} bytes would take {sizes[best]} with the first "
            f"{cuts[best]} layers in {patches} patches; its largest tensors lie elsewhere"
        )
    return made[best]


def _cuts(graph: Graph, region: Sequence[int], stages: int) -> list[int]:
    """Behind how many layers of a region the patches may end; see `with_patches`."""
    passing = {
        k: graph.tensors[result].bytes
        for k in range(1, len(region) + 1)
        if (result := _result(graph, region[:k])) is not None
    }
    if stages:
        return [k for k in passing if k <= stages][-1:]
    return [k for k in passing if all(passing[k] < passing[j] for j in passing if j < k)]


def _region(graph: Graph, schedule: Schedule) -> tuple[int, ...]:
    """The longest run of steps that can be computed in stripes, behind those that prepare it."""
    found: list[int] = []
    for step in schedule.steps:
        if _can_be_cut(graph, step):
            found.append(step.ops[0])
        elif found or graph.ops[step.ops[0]].kind not in ("RESHAPE", "EXPAND_DIMS", "QUANTIZE"):
            break
    return tuple(found)


def _can_be_cut(graph: Graph, step: Step) -> bool:
    """Whether a step is an op of its own, computed the plain way, that can be cut into rows."""
    return step == Step(step.ops[:1]) and _follows_rows(graph, graph.ops[step.ops[0]])


def _follows_rows(graph: Graph, op: Op) -> bool:
    """Whether rows of an op's output follow from rows of its inputs."""
    if len(op.outputs) != 1 or not op.inputs:
        return False
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if len(y.shape) != 4 or y.shape[0] != 1 or len(x.shape) != 4:
        return False
    if op.kind in _CONVOLUTIONS:
        return all(t < 0 or graph.tensors[t].data is not None for t in op.inputs[1:])
    if op.kind in _POOLINGS:
        return not any(_Window.of(graph, op).sides(x.shape, y.shape))
    return op.kind in _ELEMENTWISE and all(
        tensor.shape == y.shape or (tensor.data is not None and tensor.size in (1, y.shape[3]))
        for tensor in (graph.tensors[t] for t in op.inputs)
    )


def _result(graph: Graph, region: Sequence[int]) -> int | None:
    """The one tensor that passes from these ops to the others; None if there are several."""
    made = {graph.ops[index].outputs[0] for index in region}
    others = [op for index, op in enumerate(graph.ops) if index not in region]
    read = made & ({t for op in others for t in op.inputs} | set(graph.outputs))
    return read.pop() if len(read) == 1 else None


def _patched(
    graph: Graph, schedule: Schedule, region: Sequence[int], patches: int
) -> tuple[Graph, Schedule]:
    """The ops of a region in stripes, in the place of the first of them."""
    result = _result(graph, region)
    assert result is not None
    ops = [graph.ops[index] for index in region]
    build = _Rewrite(graph)
    for step in schedule.steps:
        if step.ops[0] == region[0]:
            cut = _cut(graph.tensors[result].shape[1], patches)
            build.join([build.stripe(ops, result, rows) for rows in cut], result)
        elif step.ops[0] not in region:
            build.keep(step)
    return build.finished()


def with_two_cores(graph: Graph, schedule: Schedule) -> tuple[Graph, Schedule]:
    """Compute layers on two cores, each one half of the rows, or of the outputs of a dense layer.

    A step of core 1 runs at the same time as the step of core 0 before it. The halves read the
    whole input, so none of them may overwrite it.

    Raises:
        NotApplicable: no layer is worth it, or they are divided already.
    """
    if any(step.core for step in schedule.steps):
        raise NotApplicable("with_two_cores: the layers are divided already")
    build = _Rewrite(graph)
    for step in schedule.steps:
        site = Site(graph, step)
        halves = _halves(site)
        if not halves:
            build.keep(step)
            continue
        region, result = (site.op, *site.fused), site.output_index
        likes = [replace(step, in_place=False, core=core) for core in range(len(halves))]
        if site.op.kind == "FULLY_CONNECTED":
            parts = [build.outputs_of(site.op, *one) for one in zip(halves, likes, strict=True)]
        else:
            for half in halves:  # before both, so that nothing is left to do between them
                build.slice(region, result, half)
            parts = [build.fused(region, result, *one) for one in zip(halves, likes, strict=True)]
        build.join(parts, result)
    changed = build.finished()
    if not any(step.core for step in changed[1].steps):
        raise NotApplicable(
            "with_two_cores: no convolution, pooling, sum or dense layer has two rows or outputs "
            f"and {_LEAST_WORK} multiplications"
        )
    return changed


_LEAST_WORK = 4096
"""Multiplications (elements, where there are none) for which handing over a half is a trifle."""


def _halves(site: Site) -> list[Rows]:
    """The rows, or outputs of a dense layer, of each core; none if the step stays whole."""
    step, graph, y = site.step, site.graph, site.output.shape
    if step.weights.coding not in ("plain", "shared") or step.weights.decode != "row":
        return []
    if len(y) < 2 or y[1] < 2 or _work(site) < _LEAST_WORK:
        return []
    if site.op.kind == "FULLY_CONNECTED":
        constant = all(t < 0 or graph.tensors[t].data is not None for t in site.op.inputs[1:])
        return _cut(y[1], 2) if len(y) == 2 and y[0] == 1 and constant else []
    return _cut(y[1], 2) if _follows_rows(graph, site.op) else []


def _work(site: Site) -> int:
    weights = site.input(1).shape if site.has_input(1) else ()
    if site.op.kind == "CONV_2D":
        return site.output.size * int(np.prod(weights[1:]))
    if site.op.kind == "DEPTHWISE_CONV_2D":
        return site.output.size * int(np.prod(weights[1:3]))
    return site.input(1).size if site.op.kind == "FULLY_CONNECTED" else site.output.size


def _cut(height: int, parts: int) -> list[Rows]:
    """Rows in equal parts, the last one maybe smaller: equal stripes share their code."""
    rows = -(-height // parts)
    return [(first, min(first + rows, height)) for first in range(0, height, rows)]


@dataclass(frozen=True)
class _Window:
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
    def of(graph: Graph, op: Op) -> _Window:
        """The window of an op."""
        if op.kind in _POOLINGS:
            k_h, k_w = op.integer("filter_height"), op.integer("filter_width")
        else:
            k_h, k_w = graph.tensors[op.inputs[1]].shape[1:3]
        at = window_of(graph, op, k_h, k_w)
        return _Window(
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


class _Rewrite:
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
        first = region[0]
        for tensor in self._images(first):
            self._sliced(
                *self._whole(tensor), self._read(first, tensor, needed[first.outputs[0]])[0]
            )

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
        if op.kind in (*_CONVOLUTIONS, *_POOLINGS):
            return _Window.of(self.graph, op).rows(rows, self.tensors[tensor].shape[1])
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
        if op.kind in (*_CONVOLUTIONS, *_POOLINGS):
            kept = {name: op.options[name] for name in op.options if not name.startswith("pad_")}
            new = replace(new, options={**kept, "padding": "VALID"})
            x, y = (self.tensors[t].shape for t in (op.inputs[0], op.outputs[0]))
            _, above, below = self._read(op, op.inputs[0], rows)
            _, _, left, right = _Window.of(self.graph, op).sides(x, y)
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
