"""The cycle model ranks the engine's own schedules as what they do to the machine says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_network import int8_network

from autotiny.engine import generate, plain_schedule, schedule_for
from autotiny.simulator import measure
from autotiny.target import load_target


@pytest.mark.parametrize("name", ["stm32l4r5", "stm32h7a3"])
def test_fast_schedules_are_fast(name: str) -> None:
    graph = int8_network()
    target = load_target(name)
    plain = measure(generate(graph, plain_schedule(graph)), target)
    fast = measure(generate(graph, schedule_for(graph, "fastest", dsp=True)), target)
    small = measure(generate(graph, schedule_for(graph, "smallest", dsp=True)), target)
    assert fast.cycles < 0.9 * plain.cycles
    assert fast.cycles < small.cycles
    assert small.flash_bytes <= fast.flash_bytes


def test_the_same_firmware_waits_longer_for_slower_memory() -> None:
    graph = int8_network()
    sources = generate(graph, plain_schedule(graph))
    target = load_target("stm32l4r5")
    slow = replace(
        target,
        memories=tuple(
            replace(memory, wait_states=15) if memory.kind == "flash" else memory
            for memory in target.memories
        ),
    )
    quick, late = measure(sources, target), measure(sources, slow)
    assert quick.instructions == late.instructions
    assert quick.cycles < late.cycles


def test_dual_issue_pays() -> None:
    graph = int8_network()
    sources = generate(graph, schedule_for(graph, "fastest", dsp=True))
    figures = {name: measure(sources, load_target(name)) for name in ("stm32l4r5", "stm32h7a3")}
    rates = {name: cost.cycles / cost.instructions for name, cost in figures.items()}
    assert rates["stm32h7a3"] < 1.0 < rates["stm32l4r5"]
