"""How a program around a model calls it: by names alone, or with the one instance that it has."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.engine.sources import Sources


@dataclass(frozen=True)
class Calls:
    """What a program says.

    Attributes:
        instance: the definition of the memory, behind the model's header; none where that has it.
        arena: the first byte of it.
        run: runs the model.
        reset: sets the model back, if it keeps anything from one inference to the next.
    """

    instance: str
    arena: str
    run: str
    reset: str


def calls_of(sources: Sources) -> Calls:
    """The calls of a model.

    A caller's instance has the name that the arena has in a program of static state: by it linker
    script and emulator find either.
    """
    name, memory = sources.name, f"{sources.name}_arena"
    keeps = any(f"void {name}_reset(" in text for text in sources.files.values())
    by_caller = sources.state == "caller"
    argument = f"&{memory}" if by_caller else ""
    return Calls(
        instance=f"{name}_t {memory};" if by_caller else "",
        arena=f"{memory}.arena.bytes" if by_caller else memory,
        run=f"{name}_run({argument})",
        reset=f"{name}_reset({argument})" if keeps else "((void)0)",
    )
