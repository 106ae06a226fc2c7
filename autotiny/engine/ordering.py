"""The order of the steps of a branching network that keeps the fewest bytes alive.

Liberis and Lane, "Neural networks on microcontrollers: saving memory at inference via operator
reordering", 2019, search the same way: over sets of executed steps, the smallest peak first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from autotiny.engine.kernel import Site
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Step

VISITS = 20_000
"""Sets of executed steps that are looked at before the search gives up."""


def with_least_memory(graph: Graph, schedule: Schedule) -> Schedule:
    """The same steps in an order with the smallest peak of live tensors, if it is found."""
    reads = [_reads(graph, step) for step in schedule.steps]
    writes = [_writes(graph, step) for step in schedule.steps]
    first: frozenset[int] = frozenset()
    best = {first: 0}
    queue: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    visits = 0
    while queue and visits < VISITS:
        peak, _, order = heapq.heappop(queue)
        done = frozenset(order)
        if len(order) == len(schedule.steps):
            return Schedule(tuple(schedule.steps[index] for index in order))
        if peak > best[done]:
            continue
        visits += 1
        for step in _ready(reads, writes, done, graph):
            after = done | {step}
            alive = _alive(graph, reads, writes, done)
            top = max(peak, alive + sum(graph.tensors[t].bytes for t in writes[step]))
            if top < best.get(after, top + 1):
                best[after] = top
                # Of equal peaks, the order of the graph first, and the longest.
                heapq.heappush(queue, (top, -len(order) - 1, (*order, step)))
    return schedule


def _reads(graph: Graph, step: Step) -> frozenset[int]:
    """The variable tensors that a step needs from elsewhere."""
    inputs = {index for op in step.ops for index in graph.ops[op].inputs if index >= 0}
    inner = {index for op in step.ops for index in graph.ops[op].outputs}
    return frozenset(i for i in inputs - inner if graph.tensors[i].data is None)


def _writes(graph: Graph, step: Step) -> frozenset[int]:
    """What a step leaves behind."""
    return frozenset(Site(graph, step).op.outputs[1:]) | {Site(graph, step).output_index}


def _ready(
    reads: list[frozenset[int]], writes: list[frozenset[int]], done: frozenset[int], graph: Graph
) -> Iterator[int]:
    made = set(graph.inputs).union(*(writes[index] for index in done))
    produced = frozenset[int]().union(*writes)
    for index, needed in enumerate(reads):
        if index not in done and (needed & produced) <= made:
            yield index


def _alive(
    graph: Graph, reads: list[frozenset[int]], writes: list[frozenset[int]], done: frozenset[int]
) -> int:
    """Bytes of the tensors that exist after these steps and are still needed."""
    made = set(graph.inputs).union(*(writes[index] for index in done))
    waiting = set(graph.outputs).union(
        *(needed for index, needed in enumerate(reads) if index not in done)
    )
    return sum(graph.tensors[index].bytes for index in made & waiting)
