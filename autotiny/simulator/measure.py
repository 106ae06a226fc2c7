"""What a model costs on a target: linked, executed, and read off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autotiny.engine.sources import Sources
from autotiny.firmware.layout import unplaced_bytes
from autotiny.firmware.linking import USUAL_STACK_BYTES, Firmware, link
from autotiny.metrics import STACK_MARGIN_BYTES, Cost, LayerCost, missing
from autotiny.simulator.machine import Run, run
from autotiny.target import Target


@dataclass(frozen=True)
class Tell:
    """What a measurement says while it lasts.

    Attributes:
        misfit: called before anything is executed with what the target lacks at least, if it does.
        stage: called now and then with what is executed, in words.
    """

    misfit: Callable[[tuple[str, ...]], None] = lambda lacking: None
    stage: Callable[[str], None] = lambda text: None


SILENT = Tell()


@dataclass(frozen=True)
class Measurement:
    """A firmware, what it did, and what it costs."""

    firmware: Firmware
    run: Run
    cost: Cost


def measure(
    sources: Sources, target: Target, *, optimize: str = "-O2", tell: Tell = SILENT
) -> Cost:
    """Link a model for a target, execute it twice, and fill in its cost.

    Raises:
        LinkError: the sources do not compile.
        FirmwareFault: the firmware faults or does not end.
    """
    return measure_firmware(sources, target, optimize=optimize, tell=tell).cost


def measure_firmware(
    sources: Sources,
    target: Target,
    *,
    optimize: str = "-O2",
    simulate_memory: bool = True,
    tell: Tell = SILENT,
) -> Measurement:
    """`measure`, with the firmware and its run kept."""

    def executed(firmware: Firmware) -> Run:
        return run(firmware, target, simulate_memory=simulate_memory, on_step=on_step)

    def on_step(step: int) -> None:
        if step < len(sources.steps):
            name = f"{step + 1} of {len(sources.steps)}, {sources.steps[step]}"
            tell.stage(f"executing step {name}")

    firmware = link(sources, target, optimize=optimize)
    lacking = missing(shortage(firmware, target))
    if lacking:
        tell.misfit(tuple(lacking))
    ran = executed(firmware)
    if ran.stack_overflowed:
        # what lay below the stack was overwritten: find out in wide memory how much it takes
        ran = executed(link(sources, target, optimize=optimize, stack_bytes=1 << 24))
    needed = ran.stack_bytes + STACK_MARGIN_BYTES
    if not firmware.fits or firmware.stack_room_bytes < max(needed, USUAL_STACK_BYTES):
        final = link(sources, target, optimize=optimize, stack_bytes=needed)
        if final.elf != firmware.elf:
            firmware, ran = final, executed(final)
    return Measurement(firmware, ran, _cost(sources, target, firmware, ran))


def shortage(firmware: Firmware, target: Target) -> dict[str, int]:
    """By how much a target is too small at least, before it is known what stack is needed."""
    sizes = (firmware.arena_bytes, firmware.near_bytes, STACK_MARGIN_BYTES, firmware.slow_bytes)
    return {
        "flash": firmware.flash_bytes - target.flash_bytes,
        "sram": unplaced_bytes(target, *sizes),
    }


def measured_firmware(sources: Sources, target: Target, cost: Cost) -> Firmware:
    """The very firmware that a cost was measured on."""
    return link(sources, target, stack_bytes=cost.stack_bytes + STACK_MARGIN_BYTES)


def _cost(sources: Sources, target: Target, firmware: Firmware, ran: Run) -> Cost:
    sram_bytes = firmware.arena_bytes + firmware.static_bytes + ran.stack_bytes
    needed = ran.stack_bytes + STACK_MARGIN_BYTES
    latency_ms = _milliseconds(ran.cycles, target)
    return Cost(
        flash_bytes=firmware.flash_bytes,
        weights_bytes=sources.weights_bytes,
        code_bytes=firmware.flash_bytes - sources.weights_bytes,
        sram_bytes=sram_bytes,
        arena_bytes=firmware.arena_bytes,
        static_bytes=firmware.static_bytes,
        stack_bytes=ran.stack_bytes,
        instructions=ran.instructions,
        cycles=ran.cycles,
        latency_ms=latency_ms,
        energy_estimated_mj=target.energy_mj(latency_ms),
        layers=tuple(
            LayerCost(
                name=name,
                instructions=layer.instructions,
                cycles=layer.cycles,
                latency_ms=_milliseconds(layer.cycles, target),
                weights_bytes=weights_bytes,
            )
            for name, layer, weights_bytes in zip(
                sources.steps, ran.layers, sources.step_weights_bytes, strict=bool(ran.layers)
            )
        ),
        unplaced_bytes=unplaced_bytes(
            target, firmware.arena_bytes, firmware.near_bytes, needed, firmware.slow_bytes
        ),
        cold_cycles=ran.cold_cycles,
        cores=sources.cores,
    )


def _milliseconds(cycles: int, target: Target) -> float:
    return 1000.0 * cycles / target.clock_hz
