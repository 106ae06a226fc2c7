import pytest

from autotiny.components import COMPONENTS, Component, Work, objection
from autotiny.errors import NotApplicable
from autotiny.graph import Step
from autotiny.model import Model


def kinds(*names: str) -> list[type[Component]]:
    return [COMPONENTS[name] for name in names]


def blocks(model: Model) -> list[tuple[int, int]]:
    found: tuple[Step, ...] = model.program.schedule.steps
    return [(step.rows, step.columns) for step in found]


def test_of_blocks_and_pairs_the_later_decides(residual: Model, work: Work) -> None:
    lowered = COMPONENTS["int8"]().apply(residual, work)
    pair, block = COMPONENTS["pair_products"](), COMPONENTS["block_gemm"]()
    paired, blocked = pair.apply(lowered, work), block.apply(lowered, work)
    assert (2, 1) in blocks(paired)
    assert (1, 2) in blocks(paired)
    assert blocks(pair.apply(blocked, work)) == blocks(paired)
    assert blocks(block.apply(paired, work)) == blocks(blocked)


def test_float_layers_are_not_paired(residual: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="pair_products: no int8 layer"):
        COMPONENTS["pair_products"]().apply(COMPONENTS["float32"]().apply(residual, work), work)


def test_it_takes_nothing_back() -> None:
    for name in ("use_winograd", "expand_weights"):
        assert objection(kinds("int8", "pair_products", name)) is None
        assert "take the convolutions back" in str(objection(kinds("int8", name, "pair_products")))
        assert "as it was fused" in str(objection(kinds("int8", name, "fuse_operators")))
