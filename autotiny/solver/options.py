"""What a step takes of flash and SRAM as one of its options, and under which key it is measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from autotiny.cache import key_of
from autotiny.engine.generate import kernel_of
from autotiny.engine.kernel import Kept, Kernel, Scratch, Site, Table
from autotiny.engine.options import segments_of, shares_weights
from autotiny.engine.symbols import calls_shared
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import UnsupportedOp
from autotiny.graph import Graph, Tensor
from autotiny.schedule import Code, Schedule, Step, Weights


@dataclass(frozen=True)
class Constant:
    """An array of the model that a step reads; equal ones are stored once.

    Attributes:
        digest: of type and values.
        bytes: filled up to whole words.
        memory: where it lies.
    """

    digest: str
    bytes: int
    memory: str

    @property
    def name(self) -> str:
        """What tells it from others in a program."""
        return f"{self.digest} {self.memory}"


@dataclass(frozen=True, eq=False)
class Option:
    """One step that can fill a place.

    Attributes:
        step: what is scheduled.
        kernel: its C and its operands.
        key: of what is measured of it: shapes, types, kernel and form of the weights, and the
            weights themselves where time hangs on them.
        function: a digest of its function's text; steps of equal ones share code.
        constants: arrays that it reads.
        static_bytes: of SRAM that it occupies all the time: weights there, and what is kept.
        slow_bytes: of them, those in a slower memory.
    """

    step: Step
    kernel: Kernel
    key: str
    function: str
    constants: tuple[Constant, ...]
    static_bytes: int
    slow_bytes: int = 0


_Any = TypeVar("_Any")

Place = tuple[Option, ...]
Chain = tuple[Place, ...]


Segments = tuple[tuple[Chain, ...], ...]
"""Of each segment of a network, its chains."""


def places_of(graph: Graph, *, dsp: bool, given: Schedule | None = None) -> Segments:
    """Of each segment of a network, its chains, each place with the options that can be emitted.

    Args:
        graph: with constants folded.
        dsp: whether the core has the DSP extension.
        given: see `segments_of`.
    """
    segments = segments_of(graph, dsp=dsp, given=given)
    chains = [segment.chains for segment in segments]
    return _each(chains, lambda place: tuple(_options(graph, place)))


def with_slow_sram(graph: Graph, segments: Segments, cycles: Callable[[Option], int]) -> Segments:
    """With options whose weights lie in a slower data memory.

    That is only of use for what would be faster than all with weights in flash if they lay in the
    fast one.

    Args:
        graph: of `places_of`.
        segments: likewise.
        cycles: of an option, with weights in SRAM in the fast one.
    """

    def slowed(place: Place) -> Place:
        in_flash = [cycles(one) for one in place if one.step.weights.memory == "flash"]
        faster = [
            replace(one.step, weights=replace(one.step.weights, memory="slow_sram"))
            for one in place
            if cycles(one) < min(in_flash)
        ]
        steps = dict.fromkeys(replace(step, code="auto") for step in faster)
        return (*place, *(one for one in _options(graph, steps) if one.step in faster))

    return _each(segments, slowed)


def _each(segments: Iterable[Iterable[Iterable[_Any]]], made: Callable[[_Any], Place]) -> Segments:
    """The same with something made of each place."""
    return tuple(
        tuple(tuple(made(place) for place in chain) for chain in chains) for chains in segments
    )


def _options(graph: Graph, steps: Iterable[Step]) -> Iterable[Option]:
    found: dict[tuple[str, ...], Option] = {}
    for step in steps:
        site = Site(graph, step)
        try:
            kernel = kernel_of(site)
        except UnsupportedOp:
            continue
        for option in _coded(site, kernel):
            # settings that come to the same for small layers
            found.setdefault((option.function, *(one.name for one in option.constants)), option)
    return found.values()


def _coded(site: Site, kernel: Kernel) -> Iterator[Option]:
    """A step with its function made for all that it can be made for, see `schedule.Step`."""
    tables = [one.what for one in kernel.operands if isinstance(one.what, Table)]
    keeps = [one.what.bytes for one in kernel.operands if isinstance(one.what, Kept)]
    parameters = ", ".join(f"{one.c_type} *{one.name}" for one in kernel.operands)
    constants = tuple(
        Constant(_digest(one), -(-one.values.nbytes // 4) * 4, one.memory) for one in tables
    )
    in_sram = sum(one.bytes for one in constants if one.memory != "flash")
    slow = sum(one.bytes for one in constants if one.memory == "slow_sram")
    key = _key(site, kernel, tables)
    for code in _codes(site, kernel):
        alone = site.step.ops if code == "fixed" else ()
        yield Option(
            replace(site.step, code=code),
            kernel,
            f"{code} {key}",
            key_of(parameters, kernel.body, code, alone),
            constants,
            in_sram + sum(-(-size // 4) * 4 for size in keeps),
            slow,
        )


def _codes(site: Site, kernel: Kernel) -> tuple[Code, ...]:
    """Whose code it can be; of long kernels with weights elsewhere, addresses are not tried.

    A kernel that calls nothing shared is in the function in any case. Stripes of a layer share it.
    """
    if not kernel.body or shares_weights(site):
        return ("shared",)
    if not calls_shared(kernel):
        return ("shared", "fixed")
    return ("shared", "own", "fixed") if site.step.weights == Weights() else ("shared", "own")


def _key(site: Site, kernel: Kernel, tables: Iterable[Table]) -> str:
    """A digest of all that time and code of a step hang on, whatever network it stands in.

    Numbers in the text are sizes, which shapes tell already, and scales, which take the same time
    whatever they are.
    """
    step = site.step
    ops = tuple(site.graph.ops[index] for index in step.ops)
    images = tuple(
        _form(site.graph.tensors[index])
        for op in ops
        for index in (*op.inputs, *op.outputs)
        if index >= 0
    )
    depends = isinstance(step.kernel, Sparse) or step.weights.coding != "plain"
    return key_of(
        tuple((op.kind, sorted(op.options.items())) for op in ops),
        images,
        (step.kernel, step.weights, step.in_place),
        re.sub(r"\d+", "#", kernel.body),
        tuple((str(one.values.dtype), one.values.shape, one.memory) for one in tables),
        tuple(one.what.bytes for one in kernel.operands if isinstance(one.what, Scratch)),
        tuple(_digest(one) for one in tables) if depends else (),
    )


def _form(tensor: Tensor) -> tuple[object, ...]:
    scales = 0 if tensor.quantization is None else len(tensor.quantization.scales)
    return tensor.shape, tensor.dtype, tensor.data is not None, min(scales, 2)


def _digest(table: Table) -> str:
    values = np.ascontiguousarray(table.values)
    return f"{values.dtype} {hashlib.sha256(values.data).hexdigest()}"
