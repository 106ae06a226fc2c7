import numpy as np
import pytest

from autotiny.components import COMPONENTS, Work
from autotiny.components.tflite.merge_duplicates import without_duplicates
from autotiny.errors import NotApplicable
from autotiny.graph import Graph, Op, Quantization, Tensor
from autotiny.model import Level, Model

SCALE = Quantization((0.5,), (0,))


def twice() -> Graph:
    """Three dense layers, two of them equal, and their sum."""
    weights = np.arange(8, dtype=np.int8).reshape(2, 4)
    tensors = (
        Tensor("in", (1, 4), "int8", SCALE),
        Tensor("w0", (2, 4), "int8", SCALE, weights),
        Tensor("w1", (2, 4), "int8", SCALE, weights.copy()),
        Tensor("w2", (2, 4), "int8", Quantization((0.25,), (0,)), weights),
        *(Tensor(f"y{i}", (1, 2), "int8", SCALE) for i in range(3)),
        Tensor("sum", (1, 2), "int8", SCALE),
        Tensor("out", (1, 2), "int8", SCALE),
    )
    ops = (
        Op("FULLY_CONNECTED", (0, 1, -1), (4,)),
        Op("FULLY_CONNECTED", (0, 2, -1), (5,)),
        Op("FULLY_CONNECTED", (0, 3, -1), (6,)),
        Op("ADD", (4, 5), (7,)),
        Op("ADD", (7, 6), (8,)),
    )
    return Graph(tensors, ops, (0,), (8,))


def test_the_component_merges_a_lowered_model_once(work: Work) -> None:
    merge = COMPONENTS["merge_duplicates"]()
    model = Model(Level.TFLITE, twice(), "twice")
    merged = merge.apply(model, work)
    assert (len(model.graph.ops), len(merged.graph.ops)) == (5, 4)
    with pytest.raises(NotApplicable, match="no two tensors are equal"):
        merge.apply(merged, work)


def test_equal_constants_and_equal_ops_become_one() -> None:
    merged = without_duplicates(twice())
    assert [op.kind for op in merged.ops] == ["FULLY_CONNECTED", "FULLY_CONNECTED", "ADD", "ADD"]
    assert merged.ops[2].inputs[0] == merged.ops[2].inputs[1]
    assert sum(t.data is not None for t in merged.tensors) == 2, "another scale is another constant"


def test_results_of_the_graph_stay_apart() -> None:
    tensors = tuple(Tensor(name, (1, 4), "int8", SCALE) for name in ("in", "a", "b"))
    ops = (Op("RELU", (0,), (1,)), Op("RELU", (0,), (2,)))
    graph = Graph(tensors, ops, (0,), (1, 2))
    assert without_duplicates(graph).outputs == (1, 2)
