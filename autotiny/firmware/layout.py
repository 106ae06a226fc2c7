"""Where a firmware's variables lie: the arena in the fastest memory that it fits in.

Arrays that may lie in a slower memory do so wherever the target has one with room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from string import Template

from autotiny.target import AppImage, Memory, Target

C_FILES = Path(__file__).parent / "c"

_ENLARGED_BYTES = 1 << 26
"""Room for a firmware whose target has too little, so that the overshoot can be measured."""

_FREE_ORIGIN = 0x80000000
"""Where none of the cores has memory or peripherals of its own."""


@dataclass(frozen=True)
class Layout:
    """The memories that a firmware is linked against.

    Attributes:
        flash: holds vectors, code, constants and the initial values of variables.
        arena: holds the model's working memory.
        static: holds .data and .bss at its start and the stack at its end; may be `arena` too.
        slow: holds arrays that may lie in a slower memory; may be one of those.
        fits: whether these are memories of the target, not enlarged ones.
    """

    flash: Memory
    arena: Memory
    static: Memory
    slow: Memory
    fits: bool = True

    def on(self, target: Target) -> Target:
        """The target with the memories of this layout, where they differ from its own."""
        if self.fits:
            return target
        ours = {memory.origin: memory for memory in self._memories}
        others = [
            memory
            for memory in target.memories
            if not any(memory.origin < one.end and one.origin < memory.end for one in ours.values())
        ]
        return replace(target, memories=(*ours.values(), *others), boot_bytes=0)

    @property
    def _memories(self) -> tuple[Memory, ...]:
        return self.flash, self.arena, self.static, self.slow

    def linker_script(
        self, title: str, arena_symbol: str, boot_bytes: int = 0, image: AppImage | None = None
    ) -> str:
        """The text of link.ld.

        Args:
            title: of the target.
            arena_symbol: the name of the arena.
            boot_bytes: before the flash, which the boot ROM reads.
            image: how a boot loader takes the program; None where it runs as it lies in flash.
        """
        regions = {"FLASH": (self.flash, "rx")}
        if boot_bytes:
            origin = self.flash.origin - boot_bytes
            regions["BOOT"] = (replace(self.flash, origin=origin, size_bytes=boot_bytes), "rx")
        if image:
            origin, size = image.data_bus.start, len(image.data_bus)
            regions["DATA_BUS"] = (replace(self.flash, origin=origin, size_bytes=size), "r")
        for memory in (self.static, self.arena, self.slow):
            regions.setdefault(_region(memory), (memory, "rwx"))
        return Template((C_FILES / "link.ld").read_text(encoding="utf-8")).substitute(
            title=title,
            memories="\n".join(
                f"  {name} ({access}) : "
                f"ORIGIN = {memory.origin:#010x}, LENGTH = {memory.size_bytes:#x}"
                for name, (memory, access) in regions.items()
            ),
            boot="  .boot : { KEEP(*(.boot)) } > BOOT\n" if boot_bytes else "",
            stored=(C_FILES / ("stored_app.ld" if image else "stored.ld")).read_text("utf-8"),
            where="ADDR" if image else "LOADADDR",
            static_memory=_region(self.static),
            arena_memory=_region(self.arena),
            slow_memory=_region(self.slow),
            arena=arena_symbol,
            stack_top=f"{self.static.end & ~15:#010x}",
        )


def place(
    target: Target, arena_bytes: int, static_bytes: int, stack_bytes: int, slow_bytes: int = 0
) -> Layout | None:
    """The layout with the arena in the fastest memory that leaves room for the rest, or None.

    Adjacent memories count as one where none is large enough alone.

    Args:
        target: whose memories.
        arena_bytes: of the arena.
        static_bytes: of the other variables, which lie beside the stack.
        stack_bytes: of the stack.
        slow_bytes: of variables that lie in a slower memory; beside the others if none has room.
    """
    arena_bytes, static_bytes, slow_bytes = (
        _aligned(arena_bytes),
        _aligned(static_bytes) + _aligned(stack_bytes),
        _aligned(slow_bytes),
    )
    if slow_bytes:
        for arena, static, slow in product(_by_speed(target), repeat=3):
            taken = ((arena, arena_bytes), (static, static_bytes), (slow, slow_bytes))
            if _slowness(slow) > _slowness(static) and _fit(taken):
                return Layout(target.whole_flash, arena, static, slow)
    for arena, static in product(_by_speed(target), repeat=2):
        if _fit(((arena, arena_bytes), (static, static_bytes + slow_bytes))):
            return Layout(target.whole_flash, arena, static, static)
    return None


def _fit(taken: Sequence[tuple[Memory, int]]) -> bool:
    """Whether memories have room for so many bytes each, and are the same ones or lie apart."""
    needed: dict[Memory, int] = {}
    for memory, size in taken:
        needed[memory] = needed.get(memory, 0) + size
    apart = all(
        one.end <= other.origin or other.end <= one.origin for one, other in combinations(needed, 2)
    )
    return apart and all(size <= _room(memory) for memory, size in needed.items())


def unplaced_bytes(
    target: Target, arena_bytes: int, static_bytes: int, stack_bytes: int, slow_bytes: int = 0
) -> int:
    """By how many bytes the longest run of data memories is too short; 0 where all has a place."""
    if place(target, arena_bytes, static_bytes, stack_bytes, slow_bytes):
        return 0
    needed = sum(map(_aligned, (arena_bytes, static_bytes, stack_bytes, slow_bytes)))
    return max(1, needed - target.largest_sram_span[1])


def enlarge(target: Target, needed_bytes: int) -> Layout:
    """A layout on more memory than the target has, in its largest data memory and its flash."""
    origin, _ = target.largest_sram_span
    ram = next(memory for memory in target.data_memories if memory.origin == origin)
    flash = target.whole_flash
    wide = _enlarged(ram, flash, needed_bytes + _ENLARGED_BYTES)
    return Layout(_enlarged(flash, ram, _ENLARGED_BYTES), wide, wide, wide, fits=False)


def roomy(target: Target, fast: Memory, slow: Memory) -> tuple[Memory, Memory]:
    """Two such memories, each with room for all variables of any program that fits the target."""
    size = target.flash_bytes + target.sram_bytes  # initial values are stored in flash
    return (
        replace(fast, origin=_FREE_ORIGIN, size_bytes=size),
        replace(slow, origin=_FREE_ORIGIN + _ENLARGED_BYTES, size_bytes=size),
    )


def _enlarged(memory: Memory, other: Memory, size_bytes: int) -> Memory:
    """The memory, grown; moved to where nothing else lies, if it would grow into the other one."""
    size = max(size_bytes, memory.size_bytes)
    if memory.origin < other.origin < memory.origin + size:
        return replace(memory, origin=_FREE_ORIGIN, size_bytes=size)
    return replace(memory, size_bytes=size)


def _by_speed(target: Target) -> list[Memory]:
    """Data memories, fastest first, then runs of adjacent ones, short runs first."""
    runs = sorted(_runs(target), key=lambda run: (len(run), max(map(_slowness, run)), _size(run)))
    return sorted(target.data_memories, key=_slowness) + [
        replace(
            max(run, key=_slowness),
            name="_".join(one.name for one in run),
            origin=run[0].origin,
            size_bytes=_size(run),
        )
        for run in runs
    ]


def _runs(target: Target) -> Iterator[tuple[Memory, ...]]:
    """All runs of two and more data memories without a gap between them."""
    memories = sorted(target.data_memories, key=lambda memory: memory.origin)
    for first in range(len(memories)):
        for last in range(first + 1, len(memories)):
            if memories[last - 1].end != memories[last].origin:
                break
            yield tuple(memories[first : last + 1])


def waits(memory: Memory) -> int:
    """Cycles that the first load of a run waits for a memory."""
    return memory.wait_states * memory.clock_divider + memory.first_load_cycles


def _slowness(memory: Memory) -> tuple[bool, int, int]:
    return memory.kind != "tcm", waits(memory), -memory.bus_bytes


def _size(run: tuple[Memory, ...]) -> int:
    return sum(one.size_bytes for one in run)


def _region(memory: Memory) -> str:
    return memory.name.upper()


def _room(memory: Memory) -> int:
    """Bytes between the first and the last border of 16 bytes."""
    return max(0, (memory.end & ~15) - _aligned(memory.origin))


def _aligned(size: int) -> int:
    return (size + 15) & ~15
