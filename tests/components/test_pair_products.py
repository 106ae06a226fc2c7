import pytest

from autotiny.components import COMPONENTS, Component, Work, objection
from autotiny.engine.variants.pairs import Pairs
from autotiny.errors import NotApplicable
from autotiny.model import Model
from autotiny.schedule import Way


def kinds(*names: str) -> list[type[Component]]:
    return [COMPONENTS[name] for name in names]


def kernels(model: Model) -> list[Way]:
    return [step.kernel for step in model.program.schedule.steps]


def test_of_blocks_and_pairs_the_later_decides(residual: Model, work: Work) -> None:
    lowered = COMPONENTS["int8"]().apply(residual, work)
    pair, block = COMPONENTS["pair_products"](), COMPONENTS["block_gemm"]()
    paired, blocked = pair.apply(lowered, work), block.apply(lowered, work)
    paired_kinds = {
        paired.program.graph.ops[step.ops[0]].kind
        for step in paired.program.schedule.steps
        if step.kernel == Pairs()
    }
    assert paired_kinds == {"CONV_2D", "FULLY_CONNECTED"}
    assert kernels(pair.apply(blocked, work)) == kernels(paired)
    assert kernels(block.apply(paired, work)) == kernels(blocked)


def test_float_layers_are_not_paired(residual: Model, work: Work) -> None:
    with pytest.raises(NotApplicable, match="pair_products: no int8 layer"):
        COMPONENTS["pair_products"]().apply(COMPONENTS["float32"]().apply(residual, work), work)


def test_it_takes_nothing_back() -> None:
    for name in ("use_winograd", "expand_weights"):
        assert objection(kinds("int8", "pair_products", name)) is None
        assert "take the convolutions back" in str(objection(kinds("int8", name, "pair_products")))
        assert "as it was fused" in str(objection(kinds("int8", name, "fuse_operators")))
