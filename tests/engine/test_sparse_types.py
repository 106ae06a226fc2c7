"""Layers on floats and int16 without their zero weights: what plain kernels give, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build import single, tensor
from cases import behind_dequantize
from grid import Case, build
from images import Network, in_arithmetic
from test_variants import CONV, DENSE, DEPTHWISE, Layer, on_core

from autotiny.engine import fuse, generate, plain_schedule, with_coded_weights, with_skipped_zeros
from autotiny.engine.coding import constant_bytes
from autotiny.engine.in_place import with_steps_in_place
from autotiny.engine.kernel import Site
from autotiny.engine.ops import sparse
from autotiny.engine.stripes import with_patches, with_two_cores
from autotiny.engine.variants.sparse import Sparse
from autotiny.errors import NotApplicable, UnsupportedOp
from autotiny.firmware import build_host
from autotiny.graph import Array, Graph, Op
from autotiny.schedule import Plain, Schedule, Step, Weights

TYPES = ("float32", "float16", "int16")
BOARDS = ("stm32l4r5", "stm32g0b1")
ALL_BOARDS = (*BOARDS, "stm32h7a3", "stm32f103", "stm32u575", "esp32c3")


@dataclass(frozen=True)
class Drawn:
    """A layer in one of the types, and the share of its weights that are not zero."""

    layer: Layer
    type: str
    kept: float

    def __str__(self) -> str:
        return f"{self.type}-{self.kept}-{self.layer}"

    def graph(self) -> Graph:
        return in_arithmetic(zeroed(self.layer.graph(), self.kept), self.type)


def zeroed(graph: Graph, kept: float) -> Graph:
    """The graph with so many weights left, and of each layer a channel and a tap without any."""
    dice = np.random.default_rng(2)
    tensors = list(graph.tensors)
    for op in graph.ops:
        if op.kind in (CONV, DENSE):
            w = tensors[op.inputs[1]]
            assert w.data is not None
            data = np.where(dice.random(w.shape) < kept, w.data, 0)
            if kept < 1:
                data[len(data) // 2] = 0
                data[:, -1] = 0
            tensors[op.inputs[1]] = replace(w, data=data.astype(np.int8))
    return replace(graph, tensors=tuple(tensors))


def inputs(graph: Graph, rows: int = 2) -> Array:
    dice = np.random.default_rng(1)
    x = graph.tensors[graph.inputs[0]]
    if x.dtype == "float32":
        return dice.normal(0, 1, (rows, *x.shape)).astype(np.float32)
    extremes = dice.choice([-32768, 32767], (1, *x.shape))
    random = dice.integers(-32768, 32768, (rows - 1, *x.shape))
    return np.concatenate([extremes, random]).astype(np.int16)


def plain(graph: Graph) -> Schedule:
    schedule = plain_schedule(graph)
    return fuse(graph, schedule) if len(schedule.steps) > 1 else schedule


def skipped(graph: Graph) -> Schedule:
    return Schedule(tuple(replace(step, kernel=Sparse()) for step in plain(graph).steps))


def computed(graph: Graph, schedule: Schedule, x: Array) -> Array:
    return build_host(generate(graph, schedule)).predict(x)


LAYERS = (
    Drawn(Layer(DENSE, (1, 1, 203), 10, activation="NONE"), "float32", 0.2),
    Drawn(Layer(CONV, (5, 7, 8), 6, (3, 3)), "float32", 0.2),
    Drawn(Layer(CONV, (7, 9, 5), 3, (5, 3), 2, activation="RELU6"), "float32", 0.02),
    Drawn(Layer(CONV, (7, 8, 4), 5, (3, 3), pool=True), "float32", 0.2),
    Drawn(Layer(CONV, (9, 6, 20), 3, (2, 3), padding="VALID", pool=True), "float32", 0.01),
    Drawn(Layer(DENSE, (1, 1, 300), 5), "float16", 0.01),
    Drawn(Layer(CONV, (6, 5, 17), 3), "float16", 0.3),
    Drawn(Layer(CONV, (8, 8, 30), 2, (3, 3), padding="VALID"), "float16", 0.01),
    Drawn(Layer(DENSE, (1, 1, 257), 7), "int16", 0.2),
    Drawn(Layer(CONV, (6, 6, 7), 5, (3, 3), activation="NONE"), "int16", 0.2),
    Drawn(Layer(CONV, (4, 9, 40), 3, (1, 3), 2), "int16", 0.01),
)
"""Every function in `sparse_f32.h` and, of those in `sparse_s16.h`, the usual ones."""


def drawn(seed: int, count: int) -> list[Drawn]:
    dice = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[int(dice.integers(len(values)))]

    found: list[Drawn] = []
    while len(found) < count:
        type_ = pick(*TYPES)
        kept = pick(0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0)
        channels, activation = int(dice.integers(1, 18)), pick("RELU", "NONE", "RELU6")
        if dice.random() < 0.25:
            shape = (1, 1, int(dice.integers(1, 600)))
            found.append(Drawn(Layer(DENSE, shape, channels, activation=activation), type_, kept))
            continue
        h, w, c = (int(dice.integers(1, most)) for most in (10, 10, 18))
        window = int(dice.integers(1, 6)), int(dice.integers(1, 4))
        stride, padding = pick(1, 1, 2, 3), pick("SAME", "VALID")
        if padding == "VALID" and (h < window[0] or w < window[1]):
            continue
        layer = Layer(CONV, (h, w, c), channels, window, stride, padding, activation)
        rows, columns = layer.graph().tensors[3].shape[1:3]
        pool = type_ == "float32" and min(rows, columns) > 1 and dice.random() < 0.5
        found.append(Drawn(replace(layer, pool=pool), type_, kept))
    return found


def check(found: Sequence[Drawn], folder: Path) -> None:
    graphs = [one.graph() for one in found]
    cases = [
        Case(str(one), graph, (), schedule=schedule(graph))
        for one, graph in zip(found, graphs, strict=True)
        for schedule in (plain, skipped)
    ]
    library = build(cases, folder)
    for k, graph in enumerate(graphs):
        for row in inputs(graph):
            (wanted,), (mine,) = library.run(2 * k, (row,)), library.run(2 * k + 1, (row,))
            assert mine.tobytes() == wanted.tobytes(), str(found[k])


def test_layers_are_exact(tmp_path: Path) -> None:
    check([*LAYERS, *drawn(0, 50)], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_layers_are_exact(seed: int, tmp_path: Path) -> None:
    check(drawn(seed, 120), tmp_path)


def check_on(board: str, found: Sequence[Drawn]) -> None:
    for one in found:
        graph = one.graph()
        x = inputs(graph)
        wanted, mine = (
            on_core(generate(graph, schedule), board, x)
            for schedule in (plain(graph), skipped(graph))
        )
        assert mine.tobytes() == wanted.tobytes(), str(one)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.everyday(1)
def test_layers_are_exact_on_cores(board: str) -> None:
    check_on(board, [LAYERS[k] for k in (0, 3, 6, 9)])


@pytest.mark.slow
@pytest.mark.parametrize("board", ALL_BOARDS)
def test_many_layers_are_exact_on_every_core(board: str) -> None:
    check_on(board, [*LAYERS, *drawn(9, 20)])


# Sums of int16


def with_bias(graph: Graph, dtype: Any, values: Any) -> Graph:
    x, w, b, y = graph.tensors
    data = np.resize(values, b.shape).astype(dtype)
    return replace(graph, tensors=(x, w, replace(b, dtype=dtype, data=data), y))


@pytest.mark.parametrize(
    ("depth", "spread", "dtype", "bias", "name"),
    [
        (600, 40.0, "int64", 5, "s32_b32"),
        (600, 40.0, "int64", 1 << 33, "s32_b64"),
        (2000, 900.0, "int64", 5, "s64_b32"),
        (2000, 900.0, "int64", -1 << 33, "s64_b64"),
        (2000, 900.0, "int32", -2_000_000_000, "int32"),
    ],
)
@pytest.mark.everyday(2)
def test_sums_of_int16_are_as_wide_as_the_plain_ones(
    depth: int, spread: float, dtype: str, bias: int, name: str, tmp_path: Path
) -> None:
    cases, rows = [], []
    for kind in (DENSE, CONV):
        for kept in (0.01, 0.6):
            layer = Layer(kind, (1, 1, depth), 3, activation="NONE", spread=spread)
            graph = in_arithmetic(layer.graph(), "int16")
            x, w, b, y = graph.tensors
            assert w.data is not None
            dice = np.random.default_rng(3)
            data = np.where(dice.random(w.shape) < kept, w.data, 0)
            data[0] = 0
            data[0].reshape(-1)[::2] = 127 if depth > 1000 else 0  # the channel of large sums
            y = replace(y, quantization=tensor((1,), "int16", 900.0).quantization)
            graph = with_bias(
                replace(graph, tensors=(x, replace(w, data=data), b, y)), dtype, [bias, 7, -bias]
            )
            for schedule in (plain(graph), skipped(graph)):
                cases.append(Case(name, graph, (), schedule=schedule))
                rows.append(np.concatenate([inputs(graph), np.full((1, *x.shape), 32767, "int16")]))
    library = build(cases, tmp_path)
    for k in range(0, len(cases), 2):
        assert f"_sparse_s16_{name}_" in library.sources[k + 1].files[f"m{k + 1}.c"]
        for row in rows[k]:
            (wanted,), (mine,) = library.run(k, (row,)), library.run(k + 1, (row,))
            np.testing.assert_array_equal(mine, wanted)


# Floats that are no usual numbers


def one_output(weights: Sequence[float], x: Sequence[float]) -> tuple[float, float]:
    """(by the plain kernel, without zeros) of a dense layer with one output."""
    w = tensor((1, len(weights)), "float32", data=weights)
    y = tensor((1, 1), "float32")
    graph = single(DENSE, [tensor((1, len(weights)), "float32"), w, None], y)
    row = np.array([[x]], np.float32)
    one, other = (
        float(computed(graph, schedule, row).item()) for schedule in (plain(graph), skipped(graph))
    )
    return one, other


def test_zeros_have_no_sign() -> None:
    for weights, x in (([-0.0, 0.0], [3.0, -3.0]), ([-0.0, 1.0], [-1.0, -0.0])):
        one, other = one_output(weights, x)
        assert np.float32(one).tobytes() == np.float32(other).tobytes() == bytes(4)


def test_small_and_large_numbers_are_weights() -> None:
    one, other = one_output([1e-42, 0.0, 3e38, 3e38], [1.0, 1.0, 1.0, 1.0])
    assert one == other == np.inf
    one, other = one_output([1e-42, 0.0], [1.0, 5.0])
    assert one == other > 0


def test_a_zero_weight_hides_what_is_not_finite() -> None:
    one, other = one_output([0.0, 2.0], [np.inf, 3.0])
    assert np.isnan(one)
    assert other == 6.0


# What cannot be computed so


def site_of(graph: Graph, **fields: Any) -> Site:
    (op,) = graph.ops
    changed = graph.with_ops((replace(op, options={**op.options, **fields}),))
    return Site(changed, Step((0,), Sparse()))


def refusals() -> list[tuple[Site, str]]:
    conv = Drawn(Layer(CONV, (6, 6, 4), 8, (3, 3)), "float32", 0.2).graph()
    dense = Drawn(Layer(DENSE, (1, 1, 9), 3, rows=2), "float32", 0.2).graph()
    depthwise = in_arithmetic(Layer(DEPTHWISE, (6, 6, 4), 4, (3, 3)).graph(), "float32")
    x, w, b, y = conv.tensors
    grouped = replace(w, shape=(8, 3, 3, 2), data=np.ones((8, 3, 3, 2), np.float32))
    infinite = replace(w, data=np.full(w.shape, np.inf, np.float32))
    int8 = Layer(CONV, (6, 6, 4), 8, (3, 3)).graph().tensors[1]
    integers = Drawn(Layer(DENSE, (1, 1, 9), 3), "int16", 0.2).graph()
    shifted = tensor(integers.tensors[0].shape, "int16", 0.03, 5)
    many = np.ones((1, 1 << 16), np.float32)
    row = tensor((1, many.size), "float32")
    wide = single(DENSE, [row, tensor(many.shape, "float32", data=many), None],
                  tensor((1, 1), "float32"))  # fmt: skip
    return [
        (site_of(dense), "several rows"),
        (site_of(depthwise), "only convolutions and dense layers"),
        (site_of(conv, dilation_h_factor=2), "dilated"),
        (site_of(replace(conv, tensors=(x, grouped, b, y))), "groups"),
        (site_of(replace(conv, tensors=(x, infinite, b, y))), "not finite"),
        (site_of(replace(conv, tensors=(x, int8, b, y))), "no such hybrid kernel"),
        (site_of(replace(conv, tensors=(x, replace(w, data=None), b, y))), "are computed"),
        (site_of(replace(integers, tensors=(shifted, *integers.tensors[1:]))), "zero-point"),
        (site_of(wide), "more than 65535 weights"),
    ]


@pytest.mark.parametrize(
    ("site", "why"), refusals(), ids=lambda one: one if type(one) is str else ""
)
def test_what_cannot_be_computed_so_is_refused(site: Site, why: str) -> None:
    assert why in str(sparse.why_not(site))
    with pytest.raises(UnsupportedOp, match=f"its zeros are not left out: .*{why}"):
        generate(site.graph, Schedule((site.step,)))


def test_as_many_weights_as_can_be_counted_are_computed() -> None:
    many = np.ones((1, (1 << 16) - 1), np.float32)
    row = tensor((1, many.size), "float32")
    graph = single(DENSE, [row, tensor(many.shape, "float32", data=many), None],
                   tensor((1, 1), "float32"))  # fmt: skip
    assert sparse.why_not(Site(graph, Step((0,), Sparse()))) is None


def test_what_is_no_layer_has_no_such_kernel() -> None:
    graph = Drawn(Layer(CONV, (6, 6, 4), 8, pool=True), "float32", 0.2).graph()
    conv, pool = plain_schedule(graph).steps
    with pytest.raises(UnsupportedOp, match=r"MAX_POOL_2D.* it is no layer"):
        generate(graph, Schedule((conv, replace(pool, kernel=Sparse()))))


# Schedules


def network() -> Graph:
    """Convolutions with both paddings, a pooling, a residual and a dense layer."""
    net = Network(20, 11, 3)
    x = net.conv(0, 16, 3, 1)
    y = net.pool(net.conv(net.sum(x, net.conv(x, 16, 3, 1)), 24, 3, 1))
    y = net.conv(y, 24, 3, 1, "VALID")
    flat = net.add(replace(net.tensors[y], shape=(1, net.tensors[y].size)))
    net.ops.append(Op("RESHAPE", (y,), (flat,)))
    weights = net.dice.integers(-90, 90, (21, net.tensors[flat].size))
    w = net.add(tensor(weights.shape, "int8", 0.01, data=weights))
    z = net.add(tensor((1, 21), "int8", 9.0, 2))
    net.ops.append(Op(DENSE, (flat, w, -1), (z,)))
    return net.graph(z)


def in_sram(graph: Graph, schedule: Schedule) -> Schedule:
    return Schedule(tuple(replace(one, weights=Weights(memory="sram")) for one in schedule.steps))


Change = Callable[[Graph, Schedule], Any]
CHANGES: dict[str, Change] = {
    "fused": fuse,
    "in place": with_steps_in_place,
    "patches": lambda graph, schedule: with_patches(graph, schedule, patches=3),
    "two cores": with_two_cores,
    "in SRAM": in_sram,
}
BEHIND = ("two cores", "in SRAM")
"""Those that may also follow; fusing must come first, and the others take plain steps."""


def after(graph: Graph, schedule: Schedule, change: Change) -> tuple[Graph, Schedule]:
    made = change(graph, schedule)
    return made if isinstance(made, tuple) else (graph, made)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.everyday(4)
def test_other_changes_of_a_schedule_compose(name: str, type_: str) -> None:
    graph = in_arithmetic(zeroed(network(), 0.15), type_)
    x = inputs(graph)
    wanted = computed(graph, plain_schedule(graph), x)
    try:
        new, changed = after(graph, plain_schedule(graph), CHANGES[name])
    except NotApplicable:
        assert (name, type_) in {("fused", "float16"), ("fused", "int16")}
        return
    made = [(new, with_skipped_zeros(new, changed))]
    if name in BEHIND:
        skips = with_skipped_zeros(graph, plain_schedule(graph))
        made.append(after(graph, skips, CHANGES[name]))
    for one, schedule in made:
        assert sum(step.kernel == Sparse() for step in schedule.steps) >= 4
        assert computed(one, schedule, x).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("type_", TYPES)
def test_layers_are_taken_that_become_smaller(type_: str) -> None:
    graph = Drawn(Layer(DENSE, (1, 1, 900), 20), type_, 0.2).graph()
    site = Site(graph, plain_schedule(graph).steps[0])
    before, rest = constant_bytes(site), constant_bytes(site.by(Sparse()))
    assert rest < {"float32": 0.25, "float16": 0.28, "int16": 0.35}[type_] * before
    assert with_skipped_zeros(graph, plain_schedule(graph)) == Schedule((site.by(Sparse()).step,))
    with pytest.raises(NotApplicable, match="less flash; prune_magnitude makes zeros"):
        with_skipped_zeros(graph, plain_schedule(graph), 1 - rest / before + 0.001)
    dense = Drawn(Layer(DENSE, (1, 1, 900), 20), type_, 1.0).graph()
    with pytest.raises(NotApplicable, match="less flash; prune_magnitude makes zeros"):
        with_skipped_zeros(dense, plain_schedule(dense))


def test_weights_behind_a_dequantize_are_float16() -> None:
    layer = Drawn(Layer(DENSE, (1, 1, 900), 20), "float16", 0.2).graph()
    half = layer.tensors[1]
    wide = replace(half, dtype="float32", data=None)
    x, _, b, y = layer.tensors
    graph = behind_dequantize(replace(layer, tensors=(x, wide, b, y)), half)
    plain_, skips = plain_schedule(graph), with_skipped_zeros(graph, plain_schedule(graph))
    assert [step.kernel for step in skips.steps] == [Plain(), Sparse()]
    sizes = [generate(graph, schedule).weights_bytes for schedule in (plain_, skips)]
    assert sizes[1] < 0.28 * sizes[0]


def test_weights_that_are_computed_stay() -> None:
    for layer in (
        Layer(DENSE, (1, 1, 900), 20).graph(),
        Drawn(LAYERS[0].layer, "float32", 0.2).graph(),
    ):
        x, w, b, y = layer.tensors
        graph = replace(layer, tensors=(x, replace(w, data=None), b, y), inputs=(0, 1))
        with pytest.raises(NotApplicable, match="takes less flash"):
            with_skipped_zeros(graph, plain_schedule(graph))


def test_weights_of_stripes_are_saved_once() -> None:
    net = Network(32, 8, 4)
    y = net.conv(0, 8, 3, 1)
    graph = in_arithmetic(zeroed(net.graph(net.conv(y, 4, 3, 1)), 0.9), "float32")
    stripes, schedule = with_patches(graph, plain_schedule(graph), patches=8)
    for one in ((graph, plain_schedule(graph)), (stripes, schedule)):
        with pytest.raises(NotApplicable, match="save 1,017 bytes of CONV_2D weights, less than"):
            with_skipped_zeros(*one)


def test_steps_that_are_coded_or_sparse_stay_so() -> None:
    graph = Drawn(Layer(DENSE, (1, 1, 900), 20), "int16", 0.2).graph()
    coded = with_coded_weights(graph, plain_schedule(graph), "huffman")
    with pytest.raises(NotApplicable):
        with_skipped_zeros(graph, coded)
    skips = with_skipped_zeros(graph, plain_schedule(graph))
    with pytest.raises(NotApplicable):
        with_coded_weights(graph, skips, "huffman")
    (step,) = coded.steps
    with pytest.raises(UnsupportedOp, match="its weights are stored huffman"):
        generate(graph, Schedule((replace(step, kernel=Sparse()),)))
