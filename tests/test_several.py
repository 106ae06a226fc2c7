"""Networks of several inputs and outputs: data, lowering, training, scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autotiny.cache import Cache
from autotiny.cli import app
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset, Reading, check_fits, in_order, load_dataset, synthetic
from autotiny.errors import InvalidData, UserError
from autotiny.evaluate import agreement_on, outputs_of, parting, sources_of
from autotiny.graph import Array
from autotiny.model import (
    KerasModel,
    Model,
    cut,
    ends_in,
    freeze,
    joined,
    keras,
    keras_model,
    predict,
    train,
)
from autotiny.recipe import Recipe, apply, steps_from_text
from autotiny.study import Evaluator
from autotiny.target import load_target

N = 80
DRAW = np.random.default_rng(0)
NEAR, FAR = (DRAW.normal(size=(N, 6, 3)).astype(np.float32) for _ in range(2))
KINDS = np.argmax(NEAR.mean(axis=1), axis=1)
LENGTHS = FAR.mean(axis=(1, 2)).astype(np.float32)


def mixed_up(*, lstm: bool = False, outputs: int = 2) -> Model:
    """Two inputs of one shape, the second of which is used first; outputs of differing width."""
    k, layers = keras(), keras().layers
    k.utils.set_random_seed(0)
    near, far = k.Input((6, 3), name="zz_near"), k.Input((6, 3), name="far")
    read = layers.LSTM(4)(far) if lstm else layers.Flatten()(far)
    x = layers.Concatenate()([layers.Dense(4)(read), layers.Flatten()(near)])
    ends = [layers.Dense(place + 1, name=f"out{place}")(x) for place in range(outputs)]
    return keras_model(k.Model([near, far], ends[::-1] if outputs > 1 else ends))


def two_heads() -> Model:
    """A class and a value of two inputs."""
    k, layers = keras(), keras().layers
    k.utils.set_random_seed(0)
    near, far = k.Input((6, 3), name="near"), k.Input((6, 3), name="far")
    kind = layers.Dense(3, activation="softmax", name="kind")(layers.Flatten()(near))
    length = layers.Dense(1, name="length")(layers.Flatten()(far))
    return keras_model(k.Model([near, far], [kind, length]))


def arrays(**others: Any) -> dict[str, Any]:
    """What `two_heads` learns, in another order than it has its ports."""
    return {"x_far": FAR, "x_near": NEAR, "y_length": LENGTHS, "y_kind": KINDS, **others}


def fitting(model: Model, given: dict[str, Any], **asked: Any) -> Dataset:
    return check_fits(model, load_dataset(given), **asked)


def computed(network: KerasModel, parts: list[Array]) -> Array:
    found = network.predict(parts, verbose=0)  # type: ignore[attr-defined]
    return joined(found if isinstance(found, list) else [found])


def far_off(found: Array, exact: Array) -> float:
    """The mean error of the worst output, in shares of its spread: a few samples may be cut off."""
    return float((np.abs(found - exact).mean(axis=0) / exact.std(axis=0)).max())


# --- data ----------------------------------------------------------------------------------------


def test_names_and_numbers_give_the_order_of_the_model() -> None:
    model = two_heads()
    named = fitting(model, arrays())
    numbered = fitting(model, {"x1": NEAR, "x2": FAR, "y1": KINDS, "y2": LENGTHS})
    assert [port.name for port in named.ports] == ["near", "far"]
    assert [answer.name for answer in named.answers] == ["kind", "length"]
    for split, (x, y) in numbered.parts.items():
        np.testing.assert_array_equal(named.parts[split][0], x)
        np.testing.assert_array_equal(named.parts[split][1], y)
    near, far = cut(named.x_train, [(6, 3), (6, 3)])
    rows = [int(np.flatnonzero((one == NEAR).all(axis=(1, 2)))[0]) for one in near]
    np.testing.assert_array_equal(far, FAR[rows])
    np.testing.assert_array_equal(named.y_train, np.stack([KINDS[rows], LENGTHS[rows]], axis=1))
    text = "\n".join(named.described())
    assert "samples of 6×3 and 6×3" in text
    assert "task: classification,regression" in text
    assert not named.notes
    assert numbered.notes == (
        "arrays are numbered: x1 is the model's input near, x2 far",
        "arrays are numbered: y1 is the model's output kind, y2 length",
    )


def test_an_archive_with_splits_is_read(tmp_path: Path) -> None:
    parts = {"train": slice(0, 60), "val": slice(60, 70), "test": slice(70, None)}
    split = {f"{name}_{part}": values[rows] for name, values in arrays().items()
             for part, rows in parts.items()}  # fmt: skip
    np.savez(tmp_path / "data.npz", **split, unrelated=np.array([{}], object))
    data = check_fits(two_heads(), load_dataset(tmp_path / "data.npz"))
    assert [len(y) for _, y in data.parts.values()] == [60, 10, 10]
    np.testing.assert_array_equal(data.x_test, joined([NEAR[70:], FAR[70:]]))
    np.testing.assert_array_equal(data.y_validation[:, 1], LENGTHS[60:70])
    del split["y_kind_val"]
    np.savez(tmp_path / "data.npz", **split)
    with pytest.raises(InvalidData, match="lacks y_kind_validation"):
        load_dataset(tmp_path / "data.npz")


def test_a_folder_of_npy_files_is_read(tmp_path: Path) -> None:
    for name, values in arrays(groups=np.arange(N) // 2).items():
        np.save(tmp_path / f"{name}.npy", values)
    found, given = (check_fits(two_heads(), load_dataset(one))
                    for one in (tmp_path, arrays(groups=np.arange(N) // 2)))  # fmt: skip
    assert found.fingerprint == given.fingerprint
    (tmp_path / "x_far.npy").write_bytes(b"damaged")
    with pytest.raises(InvalidData, match=r"x_far\.npy is no \.npy file"):
        load_dataset(tmp_path)


def test_groups_stay_together_and_classes_are_in_each_split() -> None:
    data = load_dataset(arrays(groups=np.arange(N) // 4))
    firsts = {split: {int(np.flatnonzero(y[0] == LENGTHS)[0]) // 4 for y in targets}
              for split, (_, targets) in data.parts.items()}  # fmt: skip
    assert not firsts["train"] & firsts["test"]
    few = np.repeat([0, 1], [N - 3, 3])
    data = load_dataset({"x": NEAR, "y1": few, "y2": LENGTHS})
    assert all((y[:, 0] == 1).sum() == 1 for _, y in data.parts.values())


def test_plain_names_win_over_others() -> None:
    data = load_dataset({"x": NEAR, "y": KINDS, "x_mean": NEAR[0], "y_pred": KINDS[:3]})
    assert not data.ports
    assert not data.answers


def test_types_of_inputs_are_read_each_for_itself() -> None:
    pixels = (np.arange(N * 18) % 256).astype(np.uint8).reshape(N, 6, 3)
    data = load_dataset({"x1": pixels, "x2": FAR, "y": KINDS})
    assert data.x_train[:, :18].max() == 1
    assert "input 1: uint8 from 0 to 255, divided by 255" in "\n".join(data.described())
    with pytest.raises(InvalidData, match="float32, uint8, and --scale 1/255 would scale all"):
        load_dataset({"x1": pixels, "x2": FAR, "y": KINDS}, reading=Reading.of("1/255"))
    with pytest.raises(InvalidData, match=r"x2: inputs are int64 .* could mean two things"):
        load_dataset({"x1": FAR, "x2": np.arange(N), "y": KINDS})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"x1": NEAR, "x_far": FAR, "y": KINDS}, "holds x1 and x_far; number all, or name all"),
        ({"x1": NEAR, "x2": FAR[:9], "y": KINDS}, "x1 has 80 samples, x2 9"),
        ({"x1": NEAR, "x2": FAR, "y": KINDS[:9]}, "x1 has 80 samples, y 9"),
        ({"x1": NEAR, "x2": FAR}, "lacks y; it holds x1, x2"),
        ({"x1": NEAR, "x2": FAR, "y": KINDS, "x1_test": NEAR}, "x1_test beside arrays"),
        ({"x1": NEAR, "x2": FAR, "y": KINDS, "groups": KINDS[:5]}, "80 samples but 5 groups"),
        ({"x": NEAR, "y1": KINDS + (1 << 25), "y2": LENGTHS}, "y1 has whole numbers beyond"),
        ({"x1": NEAR, "x2": FAR, "y1_val": KINDS, "y1_validation": KINDS, "y2": KINDS},
         "y1_val beside"),
        ({f"{one}_{part}": KINDS for one in ("x1", "x2", "y") for part in ("train", "test", "val")}
         | {"x1_validation": KINDS}, "x1_val and x1_validation, which mean the same"),
        ({"x1_train": NEAR, "x1_test": NEAR[:, :5], "x2_train": FAR, "x2_test": FAR,
          "y_train": KINDS, "y_test": KINDS}, "the parts of x1 have the shapes"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_belong_together_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidData, match=told):
        load_dataset(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (arrays(x_far=FAR[:, :4]), "samples of 4×3 for input far, the model's input far takes 6×3"),
        ({"x_a": NEAR, "x_b": FAR, "y1": KINDS, "y2": LENGTHS},
         "has the inputs 'a', 'b', the model 'near', 'far'"),
        (arrays(x_other=FAR), r"the model has 2 inputs, near \(6×3\), far \(6×3\), .* x for 3"),
        ({"x": NEAR, "y1": KINDS, "y2": LENGTHS}, "has x for 1; give an .npz file with x1 to x2"),
        ({"x1": NEAR, "x2": FAR, "y": KINDS}, "has 2 outputs, kind .* has y for 1"),
        ({"x1": NEAR, "x2": FAR, "y1": KINDS + 3, "y2": LENGTHS}, "output 1 has 6 classes"),
    ],
)  # fmt: skip
def test_data_for_another_network_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidData, match=told):
        fitting(two_heads(), given)


def test_several_are_refused_for_a_network_of_one() -> None:
    k, layers = keras(), keras().layers
    start = k.Input((6, 3))
    model = keras_model(k.Model(start, layers.Dense(3)(layers.Flatten()(start))))
    with pytest.raises(InvalidData, match=r"has 1 input, .* has x for 2; give an \.npz"):
        fitting(model, {"x1": NEAR, "x2": FAR, "y": KINDS})
    with pytest.raises(UserError, match="targets for one output, and several are asked for"):
        fitting(model, {"x": NEAR, "y": KINDS}, task="classification,regression")


def test_an_order_of_names_is_kept_or_changed() -> None:
    data = fitting(two_heads(), arrays())
    turned = in_order(data, ("far", "near"), ("length", "kind"))
    np.testing.assert_array_equal(turned.x_test, np.roll(data.x_test, 18, axis=1))
    np.testing.assert_array_equal(turned.y_test, data.y_test[:, ::-1])
    again = in_order(turned, ("near", "far"), ("kind", "length"))
    assert again.fingerprint == data.fingerprint
    assert data.fingerprint != turned.fingerprint


def test_a_row_is_cut_and_joined() -> None:
    rows = np.arange(24).reshape(2, 12)
    parts = cut(rows, [(2, 3), (), (5,)])
    assert [part.shape for part in parts] == [(2, 2, 3), (2,), (2, 5)]
    np.testing.assert_array_equal(joined(parts), rows)
    with pytest.raises(InvalidData, match=r"samples of 12 values .* take 7"):
        cut(rows, [(7,)])


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "lstm"),
    [
        ("float32", False),
        ("float32", True),
        ("int8(method=mse, keep_int16=1)", False),
        pytest.param("int8", True, marks=pytest.mark.slow),
        pytest.param("int8(method=mse)", True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.everyday(1)
def test_c_computes_what_keras_does_whatever_order_the_converter_chooses(
    step: str, *, lstm: bool
) -> None:
    model = mixed_up(lstm=lstm, outputs=12 if step == "float32" else 2)
    wide = 5 * FAR  # ranges of the two inputs differ: mixed up, int8 would cut one off
    data = load_dataset({"x1": NEAR, "x2": wide, "y": KINDS})
    exact = computed(model.keras, [NEAR, wide])
    x = joined([NEAR, wide])
    np.testing.assert_allclose(predict(model, x), exact, atol=1e-5)
    (lowering,) = steps_from_text(step)
    lowered = lowering.apply(model, Work(data))
    found = outputs_of(lowered, x)
    assert far_off(found, exact) < (1e-5 if step == "float32" else 0.05)


def test_a_frozen_graph_predicts_the_same() -> None:
    model, x = mixed_up(), joined([NEAR[:5], FAR[:5]])
    np.testing.assert_allclose(predict(freeze(model), x), predict(model, x), atol=1e-6)


def test_inputs_of_other_ranks_and_types() -> None:
    k, layers = keras(), keras().layers
    k.utils.set_random_seed(0)
    image, one = k.Input((6, 3, 1), name="image"), k.Input((1,), name="one")
    words = k.Input((4,), dtype="int32", name="words")
    parts = [layers.Conv2D(2, 3)(image), layers.Embedding(9, 2)(words)]
    x = layers.Concatenate()([one, *(layers.Flatten()(part) for part in parts)])
    model = keras_model(k.Model([image, one, words], layers.Dense(3)(x)))
    numbers = DRAW.integers(0, 9, (N, 4))
    given = {"x_words": numbers, "x_image": NEAR, "x_one": LENGTHS, "y": KINDS}
    data = check_fits(model, load_dataset(given, reading=Reading.of("none")))
    exact = computed(model.keras, [NEAR[..., None], LENGTHS[:, None], numbers])
    x = joined([NEAR, LENGTHS[:, None], numbers.astype(np.float32)])
    np.testing.assert_allclose(predict(model, x), exact, atol=1e-5)
    lowered = COMPONENTS["int8"]().apply(model, Work(data))
    assert [port.dtype for port in sources_of(lowered).inputs] == ["int8", "int8", "int32"]
    assert far_off(outputs_of(lowered, x), exact) < 0.05


def test_an_output_given_twice_and_an_input_given_back() -> None:
    k, layers = keras(), keras().layers
    near, far = k.Input((6, 3)), k.Input((2,))
    kind = layers.Softmax()(layers.Dense(3)(layers.Flatten()(near)))
    model = keras_model(k.Model([near, far], [kind, far, kind]))
    assert ends_in(model) == "softmax,,softmax"
    lowered = COMPONENTS["float32"]().apply(model, Work(synthetic(model)))
    assert ends_in(lowered) == "softmax,,softmax"
    x = joined([NEAR, NEAR[:, :2, 0]])
    np.testing.assert_allclose(outputs_of(lowered, x), predict(model, x), atol=1e-5)


@pytest.mark.slow
def test_training_learns_every_output_and_a_teacher_takes_part() -> None:
    model = two_heads()
    data = fitting(model, arrays())
    before = data.task.score(data.x_train, data.y_train, predict(model, data.x_train))
    trained = train(model, data, epochs=40, seed=0, learning_rate=0.03, patience=40)
    after = data.task.score(data.x_train, data.y_train, predict(trained, data.x_train))
    assert after.outputs[0].value > max(0.85, before.outputs[0].value)
    assert after.outputs[1].value < before.outputs[1].value / 2
    again = train(model, data, epochs=1, seed=0, teacher=trained)
    assert np.isfinite(predict(again, data.x_test)).all()
    taught = data.task.taught(data.y_train, predict(trained, data.x_train), "softmax,")
    assert taught.shape == (len(data.y_train), 1 + 3 + 1)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["prune_magnitude(sparsity=0.5) → int8", "quantize_aware → int8"])
def test_components_train_networks_of_several_ports(text: str, tmp_path: Path) -> None:
    k, layers = keras(), keras().layers
    k.utils.set_random_seed(0)
    near, far = k.Input((6, 3), name="near"), k.Input((6, 3), name="far")
    x = [layers.Dense(8, activation="relu")(layers.Flatten()(one)) for one in (near, far)]
    x = layers.Concatenate()(x)
    ends = [
        layers.Dense(3, activation="softmax", name="kind")(x),
        layers.Dense(1, name="length")(x),
    ]
    model = keras_model(k.Model([near, far], ends))
    data = fitting(model, arrays())
    work = Work(data, epochs=1, original=model)
    found = apply(Recipe(steps_from_text(text)), model, work, Cache(tmp_path))
    assert not found.dropped
    original = COMPONENTS["float32"]().apply(model, work)
    near_each = agreement_on(original, found.model, data.x_test, Cache(tmp_path), data.task)
    assert len(near_each.outputs) == 2
    assert near_each.relative == max(one.relative for one in near_each.outputs)
    kinds = [layer.kind for layer in
             parting(original, found.model, data.x_test, Cache(tmp_path)).layers]  # fmt: skip
    assert kinds[:2] == ["INPUT", "INPUT"]


def test_what_cannot_drops_out_with_a_sentence(tmp_path: Path) -> None:
    model = two_heads()
    steps = steps_from_text("select_subnetwork → float32")
    work = Work(fitting(model, arrays()), rehearse=True)
    (dropped,) = apply(Recipe(steps), model, work, Cache(tmp_path)).dropped
    assert dropped.reason == "select_subnetwork: it trains networks of one input and one output"


def test_firmware_has_each_port_and_figures_of_each_output(tmp_path: Path) -> None:
    model = two_heads()
    data = fitting(model, arrays())
    lowered = COMPONENTS["int8"]().apply(model, Work(data))
    metrics = Evaluator().metrics(
        lowered, load_target("stm32f746"), data, Cache(tmp_path), test=True
    )
    assert set(metrics.outputs) == {
        f"{name}_{split}" for name in ("kind_accuracy", "length_mae")
        for split in ("validation", "test")
    }  # fmt: skip
    assert metrics.metric == "accuracy"
    assert metrics.score_test == metrics.outputs["kind_accuracy_test"]
    header = sources_of(lowered, threshold=(None, 0.5)).files["model.h"]
    assert (
        "int model_invoke(const int8_t *in, const int8_t *in1, int8_t *out, int8_t *out1);"
        in header
    )
    assert "#define MODEL_THRESHOLD1 " in header
    assert "#define MODEL_THRESHOLD " not in header


SPACE = """
first = [[{ component = "int8", calibration = 20 }]]
[components.float32]
[components.int8]
calibration = [20]
[components.prune_magnitude]
sparsity = { low = 0.4, high = 0.8, step = 0.2 }
[components.select_subnetwork]
width = [0.5]
"""


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_a_search_and_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    k, layers = keras(), keras().layers
    k.utils.set_random_seed(0)
    near, far = k.Input((6, 3), name="near"), k.Input((6, 3), name="far")
    x = [layers.Dense(8, activation="relu")(layers.Flatten()(one)) for one in (near, far)]
    alarm = layers.Dense(1, activation="sigmoid", name="alarm")(layers.Concatenate()(x))
    kind = layers.Dense(3, activation="softmax", name="kind")(layers.Concatenate()(x[::-1]))
    k.Model([near, far], [kind, alarm]).save("net.h5")
    np.savez("data.npz", x_far=FAR, x_near=NEAR, y_alarm=(LENGTHS > 0).astype(int), y_kind=KINDS)
    Path("space.toml").write_text(SPACE)
    given = ("search", "-t", "stm32f746", "-m", "net.h5", "-d", "data.npz")
    asked = ("--metric", "accuracy,f1", "--space", "space.toml", "--trials", "3")
    told = ("--epochs", "1", "--solve", "0", "--out", "out", "--json")
    found = CliRunner().invoke(app, [*given, *asked, *told], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    facts = json.loads(found.stdout)
    assert (facts["task"], facts["metric"]) == ("classification,binary", "mean_score")
    assert "not drawn: select_subnetwork: it takes networks of one input" in facts["notices"][0]
    for point in facts["front"]:
        parts = [point[f"{name}_test"] for name in ("kind_accuracy", "alarm_f1")]
        assert point["mean_score_test"] == pytest.approx(np.mean(parts))
    header = Path("out", "best", "src", "model.h").read_text()
    assert "input 0 (near) 6x3 float32" in header
    assert "output 1 (alarm): one output: yes from" in header
    assert "#define MODEL_THRESHOLD1 " in header
    assert "alarm, F1" in Path("out", "report.md").read_text()
    for retrained in ((), ("--retrain",)):
        again = CliRunner().invoke(
            app, ["apply", "out/best.json", "--json", *retrained], catch_exceptions=False
        )
        assert again.exit_code == 0, again.output
        applied = json.loads(again.stdout)
        assert applied["differences"] == {}
        assert applied["outputs"].keys() >= {"kind_accuracy_test", "alarm_f1_validation"}
