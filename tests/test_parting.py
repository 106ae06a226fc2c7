import math
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset, synthetic
from autotiny.errors import InvalidData
from autotiny.evaluate import LayerError, Parting, first_parting, growth_db, parting, told
from autotiny.evaluate.matching import match
from autotiny.graph import Array, DType, Graph, Op, Quantization, Tensor
from autotiny.model import Model, keras, keras_model, load_model, successor

MODULE = import_module("autotiny.evaluate.parting")
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

SLOW = pytest.mark.slow


@pytest.fixture(scope="session")
def lstm() -> Model:
    """Two LSTMs, one on the steps of the other, not trained."""
    k = keras()
    k.utils.set_random_seed(0)
    layers = k.layers
    steps = layers.InputLayer(input_shape=(8, 6))
    recurrent = (layers.LSTM(12, return_sequences=True), layers.LSTM(5))
    return keras_model(k.Sequential([steps, *recurrent, layers.Dense(3)]))


def lowered(model: Model, name: str, data: Dataset) -> Model:
    return COMPONENTS[name]().apply(model, Work(data))


def changed(model: Model, *tensors: tuple[int, Tensor]) -> Model:
    """A lowered model with other tensors."""
    all_tensors = list(model.graph.tensors)
    for index, tensor in tensors:
        all_tensors[index] = tensor
    return successor(model, replace(model.graph, tensors=tuple(all_tensors)))


def scaled(tensor: Tensor, factor: float, most: int | None = None) -> Tensor:
    """A tensor whose numbers mean more, those of all channels or of so many."""
    assert tensor.quantization is not None
    scales = np.array(tensor.quantization.scales)
    scales[:most] *= factor
    quantization = replace(tensor.quantization, scales=tuple(scales.tolist()))
    return replace(tensor, quantization=quantization)


@pytest.mark.parametrize(
    "name", ["cnn1", "autoencoder", *(pytest.param(n, marks=SLOW) for n in ("ds_cnn", "lstm"))]
)
@pytest.mark.everyday(1)
def test_a_network_never_parts_from_itself(name: str, lstm: Model, tmp_path: Path) -> None:
    model = lstm if name == "lstm" else load_model(name)
    data = synthetic(model)
    reference = lowered(model, "float32", data)
    found = parting(reference, reference, data.x_validation[:4], Cache(tmp_path))
    assert (found.only_reference, found.only_lowered) == (0, 0)
    kinds = [op.kind for op in reference.graph.ops if op.kind != "RESHAPE"]
    assert [one.kind for one in found.layers] == ["INPUT", *kinds]
    for one in found.layers:
        errors = (one.rmse, one.relative, one.inputs_relative, one.saturated)
        assert errors == (0, 0, 0, 0), one
        assert one.cosine == pytest.approx(1)
    assert first_parting(found.layers) is None


@pytest.mark.parametrize("form", ["int8", "int16x8", "dynamic_range", "float16"])
@pytest.mark.everyday(2)
def test_every_layer_of_a_sound_lowering_is_near(
    form: str, cnn1: Model, data: Dataset, tmp_path: Path
) -> None:
    reference = lowered(cnn1, "float32", data)
    found = parting(reference, lowered(cnn1, form, data), data.x_validation, Cache(tmp_path))
    assert (found.only_reference, found.only_lowered) == (0, 0)
    kinds = ["INPUT", "CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED"]
    assert [one.kind for one in found.layers] == kinds
    assert [one.shape for one in found.layers] == [(28, 28), (26, 26, 12), (13, 13, 12), (10,)]
    assert 0 < found.layers[-1].relative < 0.02
    for one in found.layers:
        assert one.cosine > 0.999
        assert one.saturated < 0.01
    for one, before in zip(found.layers[1:], found.layers, strict=False):
        assert one.inputs_relative == before.relative


@pytest.mark.parametrize("form", ["int8", "int16x8", "dynamic_range", "int8_float_fallback"])
@pytest.mark.parametrize("name", ["ds_cnn", "autoencoder", "residual", "wide"])
@pytest.mark.everyday(4)
def test_all_layers_of_other_networks_have_a_partner(
    name: str, form: str, request: pytest.FixtureRequest
) -> None:
    built_in = name in ("ds_cnn", "autoencoder")
    model = load_model(name) if built_in else request.getfixturevalue(name)
    data = synthetic(model)
    graphs = [lowered(model, one, data).graph for one in ("float32", form)]
    found = match(graphs[0], graphs[1])
    assert (found.only_reference, found.only_lowered) == (0, 0)
    for pair in found.pairs:
        assert graphs[0].tensors[pair.reference].shape == graphs[1].tensors[pair.lowered].shape


