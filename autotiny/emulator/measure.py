"""What a model costs on a target: linked, executed, and read off."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.emulator.layout import place
from autotiny.emulator.machine import Run, run
from autotiny.emulator.toolchain import Firmware, link
from autotiny.engine.sources import Sources
from autotiny.metrics import Cost, LayerCost
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
        firmware = link(sources, target, optimize=optimize, stack_bytes=1 << 24)
        ran = run(firmware, target, simulate_memory=simulate_memory)
        snug = link(sources, target, optimize=optimize, stack_bytes=ran.stack_bytes)
        if snug.fits:
            firmware, ran = snug, run(snug, target, simulate_memory=simulate_memory)
    return Measurement(firmware, ran, _cost(sources, target, firmware, ran))


def _cost(sources: Sources, target: Target, firmware: Firmware, ran: Run) -> Cost:
    sram_bytes = firmware.arena_bytes + firmware.static_bytes + ran.stack_bytes
    placed = place(target, firmware.arena_bytes, firmware.static_bytes, ran.stack_bytes)
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
        unplaced_bytes=0 if placed else max(1, sram_bytes - target.largest_sram_span[1]),
        cold_cycles=ran.cold_cycles,
        cores=sources.cores,
    )


def _milliseconds(cycles: int, target: Target) -> float:
    return 1000.0 * cycles / target.clock_hz
