"""How many bytes of the arena a step needs, whatever stands elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotiny.engine.arena import Homes, homes, tensor_buffers
from autotiny.engine.kernel import Kernel, Operand, Overlap, Scratch
from autotiny.engine.memory import Buffer
from autotiny.graph import Graph


class Living:
    """The tensors of a program that are alive at each of its steps.

    They hang on the ops that a step computes and on the order of the steps, not on the kernels.

    Args:
        graph: the network.
        kernels: of its steps, in order.
    """

    def __init__(self, graph: Graph, kernels: Sequence[Kernel]) -> None:
        self._graph = graph
        self._home: Homes = homes(kernels)
        self._buffers: Mapping[int, Buffer] = tensor_buffers(graph, kernels, range(len(kernels)))
        self._bytes = [
            sum(buffer.bytes_at(step) for buffer in self._buffers.values())
            for step in range(len(kernels))
        ]

    def needed_bytes(self, step: int, kernel: Kernel) -> int:
        """What is alive at a step with its scratch, its output laid over inputs as far as it may.

        No plan takes less, and few take more than the most of all steps.
        """
        scratch = sum(one.what.bytes for one in kernel.operands if isinstance(one.what, Scratch))
        operands = {one.name: one for one in kernel.operands}
        saved: dict[str, int] = {}
        for (read, written), overlap in kernel.overlaps.items():
            x, y = operands[read], operands[written]
            if isinstance(x.what, int) and isinstance(y.what, int):
                bytes_ = self._saved(step, x, y, overlap)
                saved[written] = max(saved.get(written, 0), bytes_)
        return self._bytes[step] + scratch - sum(saved.values())

    def _saved(self, step: int, read: Operand, written: Operand, overlap: Overlap) -> int:
        """Bytes of an input that its last reader may overwrite."""
        x = self._part_bytes(step, read, ends=True)
        y = self._part_bytes(step, written, ends=False)
        return x + y - together_bytes(x, y, overlap) if x and y else 0

    def _part_bytes(self, step: int, operand: Operand, *, ends: bool) -> int:
        """Bytes of a tensor that are needed for the last or the first time at a step."""
        assert isinstance(operand.what, int)
        owner, start = self._home.get(operand.what, (operand.what, 0))
        end = start + self._graph.tensors[operand.what].bytes
        return sum(
            part.end - part.start
            for part in self._buffers[owner].parts
            if start <= part.start and part.end <= end
            if (part.last if ends else part.first) == step
        )


def together_bytes(x: int, y: int, overlap: Overlap) -> int:
    """What a buffer of x bytes and one of y bytes that may overlap it take at least."""
    sizes = [x + y]
    if overlap.until is not None:
        shift = min(overlap.until, 0)
        sizes.append(max(x - shift, y))
    if overlap.since is not None:
        sizes.append(max(x, max(overlap.since, 0) + y))
    if overlap.same:
        sizes.append(max(x, y))
    return min(sizes)