@pytest.mark.parametrize(
    ("form", "partners"),
    [
        pytest.param("int8", 5, marks=SLOW),
        pytest.param("dynamic_range", 5, marks=SLOW),
        pytest.param("int16x8", 2, marks=SLOW),
    ],
)
def test_what_a_lowering_writes_out_is_left_out(
    form: str, partners: int, lstm: Model, tmp_path: Path
) -> None:
    """The converter has no LSTM in int16 that hands on all steps: two ops become hundreds."""
    data = synthetic(lstm)
    pair = (lowered(lstm, "float32", data), lowered(lstm, form, data))
    found = parting(*pair, data.x_validation[:8], Cache(tmp_path))
    assert len(found.layers) == partners
    assert found.only_reference == 5 - partners
    assert (found.only_lowered > 100) == (form == "int16x8")
    # Behind it the weights of the last layer tell it.
    assert found.layers[-1].kind == "FULLY_CONNECTED"
    assert 0 <= found.layers[-1].relative < 0.05


@pytest.mark.parametrize(
    ("form", "channels"),
    [("int8", None), ("dynamic_range", None), pytest.param("int8", 8, marks=SLOW)],
)
@pytest.mark.everyday(1)
def test_a_damaged_layer_is_named(
    form: str, channels: int | None, wide: Model, tmp_path: Path
) -> None:
    data = synthetic(wide)
    x, cache = data.x_validation[:16], Cache(tmp_path)
    reference, sound = (lowered(wide, one, data) for one in ("float32", form))
    layers = [op for op in sound.graph.ops if op.kind in LAYERS]
    damageable = [op for op in layers if sound.graph.tensors[op.inputs[1]].quantization]
    assert len(damageable) >= 4
    for op in damageable:
        weights = sound.graph.tensors[op.inputs[1]]
        damaged = changed(sound, (op.inputs[1], scaled(weights, 3, channels)))
        found = parting(reference, damaged, x, cache)
        assert (found.only_reference, found.only_lowered) == (0, 0)
        first = first_parting(found.layers)
        assert first is not None
        assert first.name == sound.graph.tensors[op.outputs[0]].name
        assert growth_db(first) > (10 if channels else 20)


def test_one_channel_of_a_wrong_scale_hides_no_layer(wide: Model) -> None:
    data = synthetic(wide)
    reference, int8 = (lowered(wide, one, data) for one in ("float32", "int8"))
    for op in int8.graph.ops:
        if op.kind in LAYERS:
            weights = int8.graph.tensors[op.inputs[1]]
            damaged = changed(int8, (op.inputs[1], scaled(weights, 3, 1)))
            assert match(reference.graph, damaged.graph).only_lowered == 0


def test_a_layer_of_a_trained_network_whose_range_is_too_narrow_is_named_and_saturates(
    cnn1: Model, data: Dataset, tmp_path: Path
) -> None:
    reference, sound = (lowered(cnn1, one, data) for one in ("float32", "int8"))
    graph = sound.graph
    conv = next(op for op in graph.ops if op.kind == "CONV_2D")
    pool = next(op for op in graph.ops if op.kind == "MAX_POOL_2D")
    flat = next(op for op in graph.ops if op.inputs[0] == pool.outputs[0])
    dense = graph.ops[-1]
    tensors = [conv.outputs[0], pool.outputs[0], flat.outputs[0]]
    narrow = changed(sound, *((i, scaled(graph.tensors[i], 0.25)) for i in tensors))
    # Its bias counts in products of scales.
    narrow = changed(narrow, (dense.inputs[1], scaled(graph.tensors[dense.inputs[1]], 4)))
    found = parting(reference, narrow, data.x_validation, Cache(tmp_path))
    first = first_parting(found.layers)
    assert first is not None
    assert first.kind == "CONV_2D"
    assert first.saturated > 0.01
    assert f"{first.name} (CONV_2D 26×26×12): error " in told(first)
    assert told(first).endswith("% of its values saturate")


