import numpy as np
import pytest
from tiny_model import INPUTS, PROGRAM, expected, tiny_sources

from autotiny.errors import InvalidData
from autotiny.firmware import link
from autotiny.simulator import run
from autotiny.target import load_target

CORES = ["stm32f746", "stm32l4r5", "stm32f103", "stm32u575", "rp2040", "esp32c3"]
ROWS = np.random.default_rng(1).integers(-128, 128, (5, INPUTS), dtype=np.int8)


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("simulate_memory", [False, True])
def test_every_core_computes_the_same(name: str, simulate_memory: bool) -> None:
    target = load_target(name)
    ran = run(link(tiny_sources(), target), target, ROWS, simulate_memory=simulate_memory)
    np.testing.assert_array_equal(ran.outputs, expected(ROWS))
    assert 800 < ran.instructions < 3000
    assert ran.cycles <= ran.cold_cycles + 20  # a pipeline that is empty starts a little sooner
    assert 0 < ran.stack_bytes < 300
    assert not ran.stack_overflowed


def test_layers_are_the_calls_of_the_run_function() -> None:
    target = load_target("stm32l4r5")
    ran = run(link(tiny_sources(), target), target)
    assert len(ran.layers) == 2
    assert sum(layer.instructions for layer in ran.layers) == ran.instructions
    assert ran.layers[0].instructions > 700 > ran.layers[1].instructions > 20


def test_the_same_figures_every_time() -> None:
    target = load_target("stm32f746")
    first, second = (run(link(tiny_sources(), target), target) for _ in range(2))
    assert (first.instructions, first.cycles, first.layers) == (
        second.instructions,
        second.cycles,
        second.layers,
    )


def test_the_stack_mark_follows_the_stack() -> None:
    deep = """
  volatile uint8_t frame[3000];
  for (int k = 0; k < 3000; k++) frame[k] = (uint8_t)k;
  for (int k = 0; k < 10; k++) {"""
    program = PROGRAM.replace("\n  for (int k = 0; k < 10; k++) {", deep, 1)
    target = load_target("rp2040")
    plain = run(link(tiny_sources(), target), target)
    ran = run(link(tiny_sources(program), target), target, ROWS)
    assert 2900 < ran.stack_bytes - plain.stack_bytes < 3200
    np.testing.assert_array_equal(ran.outputs, expected(ROWS))


def test_inputs_that_do_not_fit_the_port() -> None:
    target = load_target("rp2040")
    firmware = link(tiny_sources(), target)
    with pytest.raises(InvalidData, match="int8 rows of shape"):
        run(firmware, target, ROWS.astype(np.float32))
    with pytest.raises(InvalidData, match="2 input arrays for a model with 1"):
        run(firmware, target, [ROWS, ROWS])


def test_conditional_stores_are_executed_right_while_memory_is_simulated() -> None:
    # the compiler makes IT blocks of this loop, which trip the emulator where a hook sees the store
    fill = """
  extern uint32_t link_arena_start[], link_arena_end[];
  for (uint32_t *w = link_arena_start + 1000; w < link_arena_end; w++) *w = 0;
"""
    program = PROGRAM.replace("int model_run(void) {", "int model_run(void) {" + fill)
    target = load_target("stm32f746")
    firmware = link(tiny_sources(program, arena_bytes=100_000), target)
    plain, simulated = (
        run(firmware, target, ROWS, simulate_memory=simulate) for simulate in (False, True)
    )
    np.testing.assert_array_equal(simulated.outputs, expected(ROWS))
    assert simulated.instructions == plain.instructions > 24_000
