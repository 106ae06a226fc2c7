import inspect

import numpy as np
import pytest
from build import single, tensor
from cases import FAMILIES

from autotiny.engine import check_supported, plain_schedule, shapes
from autotiny.engine.folding import fold
from autotiny.engine.kernel import Emitter, Site
from autotiny.engine.ops import EMITTERS
from autotiny.errors import UnsupportedOp

CHECKS = {
    function
    for _, function in inspect.getmembers(shapes, inspect.isfunction)
    if function.__module__ == shapes.__name__ and not function.__name__.startswith("_")
}


@pytest.mark.parametrize("key", EMITTERS)
def test_every_op_says_what_is_checked_of_it(key: tuple[str, str]) -> None:
    emitter = EMITTERS[key]
    assert isinstance(emitter, Emitter)
    assert emitter.check in CHECKS - {shapes.check_results}


def test_an_op_is_checked_alike_in_every_arithmetic() -> None:
    checks: dict[str, set[object]] = {}
    for (kind, _), emitter in EMITTERS.items():
        checks.setdefault(kind, set()).add(emitter.check)
    assert {kind for kind, found in checks.items() if len(found) > 1} == set()


def test_what_names_no_check_refuses_shapes_by_itself() -> None:
    """An op that an emitter takes with a result of any size would write past its buffer."""
    unchecked = {kind for (kind, _), each in EMITTERS.items() if each.check is shapes.no_check}
    assert "ADD" in unchecked
    assert not unchecked & {"CONV_2D", "RELU", "SOFTMAX", "RESHAPE"}
    four = tensor((1, 4), "float32")
    graph = single("ADD", [four, four], tensor((1, 5), "float32"))
    with pytest.raises(UnsupportedOp, match="do not broadcast"):
        check_supported(graph)


def test_every_entry_has_cases() -> None:
    """What no generated case reaches, nobody compares with anything."""
    reached = set()
    for name, make in FAMILIES.items():
        for k in range(8):
            graph = fold(make(np.random.default_rng([0, k, *name.encode()])).graph)
            sites = [Site(graph, step) for step in plain_schedule(graph).steps]
            reached |= {(site.op.kind, site.arithmetic) for site in sites}
    assert set(EMITTERS) - reached == set()