def quantized(
    name: str, scale: float, zero: int = 0, shape: tuple[int, ...] = (1, 4), dtype: DType = "int8"
) -> Tensor:
    return Tensor(name, shape, dtype, Quantization((scale,), (zero,)))


def modelled(graph: Graph, model: Model) -> Model:
    return successor(model, graph)


def relu(x: Tensor, y: Tensor) -> Graph:
    return Graph((x, y), (Op("RELU", (0,), (1,)),), (0,), (1,))


def test_only_what_the_range_cuts_off_is_saturated(
    cnn1: Model, data: Dataset, tmp_path: Path
) -> None:
    float_graph = relu(Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32"))
    # From −6.4 to 6.35, and from 0 to 3.1875.
    int8_graph = relu(quantized("x", 0.05), quantized("y", 0.0125, -128))
    reference = lowered(cnn1, "float32", data)
    x = np.array([[-1, -2, 0, 3], [-6.4, 6.38, 1, 3.19], [-7, 9, -5, 2], [0, 4, 0, 0]], np.float32)
    models = (modelled(float_graph, reference), modelled(int8_graph, reference))
    input_error, relu_error = parting(*models, x, Cache(tmp_path)).layers
    assert input_error.saturated == 2 / 16  # −7 and 9
    assert relu_error.saturated == 3 / 16  # 6.38, 9 and 4
    apart = np.array([0.6, 9 - 6.35, 0.03, 0.01])  # of −7, 9, 6.38 and 3.19
    assert input_error.rmse == pytest.approx(math.sqrt(np.square(apart).sum() / 16), rel=1e-3)
    assert input_error.relative == pytest.approx(input_error.rmse / math.sqrt((x**2).mean()))


def two_branches(swapped: bool, other: bool = False) -> Graph:
    """(x · a) − (x · b), the products in one order or the other."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 4)).astype(np.float32) for _ in range(2)]
    if other:
        weights[0] = rng.standard_normal((4, 4)).astype(np.float32)
    constants = [Tensor(n, (4, 4), "float32", None, w) for n, w in zip("ab", weights, strict=True)]
    results = [Tensor(name, (1, 4), "float32") for name in ("x", "xa", "xb", "y")]
    options = {"fused_activation_function": "NONE"}
    products = [Op("FULLY_CONNECTED", (0, 4 + i, -1), (1 + i,), options) for i in range(2)]
    ops = (*(products[::-1] if swapped else products), Op("SUB", (1, 2), (3,), options))
    return Graph((*results, *constants), ops, (0,), (3,))


def test_branches_in_another_order_are_told_apart_by_their_weights() -> None:
    pairs = match(two_branches(False), two_branches(True)).pairs
    assert {(pair.reference, pair.lowered) for pair in pairs} == {(i, i) for i in range(4)}
    assert [pair.sources for pair in pairs] == [(), (0,), (0,), (2, 1)]


def test_a_layer_with_other_weights_and_what_reads_it_are_left_out() -> None:
    found = match(two_branches(False), two_branches(False, other=True))
    assert {(pair.reference, pair.lowered) for pair in found.pairs} == {(0, 0), (2, 2)}
    assert (found.only_reference, found.only_lowered) == (2, 2)


def test_an_op_that_only_one_graph_has_does_not_end_the_matching() -> None:
    """Behind it, weights tell the layers; what has none waits for an input that is known."""
    options = {"fused_activation_function": "NONE"}
    weights = Tensor("w", (4, 4), "float32", None, np.eye(4, dtype=np.float32))
    tensors = (*(Tensor(n, (1, 4), "float32") for n in ("x", "more", "h", "y", "z")), weights)
    tail = (Op("FULLY_CONNECTED", (2, 5, -1), (3,), options), Op("TANH", (3,), (4,)))
    one = Graph(tensors, (Op("LOGISTIC", (0,), (2,)), *tail), (0,), (4,))
    steps = (Op("NEG", (0,), (1,)), Op("EXP", (1,), (2,)))
    other = Graph(tensors, (*steps, *tail), (0,), (4,))
    found = match(one, other)
    assert [pair.reference for pair in found.pairs] == [0, 3, 4]
    assert found.pairs[1].sources == (0,)
    assert (found.only_reference, found.only_lowered) == (1, 2)


def test_ops_that_nothing_tells_apart_are_paired_in_order_or_not_at_all() -> None:
    tensors = tuple(Tensor(n, (1, 4), "float32") for n in "xabcy")
    same = [Op("TANH", (0,), (i,)) for i in (1, 2, 3)]
    ends = [Op("ADD", pair, (4,), {"fused_activation_function": "NONE"}) for pair in [(1, 2)]]
    two = Graph(tensors, (*same[:2], *ends), (0,), (4,))
    three = Graph(tensors, (*same, *ends), (0,), (4, 3))
    assert [pair.reference for pair in match(two, two).pairs] == [0, 1, 2, 4]
    assert [pair.reference for pair in match(two, three).pairs] == [0]


def test_a_layer_that_may_be_either_is_left_out() -> None:
    """Weights of zero say nothing: they may be what became of any others."""
    one, other = two_branches(False), two_branches(False)
    tensors = list(one.tensors)
    tensors[4] = replace(tensors[4], data=np.zeros((4, 4), np.float32))
    found = match(replace(one, tensors=tuple(tensors)), other)
    assert [pair.reference for pair in found.pairs] == [0]


def test_the_same_weights_on_something_else_are_another_layer() -> None:
    weights = Tensor("w", (4, 4), "float32", None, np.eye(4, dtype=np.float32))
    tensors = (*(Tensor(n, (1, 4), "float32") for n in ("x", "tanh", "logistic", "y")), weights)
    options = {"fused_activation_function": "NONE"}
    both = (Op("TANH", (0,), (1,)), Op("LOGISTIC", (0,), (2,)))
    one, other = (
        Graph(tensors, (*both, Op("FULLY_CONNECTED", (i, 4, -1), (3,), options)), (0,), (1, 2, 3))
        for i in (1, 2)
    )
    found = match(one, other)
    assert [pair.lowered for pair in found.pairs] == [0, 1, 2]
    assert (found.only_reference, found.only_lowered) == (1, 1)


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        ({"fused_activation_function": "RELU"}, {"fused_activation_function": "NONE"}),
        ({"fused_activation_function": "NONE"}, {"fused_activation_function": "TANH"}),
    ],
)
def test_an_activation_that_is_fused_on_one_side_alone_makes_another_layer(
    reference: dict[str, str], other: dict[str, str]
) -> None:
    tensors = tuple(Tensor(n, (1, 4), "float32") for n in "xy")
    graphs = [Graph(tensors, (Op("ADD", (0, 0), (1,), o),), (0,), (1,)) for o in (reference, other)]
    assert len(match(*graphs).pairs) == 1


def test_layers_are_measured_once_and_named_as_they_are(
    cnn1: Model, data: Dataset, tmp_path: Path
) -> None:
    x, cache = data.x_validation, Cache(tmp_path)
    reference, int8 = (lowered(cnn1, one, data) for one in ("float32", "int8"))
    found = parting(reference, int8, x, cache)
    with mock.patch.object(MODULE, "build_host", side_effect=AssertionError):
        assert parting(reference, int8, x, cache) == found
        for other in ((reference, reference, x), (reference, int8, x[:50])):
            with pytest.raises(AssertionError):
                parting(*other, cache)
    output = int8.graph.outputs[0]
    renamed = changed(int8, (output, replace(int8.graph.tensors[output], name="other")))
    assert renamed.graph.fingerprint() == int8.graph.fingerprint()
    assert parting(reference, renamed, x, cache).layers[-1].name == "other"


@pytest.mark.parametrize(("most_bytes", "rows"), [(1 << 30, 64), (10**6, 22), (1, 1)])
@pytest.mark.everyday(1)
def test_so_many_samples_are_looked_at_as_memory_takes(
    most_bytes: int,
    rows: int,
    cnn1: Model,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    real_one: Callable[..., dict[int, Array]] = MODULE._values

    def values(graph: Graph, tensors: list[int], x: Array) -> dict[int, Array]:
        seen.append(x)
        return real_one(graph, tensors, x)

    monkeypatch.setattr(MODULE, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(MODULE, "_values", values)
    reference = lowered(cnn1, "float32", data)
    parting(reference, reference, data.x_validation, Cache(tmp_path))
    assert [len(x) for x in seen] == [rows, rows]
    np.testing.assert_array_equal(seen[0][0], data.x_validation[0])
    if rows > 1:
        np.testing.assert_array_equal(seen[0][-1], data.x_validation[-1])


def test_samples_that_do_not_fit_are_refused(cnn1: Model, data: Dataset, tmp_path: Path) -> None:
    reference, cache = lowered(cnn1, "float32", data), Cache(tmp_path)
    with pytest.raises(InvalidData, match="0 samples"):
        parting(reference, reference, data.x_validation[:0], cache)
    with pytest.raises(InvalidData, match="do not fit"):
        parting(reference, reference, np.zeros((2, 5), np.float32), cache)


def error(relative: float, inputs: float = 0.0, rmse: float = 0.1, name: str = "y") -> LayerError:
    return LayerError(name, "CONV_2D", (6, 6, 16), rmse, relative, inputs, 0.9, 0.0)


def test_the_first_parting_is_the_largest_growth_and_not_the_largest_error() -> None:
    layers = [error(0.004), error(0.07, 0.004, name="bad"), error(0.3, 0.07), error(0.5, 0.3)]
    first = first_parting(layers)
    assert first is not None
    assert first.name == "bad"
    assert growth_db(first) == pytest.approx(20 * math.log10(7))


def test_errors_that_rounding_leaves_are_no_parting() -> None:
    assert first_parting([error(0.009), error(0.0099, 1e-9)]) is None
    assert first_parting([error(0.5, 0.6)]) is None
    assert first_parting([]) is None


def test_a_layer_without_a_size_is_not_named_but_one_that_is_no_number_is() -> None:
    zeros, spoiled = error(math.inf, rmse=0.1), error(math.inf, rmse=math.inf, name="nan")
    assert first_parting([zeros]) is None
    behind = error(math.inf, math.inf, math.inf)
    assert first_parting([zeros, error(0.5, 0.01), spoiled, behind]) == spoiled
    assert growth_db(behind) == 0


def test_zeros_of_the_reference_hand_on_the_error_before_them(
    cnn1: Model, data: Dataset, tmp_path: Path
) -> None:
    """x → relu(x − 100) is zero for all samples, and the damaged one is not."""
    reference = lowered(cnn1, "float32", data)
    options = {"fused_activation_function": "RELU"}

    def graph(offset: float) -> Graph:
        value = np.full((1, 4), offset, np.float32)
        constant = Tensor("c", (1, 4), "float32", None, value)
        bare = tuple(Tensor(n, (1, 4), "float32") for n in ("x", "y", "z"))
        add = {"fused_activation_function": "NONE"}
        ops = (Op("ADD", (0, 3), (1,), options), Op("ADD", (0, 1), (2,), add))
        return Graph((*bare, constant), ops, (0,), (2,))

    # Both have the same direction, and so are the same layer.
    models = [modelled(graph(value), reference) for value in (-100, -0.5)]
    x = np.array([[1, 2, 3, 4]], np.float32)
    found = parting(models[0], models[1], x, Cache(tmp_path))
    _, zero, behind = found.layers
    assert zero.relative == math.inf
    assert zero.cosine == 0
    assert behind.inputs_relative == 0
    assert first_parting(found.layers) == behind


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (error(0.071, 0.004), "y (CONV_2D 6×6×16): error .4 % → 7.1 %"),
        (error(1.3), "y (CONV_2D 6×6×16): error 0 % → 130 %"),
        (error(math.inf, 0.01), "y (CONV_2D 6×6×16): error 1 % → infinite"),
        (
            replace(error(0.071, 0.0999), saturated=0.032, shape=()),
            "y (CONV_2D 1): error 10 % → 7.1 %, 3.2 % of its values saturate",
        ),
    ],
)
def test_the_sentence_says_layer_error_and_saturation(layer: LayerError, sentence: str) -> None:
    assert told(layer) == sentence


def test_what_is_found_is_plain_data(cnn1: Model, data: Dataset, tmp_path: Path) -> None:
    reference = lowered(cnn1, "float32", data)
    found = parting(reference, reference, data.x_validation[:2], Cache(tmp_path))
    assert isinstance(found, Parting)
    assert all(isinstance(one.shape, tuple) for one in found.layers)
