"""What every option takes on a target: programs that mix them, executed, and read off step by step.

An option is measured where it will be used: in the network, with the other layers before and behind
it, so that caches hold what they will hold. One program measures one option of every layer; equal
layers measure several of one. Without caches, layers of which nothing is left to be measured are
left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from autotiny.cache import Cache, key_of, recalled, remembered
from autotiny.codeversion import code_version
from autotiny.engine.generate import generate
from autotiny.firmware.layout import Layout
from autotiny.firmware.linking import Firmware, link
from autotiny.firmware.pieces import Piece, compiled, pieces_of, reached
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Weights
from autotiny.simulator import run
from autotiny.simulator.disassembling import goes_to
from autotiny.solver.options import Chain, Option, Place
from autotiny.target import Target, target_key

CALLER_BYTES, CALL_BYTES = 8, 4
"""Of a function that calls others, and of each call in it, at least."""

STACK_BYTES = 4096
"""Room for the stack of a program that is measured."""


@dataclass(frozen=True)
class Facts:
    """What one option takes on a target.

    Attributes:
        cycles: of an inference, caches as they are then.
        stack_bytes: below the frame of the function that calls the steps.
        frame_bytes: of its function, which is part of that.
        code_bytes: of its function.
        array_bytes: of constants that its code has beside those of the model.
        shared: name and bytes of the functions and arrays that others use, too.
    """

    cycles: int
    stack_bytes: int
    frame_bytes: int
    code_bytes: int
    array_bytes: int
    shared: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Base:
    """What a firmware takes besides its steps.

    Attributes:
        code_bytes: start-up, main loop, and what does not hang on the model.
        calls_bytes: of the function that calls the steps, without what is passed.
        operand_bytes: for each operand that is passed, on average.
        static_bytes: of SRAM.
        stack_bytes: above the function that calls the steps.
        frame_bytes: of that function, about.
    """

    code_bytes: int
    calls_bytes: int
    operand_bytes: float
    static_bytes: int
    stack_bytes: int
    frame_bytes: int


NOTHING = Facts(0, 0, 0, 0, 0, ())
"""Of a step that only names memory."""


def passed(option: Option) -> int:
    """How many operands its function is called with."""
    return 0 if option.step.code == "fixed" else len(option.kernel.operands)


def is_array(name: str) -> bool:
    """Whether a name of an object file is that of an array that a function has for itself."""
    return "." in name


def measured(
    graph: Graph,
    segments: Sequence[Sequence[Chain]],
    target: Target,
    cache: Cache,
    tell: Callable[[int, int], None] = lambda done, all_of: None,
    layout: Layout | None = None,
    known: Mapping[str, Facts] | None = None,
) -> dict[str, Facts]:
    """What the options of a network take, by their keys.

    Args:
        graph: with constants folded.
        segments: its chains, see `options.places_of`.
        target: whose cycles count.
        cache: keeps what was measured, for other networks with such layers, too.
        tell: called with how many programs were measured, and of how many.
        layout: memories that all lies in; None for those where each program has room.
        known: what was found of some of them.
    """
    facts = dict(known or {})
    for option in _all(segments):
        if option.key in facts:
            continue
        if not option.kernel.body:
            facts[option.key] = NOTHING
        elif (stored := recalled(cache, _entry(option, target, layout))) is not None:
            facts[option.key] = facts_from(stored)
    programs = list(_programs(segments, set(facts)))
    if not has_caches(target):
        programs = list(_new_alone(programs, set(facts)))
    workers = min(len(programs), os.cpu_count() or 1)
    if not workers:
        return facts
    with ThreadPoolExecutor(workers) as pool:
        runs = pool.map(lambda program: _measure(graph, program, target, layout), programs)
        for number, (program, found) in enumerate(zip(programs, runs, strict=True), 1):
            for option, one in zip(program, found, strict=True):
                if option.key not in facts:
                    facts[option.key] = _kept(_entry(option, target, layout), one, cache)
            tell(number, len(programs))
    return facts


def has_caches(target: Target) -> bool:
    """Whether what a layer takes hangs on what stands before it."""
    return bool(target.icache or target.dcache)


def _all(segments: Sequence[Sequence[Chain]]) -> Iterator[Option]:
    for chains in segments:
        for chain in chains:
            for place in chain:
                yield from place


def _entry(option: Option, target: Target, layout: Layout | None) -> str:
    memories = layout and (layout.arena.name, layout.static.name, layout.slow.name)
    return key_of("option", option.key, target_key(target), memories, code_version(__name__))


def _kept(entry: str, one: Facts, cache: Cache) -> Facts:
    return facts_from(remembered(cache, entry, lambda: asdict(one)))


def facts_from(stored: Mapping[str, Any]) -> Facts:
    """The facts that `dataclasses.asdict` took apart."""
    return Facts(**{**stored, "shared": tuple((name, size) for name, size in stored["shared"])})


def _programs(segments: Sequence[Sequence[Chain]], known: set[str]) -> Iterator[tuple[Option, ...]]:
    """Programs in which every option that is not known occurs at least once."""
    known = set(known)
    while True:
        program: list[Option] = []
        begun: set[str] = set()
        for chains in segments:
            chain = max(chains, key=lambda one: any(_new(p, known | begun) for p in one))
            for place in chain:
                option = _new(place, known | begun) or usual(place)
                begun.add(option.key)
                program.append(option)
        if begun <= known:
            return
        known |= begun
        yield tuple(program)


def _new_alone(
    programs: Iterable[tuple[Option, ...]], known: set[str]
) -> Iterator[tuple[Option, ...]]:
    """Programs without what is known, or was in one before."""
    known = set(known)
    for program in programs:
        new = tuple({option.key: option for option in program if option.key not in known}.values())
        known |= {option.key for option in new}
        yield new


def _new(place: Place, known: set[str]) -> Option | None:
    return next((option for option in place if option.key not in known), None)


def usual(place: Place) -> Option:
    """An option that takes little time: the last one with plain weights in flash."""
    plain = [one for one in place if one.step.weights == Weights() and one.step.code == "shared"]
    return (plain or place)[-1]


def base_of(
    graph: Graph, segments: Sequence[Sequence[Chain]], target: Target, cache: Cache
) -> Base:
    """What a firmware of a network takes besides its steps: a usual one without them."""
    program = tuple(usual(place) for chains in segments for place in chains[0])

    def measure() -> dict[str, Any]:
        return asdict(_base(graph, program, target))

    steps = Schedule(tuple(option.step for option in program))
    key = key_of("base", graph.fingerprint(), steps, target_key(target), code_version(__name__))
    return Base(**remembered(cache, key, measure))


def _base(graph: Graph, options: Sequence[Option], target: Target) -> Base:
    sources = generate(graph, Schedule(tuple(option.step for option in options)))
    program = compiled(sources, target)
    firmware = link(sources, target, stack_bytes=STACK_BYTES, program=program)
    pieces = pieces_of(program)
    ran = run(firmware, target, repeats=1, simulate_memory=False)
    caller = pieces[f"{sources.name}_run"]
    needed: dict[str, int] = {}
    for function in sources.functions:
        needed |= sizes_of(function, pieces, firmware)
    steps = sum(size for name, size in needed.items() if name not in pieces or not is_array(name))
    static = sum(option.static_bytes for option in options)
    calls = CALLER_BYTES + CALL_BYTES * len(sources.functions)
    operands = sum(passed(option) for option in options)
    deepest = max(layer.stack_bytes for layer in ran.layers)
    return Base(
        code_bytes=firmware.code_bytes - steps - caller.bytes,
        calls_bytes=calls,
        operand_bytes=(caller.bytes - calls) / max(1, operands),
        static_bytes=firmware.static_bytes - static,
        stack_bytes=ran.stack_bytes - deepest - caller.frame_bytes,
        frame_bytes=caller.frame_bytes,
    )


def _measure(
    graph: Graph, options: Sequence[Option], target: Target, layout: Layout | None
) -> list[Facts]:
    """What each step of a program takes."""
    sources = generate(graph, Schedule(tuple(option.step for option in options)))
    program = compiled(sources, target)
    firmware = link(sources, target, stack_bytes=STACK_BYTES, program=program, layout=layout)
    pieces = pieces_of(program)
    ran = run(firmware, target, repeats=None if has_caches(target) else 1)
    steps = iter(zip(sources.functions, ran.layers, strict=True))
    found = []
    for option in options:
        if not option.kernel.body:
            found.append(NOTHING)
            continue
        function, layer = next(steps)
        sizes = sizes_of(function, pieces, firmware)
        code = sizes.pop(function)
        own = [name for name in sizes if name.startswith(f"{function}.")]
        arrays = sum(sizes.pop(name) for name in own)
        found.append(
            Facts(
                cycles=layer.cycles,
                stack_bytes=layer.stack_bytes,
                frame_bytes=pieces[function].frame_bytes,
                code_bytes=code,
                array_bytes=arrays,
                shared=tuple(sizes.items()),
            )
        )
    return found


def sizes_of(function: str, pieces: Mapping[str, Piece], firmware: Firmware) -> dict[str, int]:
    """Bytes of a function and of all that it needs but weights, which are counted elsewhere."""
    needed = reached(pieces, function)
    sizes = {name: pieces[name].bytes for name in sorted(needed & pieces.keys())}
    return {**sizes, **of_library(firmware, needed - pieces.keys())}


def of_library(firmware: Firmware, names: Iterable[str]) -> dict[str, int]:
    """Functions that a model's program does not define, with all that they call, and their bytes.

    Names of one address are one function, under the first of them.
    """
    core, origin = firmware.target.core, firmware.target.whole_flash.origin
    functions = {
        symbol.address: (name, symbol.bytes)
        for name, symbol in sorted(firmware.symbols.items(), reverse=True)
        if symbol.is_function and symbol.bytes
    }
    image = firmware.image
    found: dict[str, int] = {}
    waiting = [firmware.symbols[name].address for name in names if name in firmware.symbols]
    while waiting:
        address = waiting.pop()
        name, size = functions.get(address, ("", 0))
        if name and name not in found:
            found[name] = -(-size // 4) * 4
            start = address - origin
            waiting += goes_to(core, image[start : start + size], address)
    return found
