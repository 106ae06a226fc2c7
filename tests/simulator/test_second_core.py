"""Layers in halves on two cores: the same values, sooner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from build import tensor
from images import Network

from autotiny.engine import fuse, generate, plain_schedule, with_blocks, with_pairs
from autotiny.engine.arena import beside, lay_out
from autotiny.engine.generate import kernels_of
from autotiny.engine.kernel import Scratch
from autotiny.engine.stripes import with_patches, with_two_cores
from autotiny.errors import FirmwareFault, NotApplicable
from autotiny.firmware import build_host, link
from autotiny.firmware.ports import some_rows
from autotiny.graph import Array, Graph, Op
from autotiny.metrics import missing, overshoot
from autotiny.schedule import Schedule
from autotiny.simulator import machine, measure, measure_firmware, profile, run
from autotiny.target import Correction, load_target


def network() -> Graph:
    """Every kind of layer that is divided, odd sizes, and a residual."""
    net = Network(19, 11, 3)
    x = net.conv(0, 16, 3, 1)
    y = net.conv(x, 0, 3, 1)
    y = net.conv(net.sum(x, net.conv(y, 16, 1, 1)), 12, 3, 1)
    y = net.conv(net.pool(y), 16, 3, 2)
    flat = net.add(replace(net.tensors[y], shape=(1, net.tensors[y].size)))
    net.ops.append(Op("RESHAPE", (y,), (flat,)))
    weights = net.dice.integers(-90, 90, (21, net.tensors[flat].size))
    w = net.add(tensor(weights.shape, "int8", 0.01, data=weights))
    z = net.add(tensor((1, 21), "int8", 9.0, 2))
    net.ops.append(Op("FULLY_CONNECTED", (flat, w, -1), (z,)))
    return net.graph(z)


def computed(graph: Graph, schedule: Schedule, x: Array) -> Array:
    return build_host(generate(graph, schedule)).predict(x)


@pytest.mark.parametrize("core", ["rp2040", "rp2350"])
@pytest.mark.everyday(1)
def test_two_cores_compute_the_same_sooner(core: str) -> None:
    graph, target = network(), load_target(core)
    fast = with_blocks if target.dsp else with_pairs
    one = fast(graph, fuse(graph, plain_schedule(graph)))
    new, two = with_two_cores(graph, one)
    sources = generate(new, two)
    found = measure_firmware(sources, target)
    (x,) = some_rows(sources.inputs)
    np.testing.assert_array_equal(found.run.outputs, computed(graph, plain_schedule(graph), x))
    np.testing.assert_array_equal(found.run.outputs, computed(new, two, x))
    before, after = measure(generate(graph, one), target), found.cost
    assert before.cycles / 2 < after.cycles < 0.75 * before.cycles
    assert sum(layer.cycles for layer in after.layers) == pytest.approx(after.cycles, rel=0.01)
    assert after.static_bytes >= before.static_bytes + 1024  # the second stack
    assert missing(overshoot(after, target)) == []


def test_a_correction_multiplies_what_two_cores_take_at_once() -> None:
    target = load_target("rp2040")
    sources = generate(*with_two_cores(network(), plain_schedule(network())))
    plain = measure(sources, target)
    found = measure(sources, replace(target, correction=Correction(1.5, 1)))
    assert found.cycles == pytest.approx(1.5 * plain.cycles, rel=1e-4)
    assert found.cold_cycles == pytest.approx(1.5 * plain.cold_cycles, rel=1e-4)


@pytest.mark.parametrize("long_run", [0, 1 << 40])
@pytest.mark.everyday(1)
def test_a_profile_is_of_the_inference_that_a_run_reports(
    long_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, target = network(), load_target("rp2040")
    firmware = link(generate(*with_two_cores(graph, plain_schedule(graph))), target)
    monkeypatch.setattr(machine, "_LONG_RUN", long_run)
    ran = run(firmware, target)
    assert (ran.cycles == ran.cold_cycles) == (long_run == 0)
    assert profile(firmware, target).cycles == ran.cycles


@pytest.mark.parametrize("core", ["rp2040", "rp2350"])
@pytest.mark.everyday(1)
def test_a_profile_counts_what_both_cores_do_at_once_once(core: str) -> None:
    graph, target = network(), load_target(core)
    firmware = link(generate(*with_two_cores(graph, plain_schedule(graph))), target)
    profiled, ran = profile(firmware, target), run(firmware, target)
    assert {"autotiny_second_core", "at_start_task"} <= {one.name for one in profiled.functions}
    assert profiled.cycles == ran.cycles
    assert profiled.instructions == ran.instructions
    assert all(one.cycles >= 0 for one in profiled.functions)
    assert sum(one.cycles for one in profiled.functions) == pytest.approx(ran.cycles, abs=40)
    for step, layer in zip(profiled.steps, ran.layers, strict=True):
        assert step.cycles == pytest.approx(layer.cycles, abs=80)


@pytest.mark.slow
def test_one_core_computes_both_halves_and_misses_a_core() -> None:
    graph = network()
    new, two = with_two_cores(graph, plain_schedule(graph))
    target = load_target("stm32l4r5")
    taken = measure(generate(new, two), target)
    assert taken.cycles > measure(generate(graph, plain_schedule(graph)), target).cycles
    assert missing(overshoot(taken, target)) == ["1 core"]


def test_halves_that_run_at_once_share_no_memory() -> None:
    graph = network()
    new, two = with_two_cores(graph, with_blocks(graph, plain_schedule(graph)))
    kernels, cores = kernels_of(new, two), [step.core for step in two.steps]
    arena = lay_out(new, kernels, cores)
    pairs = beside(kernels, cores)
    assert len(pairs) == 6
    for step, partner in pairs.items():
        touched = []
        for k in (step, partner):
            for operand in kernels[k].operands:
                if isinstance(operand.what, (int, Scratch)):
                    size = (new.tensors[operand.what] if isinstance(operand.what, int)
                            else operand.what).bytes  # fmt: skip
                    at, writes = arena.offset(k, operand), not operand.c_type.startswith("const ")
                    touched.append((k, at, at + size, writes))
        for k, start, end, writes in touched:
            for other, begin, stop, _ in touched:
                assert k == other or not writes or end <= begin or stop <= start


def test_patches_and_fused_layers_are_divided_too() -> None:
    net = Network(23, 14, 3)
    graph = net.graph(net.pool(net.conv(net.conv(0, 16, 3, 1), 16, 3, 1)))
    plain = plain_schedule(graph)
    (x,) = some_rows(generate(graph, plain).inputs)
    patched = with_patches(graph, plain, patches=2)
    fused = fuse(*patched)
    assert len(fused.steps) < len(patched[1].steps)
    new, two = with_two_cores(patched[0], with_blocks(patched[0], fused))
    assert sum(step.core for step in two.steps) == 4
    np.testing.assert_array_equal(computed(new, two, x), computed(graph, plain, x))


def test_small_layers_stay_whole() -> None:
    net = Network(6, 6, 2)
    graph = net.graph(net.conv(0, 4, 1, 1))
    with pytest.raises(NotApplicable, match="multiplications"):
        with_two_cores(graph, plain_schedule(graph))
    divided = with_two_cores(network(), plain_schedule(network()))
    with pytest.raises(NotApplicable, match="divided already"):
        with_two_cores(*divided)


def test_a_half_that_needs_the_other_is_refused() -> None:
    net = Network(8, 8, 2)
    graph = net.graph(net.conv(net.conv(0, 4, 3, 1), 4, 3, 1))
    first, second = plain_schedule(graph).steps
    with pytest.raises(ValueError, match="whose result it needs"):
        generate(graph, Schedule((first, replace(second, core=1))))


@pytest.mark.slow
def test_a_full_second_stack_is_a_fault() -> None:
    graph, target = network(), load_target("rp2040")
    new, two = with_two_cores(graph, plain_schedule(graph))
    sources = generate(new, two)
    text = sources.files["model.c"].replace(
        "static void model_second_0(void) {",
        "static void model_second_0(void) {\n  volatile uint8_t room[1100];\n"
        "  for (int i = 0; i < 1100; i++) room[i] = 1;",
    )
    greedy = replace(sources, files={**sources.files, "model.c": text})
    with pytest.raises(FirmwareFault, match="autotiny_second_stack"):
        run(link(greedy, target), target)
