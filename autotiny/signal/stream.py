"""A network that listens without end: an answer every so many samples, old work kept.

A network computes a window. In a stream windows overlap, so most of a window was there before: its
samples are kept, and so are the features of frames that lie where they lay in an earlier window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from autotiny.checked import Within
from autotiny.errors import UserError, shown
from autotiny.graph import Graph, Op, Tensor
from autotiny.schedule import Schedule, Step
from autotiny.signal.front import FRONT_ENDS, Shape, arranged, front_end_from

SHIFT_IN = "SHIFT_IN"
"""The kind of the op (kept window, new part) → window, which is the kept one moved on."""

FORM = "hop=320 in samples, hop=20ms, or with the rate where that is not known: hop=20ms, rate=50"

MOST_RATE = 1_000_000


@dataclass(frozen=True)
class Stream:
    """How often an answer is due.

    Attributes:
        hop: samples from one answer to the next.
        rate: samples a second; None if that is not known.
    """

    hop: Annotated[int, Within(ge=1, le=2**31 - 1)]
    rate: Annotated[int, Within(ge=1, le=MOST_RATE)] | None = None

    @property
    def hop_ms(self) -> float | None:
        """The time from one answer to the next, where the rate is known."""
        return None if self.rate is None else 1000 * self.hop / self.rate

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", rate={self.rate}"
        return f"hop={self.hop}{rate}"


@dataclass(frozen=True)
class Asked:
    """How often an answer was asked for, in samples or in milliseconds.

    Attributes:
        samples: from one answer to the next; None where that is a time.
        milliseconds: from one answer to the next; None where those are samples.
        rate: samples a second; None leaves that to the data.
    """

    samples: int | None
    milliseconds: float | None
    rate: int | None

    def at(self, known: int | None) -> Stream:
        """The same in samples.

        Args:
            known: samples a second, where the data tell it; what was asked goes before.

        Raises:
            UserError: a time is no whole number of samples, or nobody knows of how many.
        """
        rate = self.rate or known
        if self.samples is not None:
            return Stream(self.samples, rate)
        assert self.milliseconds is not None
        if rate is None:
            raise UserError(
                f"hop is {self.milliseconds:g} ms, and the rate of the samples is not known; give "
                f"the hop in samples, or the rate with it: hop={self.milliseconds:g}ms, rate=50"
            )
        hop = round(self.milliseconds * rate / 1000)
        if hop < 1 or abs(hop - self.milliseconds * rate / 1000) > 1e-6:
            near = max(hop, 1)
            raise UserError(
                f"hop is {self.milliseconds:g} ms, which is no whole number of samples at "
                f"{rate:,} Hz; set it to {1000 * near / rate:g}ms, which is {near}"
            )
        return Stream(hop, rate)


def asked_stream(text: str) -> Asked:
    """What `--stream` was given.

    Raises:
        UserError: it says no hop.
    """
    found = re.fullmatch(
        r"\s*hop\s*=\s*(?:(\d{1,9})|(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s))\s*(?:,\s*rate\s*=\s*(\d{1,7})\s*)?",
        text,
    )
    if found is None:
        raise UserError(f"stream = {shown(text)}; it must be {FORM}")
    samples, time, unit, rate = found.groups()
    if float(samples or time) == 0:
        raise UserError(f"stream = {shown(text)}: an answer is due after 1 sample at the soonest")
    if rate is not None and not 1 <= int(rate) <= MOST_RATE:
        raise UserError(f"stream = {shown(text)}: the rate must be from 1 to {MOST_RATE:,} Hz")
    return Asked(
        int(samples) if samples else None,
        None if samples else float(time) * (1000 if unit == "s" else 1),
        int(rate) if rate else None,
    )


@dataclass(frozen=True)
class StreamPart:
    """What of a part of a program is computed at every hop.

    Attributes:
        name: the kind of a front end, or "network".
        anew: outputs along time that are computed.
        of: how many there are of a window.
        why: why none are kept; "" where some are.
    """

    name: str
    anew: int
    of: int
    why: str = ""

    def __str__(self) -> str:
        if self.why:
            return f"{self.name}: whole, {self.why}"
        kept = self.of - self.anew
        return f"{self.name}: {self.anew:,} of {self.of:,} outputs computed anew, {kept:,} kept"


NETWORK = StreamPart("network", 1, 1, "layers keep nothing of earlier windows")


@dataclass(frozen=True, eq=False)
class Streamed:
    """A program that takes a hop of samples and gives the answer for the window that ends there.

    Attributes:
        graph: it; its input are the new samples.
        schedule: of its ops.
        window: samples that an answer is for.
        parts: what is computed anew, in order.
    """

    graph: Graph
    schedule: Schedule
    window: int
    parts: tuple[StreamPart, ...]


def window_of(shapes: Sequence[Shape], *, recorded: bool) -> int:
    """How many samples the window of a network has.

    Args:
        shapes: of its inputs, batch 1 included.
        recorded: whether they are known to be recordings, whose first axis is time; otherwise those
            of (time, channels) are.

    Raises:
        UserError: it has several inputs, or one without an axis of time.
    """
    if len(shapes) != 1:
        raise UserError(f"the network has {len(shapes)} inputs, and a stream is one; leave it out")
    shape = shapes[0]
    if shape[:1] != (1,) or not (len(shape) == 3 or (len(shape) > 1 and recorded)):
        sizes = "×".join(map(str, shape[1:])) or "one value"
        raise UserError(
            f"the network takes {sizes}, which has no axis of time; a stream needs samples in a "
            "row, (time, channels), or --data with recordings and --front for features of them"
        )
    return shape[1]


def check_hop(hop: int, window: int) -> None:
    """Refuses a hop that leaves samples out.

    Raises:
        UserError: it is longer than the window.
    """
    if not 1 <= hop <= window:
        raise UserError(
            f"hop is {hop:,} samples and the window {window:,}; what lies between two windows "
            f"would never be heard: set it to 1 to {window:,}"
        )


def streamed(graph: Graph, schedule: Schedule, hop: int) -> Streamed:
    """A program for windows as one for a stream: its bits are those of the whole windows.

    What a front end gave of earlier samples is kept where its outputs lie `hop` further on; what
    cannot be kept, and the network, are computed anew as a whole.

    Args:
        graph: the network, behind its front ends if it has any.
        schedule: of its ops.
        hop: samples that are new, at most as many as a window has.

    Raises:
        UserError: they are more, or the network has no axis of time.
    """
    window = window_of([graph.tensors[index].shape for index in graph.inputs], recorded=True)
    check_hop(hop, window)
    ends = _ends_of(graph)
    source = graph.inputs[0]
    if hop == window:
        parts = [_whole(graph, op, "windows do not overlap") for _, op in ends]
        return Streamed(graph, schedule, window, (*parts, NETWORK))
    tensors, ops, parts = list(graph.tensors), [], []

    def added(like: Tensor, name: str, shape: Shape) -> int:
        tensors.append(replace(like, name=f"{like.name}_{name}", shape=shape))
        return len(tensors) - 1

    def shift(new: int, into: int) -> None:
        kept = added(tensors[into], "kept", tensors[into].shape)
        ops.append(Op(SHIFT_IN, (kept, new), (into,)))

    _, *channels = graph.tensors[source].shape[1:]
    new = first = added(tensors[source], "new", (1, hop, *channels))
    fresh, place = hop, 0
    for _, op in ends:
        taken, given = tensors[source], tensors[op.outputs[0]]
        reach = _reach(op, taken, fresh)
        if isinstance(reach, str):
            parts.append(_whole(graph, op, reach))
            behind = f"behind all of {op.kind.lower()}"
            parts += [_whole(graph, later, behind) for _, later in ends[place + 1 :]]
            break
        reached = new
        if reach.samples != fresh:
            reached = added(taken, "reached", (1, reach.samples, *taken.shape[2:]))
            shift(new, reached)
        new = added(given, "new", (1, *_shape_behind(op, tensors[reached])))
        ops.append(replace(op, inputs=(reached,), outputs=(new,)))
        source, fresh, place = op.outputs[0], reach.outputs, place + 1
        parts.append(StreamPart(op.kind.lower(), fresh, _shape_behind(op, taken)[0]))
    shift(new, source)
    ops += [op for _, op in ends[place:]]
    gone = [index for index, _ in ends]
    moved = _moved(schedule, gone, len(ops), len(graph.ops))
    rest = (op for index, op in enumerate(graph.ops) if index not in gone)
    changed = replace(graph, tensors=tuple(tensors), ops=(*ops, *rest), inputs=(first,))
    return Streamed(changed, moved, window, (*parts, NETWORK))


@dataclass(frozen=True)
class _Reach:
    """The last samples of a window, and how many outputs are computed from them alone."""

    samples: int
    outputs: int


def _reach(op: Op, taken: Tensor, fresh: int) -> _Reach | str:
    """What a front end computes anew where so many samples are; or why that is everything."""
    apart = front_end_from(op.kind, op.options).apart
    if apart is None:
        return "each output hangs on all samples before it"
    if fresh % apart:
        return f"{fresh:,} new samples are no multiple of the {apart:,} between its outputs"
    outputs, of = fresh // apart, _shape_behind(op, taken)[0]
    if outputs >= of:
        return "no output is of two windows"
    return _Reach(taken.shape[1] - (of - outputs) * apart, outputs)


def _ends_of(graph: Graph) -> list[tuple[int, Op]]:
    """The front ends of a graph, each with its place among the ops, from its input on."""
    found = []
    source = graph.inputs[0]
    for index, op in enumerate(graph.ops):
        if op.kind in FRONT_ENDS and op.inputs == (source,):
            found.append((index, op))
            source = op.outputs[0]
    return found


def _shape_behind(op: Op, taken: Tensor) -> Shape:
    """What a front end gives of a window, time first."""
    end = front_end_from(op.kind, op.options)
    return end.output_shape(arranged(taken.shape[1:], end))


def _whole(graph: Graph, op: Op, why: str) -> StreamPart:
    of = _shape_behind(op, graph.tensors[op.inputs[0]])[0]
    return StreamPart(op.kind.lower(), of, of, why)


def _moved(schedule: Schedule, gone: Sequence[int], added: int, ops: int) -> Schedule:
    """The steps of a schedule where ops are gone, and others stand before the rest."""
    rest = [index for index in range(ops) if index not in gone]
    places = {index: added + place for place, index in enumerate(rest)}
    steps = (
        replace(step, ops=tuple(places[index] for index in step.ops))
        for step in schedule.steps
        if step.ops[0] not in gone
    )
    return Schedule((*(Step((index,)) for index in range(added)), *steps))
