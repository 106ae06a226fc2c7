"""What the engine generates computes on every core what it computes on the host."""

import numpy as np
import pytest
from small_network import float_network, generated, int8_network

from autotiny.firmware import build_host, link
from autotiny.firmware.ports import some_rows
from autotiny.simulator import measure, run
from autotiny.target import load_target


@pytest.mark.parametrize("name", ["stm32f746", "stm32l4r5", "stm32u575", "rp2040", "esp32c3"])
@pytest.mark.everyday(2)
def test_int8_equals_the_host_build(name: str) -> None:
    sources, target = generated(int8_network()), load_target(name)
    rows = np.random.default_rng(1).integers(-128, 128, (6, 12, 12, 3), dtype=np.int8)
    on_host = build_host(sources).predict(rows)
    assert len(np.unique(on_host, axis=0)) == 6
    ran = run(link(sources, target), target, rows)
    np.testing.assert_array_equal(ran.outputs, on_host)
    assert len(ran.layers) == len(sources.steps)


@pytest.mark.parametrize("name", ["stm32f746", "stm32l4r5", "rp2040", "esp32c3"])
def test_float_is_close_to_the_host_build(name: str) -> None:
    # cores differ in whether a·b + c is rounded once or twice
    sources, target = generated(float_network()), load_target(name)
    rows = np.concatenate([some_rows(sources.inputs)[0]] * 2)
    rows[1] *= -2
    ran = run(link(sources, target), target, rows)
    np.testing.assert_allclose(ran.outputs, build_host(sources).predict(rows), rtol=1e-5, atol=1e-5)


def test_the_cost_names_the_layers() -> None:
    sources = generated(int8_network())
    cost = measure(sources, load_target("stm32f746"))
    assert [layer.name for layer in cost.layers] == list(sources.steps)
    constants = [
        symbol.bytes
        for name, symbol in link(sources, load_target("stm32f746")).symbols.items()
        if name.startswith("model_w")
    ]
    assert cost.weights_bytes == sources.weights_bytes == sum(constants)
    assert 0 < cost.code_bytes < 8000
    assert cost.arena_bytes == sources.arena_bytes
