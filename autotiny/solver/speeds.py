"""Data memories of two speeds: which weights lie in the fast one is part of the choice.

Then an option with weights in SRAM is measured in the fast memory, and if it is faster there than
all with weights in flash, once more with its weights in the slow one. The stack lies in the fast
memory, and the arena if it has room there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotiny.engine.arena import lay_out
from autotiny.firmware.layout import Layout, roomy, waits
from autotiny.firmware.linking import USUAL_STACK_BYTES
from autotiny.graph import Graph
from autotiny.solver.measuring import has_caches, usual
from autotiny.solver.options import Chain
from autotiny.target import Memory, Target

BORDERS_BYTES = 64
"""Between arena, variables and stack, at most."""


@dataclass(frozen=True)
class Speeds:
    """The data memories of a target, for one network.

    Attributes:
        fast: the only one that is as fast.
        slow: the slowest one.
        holds_arena: whether the arena lies in the fast one.
        is_scarce: whether the fast one has no room for all weights of the network.
    """

    fast: Memory
    slow: Memory
    holds_arena: bool
    is_scarce: bool

    @property
    def room_bytes(self) -> int:
        """What arena and variables may take of the fast one, beside a usual stack."""
        return _room_bytes(self.fast)

    def layout(self, target: Target) -> Layout:
        """Memories to measure options on, in which everything has room where it belongs."""
        fast, slow = roomy(target, self.fast, self.slow)
        arena = fast if self.holds_arena else slow
        return Layout(target.whole_flash, arena, static=fast, slow=slow, fits=False)


def speeds_of(graph: Graph, segments: Sequence[Sequence[Chain]], target: Target) -> Speeds | None:
    """The speeds of a target's data memories; None where they are alike.

    Nor are they told apart where several are the fastest, where that one has no room for more than
    a stack, or where caches stand before them: there what a layer takes of a memory hangs on the
    layers before it.

    Args:
        graph: with constants folded.
        segments: its chains of places.
        target: what executes it.
    """
    fastest = min(map(waits, target.data_memories))
    fast = [memory for memory in target.data_memories if waits(memory) == fastest]
    slow = max(target.data_memories, key=waits)
    room = _room_bytes(fast[0])
    if has_caches(target) or len(fast) > 1 or slow in fast or room < 0:
        return None
    kernels = [usual(place).kernel for chains in segments for place in chains[0]]
    arena = lay_out(graph, kernels).bytes
    holds_arena = arena <= room
    static = sum(
        max(sum(max(one.static_bytes for one in place) for place in chain) for chain in chains)
        for chains in segments
    )
    return Speeds(fast[0], slow, holds_arena, static + (arena if holds_arena else 0) > room)


def _room_bytes(fast: Memory) -> int:
    return fast.size_bytes - USUAL_STACK_BYTES - BORDERS_BYTES
