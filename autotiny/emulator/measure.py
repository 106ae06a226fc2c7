"""What a model costs on a target: linked, executed, and read off."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.emulator.layout import unplaced_bytes
from autotiny.emulator.machine import Run, run
from autotiny.emulator.toolchain import USUAL_STACK_BYTES, Firmware, link
from autotiny.engine.sources import Sources
from autotiny.metrics import STACK_MARGIN_BYTES, Cost, LayerCost
from autotiny.target import Target


@dataclass(frozen=True)
class Measurement:
    """A firmware, what it did, and what it costs."""

    firmware: Firmware
    run: Run
    cost: Cost


def measure(sources: Sources, target: Target, *, optimize: str = "-O2") -> Cost:
    """Link a model for a target, execute it twice, and fill in its cost.

    Raises:
        LinkError: the sources do not compile.
        FirmwareFault: the firmware faults or does not end.
    """
    return measure_firmware(sources, target, optimize=optimize).cost


def measure_firmware(
    sources: Sources, target: Target, *, optimize: str = "-O2", simulate_memory: bool = True
) -> Measurement:
    """`measure`, with the firmware and its run kept."""
    firmware = link(sources, target, optimize=optimize)
    ran = run(firmware, target, simulate_memory=simulate_memory)
    if ran.stack_overflowed:
        # what lay below the stack was overwritten: find out in wide memory how much it takes
        wide = link(sources, target, optimize=optimize, stack_bytes=1 << 24)
        ran = run(wide, target, simulate_memory=simulate_memory)
    needed = ran.stack_bytes + STACK_MARGIN_BYTES
    if not firmware.fits or firmware.stack_room_bytes < max(needed, USUAL_STACK_BYTES):
        final = link(sources, target, optimize=optimize, stack_bytes=needed)
        if final.elf != firmware.elf:
            firmware, ran = final, run(final, target, simulate_memory=simulate_memory)
    return Measurement(firmware, ran, _cost(sources, target, firmware, ran))


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
        unplaced_bytes=unplaced_bytes(target, firmware.arena_bytes, firmware.static_bytes, needed),
        cold_cycles=ran.cold_cycles,
        cores=sources.cores,
    )


def _milliseconds(cycles: int, target: Target) -> float:
    return 1000.0 * cycles / target.clock_hz
