"""The same results in a smaller arena."""

import pytest

from autotiny.components import Work
from autotiny.components.program._scheduling import as_program
from autotiny.components.program.execute_in_place import ExecuteInPlace
from autotiny.components.tflite.int8 import Int8
from autotiny.dataset import synthetic
from autotiny.errors import NotApplicable
from autotiny.evaluate import sources_of
from autotiny.model import load_model


def test_plain_layers_of_a_chain_take_one_tensor_instead_of_two() -> None:
    network = load_model("ds_cnn")
    work = Work(synthetic(network), rehearse=True)
    plain = as_program(Int8().apply(network, work))
    changed = ExecuteInPlace().apply(plain, work)
    assert sources_of(plain).arena_bytes == 2 * 25 * 5 * 64
    assert sources_of(changed).arena_bytes == 25 * 5 * 64 + 3 * 5 * 64  # and three rows
    with pytest.raises(NotApplicable, match=r"^execute_in_place: the arena of \d+ bytes stays"):
        ExecuteInPlace().apply(changed, work)
