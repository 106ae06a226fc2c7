"""Model files that want more than to be a network are refused by name, and nothing of them runs."""

import base64
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotiny import load_model
from autotiny.errors import InvalidModel
from autotiny.model import Level, keras, predict, tensorflow
from autotiny.model.allowed import checked_config

Config = dict[str, Any]


def entry(kind: str, config: Config, **more: object) -> Config:
    return {"class_name": kind, "config": {"name": kind.lower(), **config}, **more}


def dense(units: object = 2, **more: object) -> Config:
    return entry("Dense", {"units": units, "activation": "linear", **more})


def start(*shape: int) -> Config:
    return entry("InputLayer", {"batch_input_shape": [None, *shape], "dtype": "float32"})


def sequential(*layers: Config) -> Config:
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [start(3), *layers]}}


def calling(function: str, call: object, layer: str = "TFOpLambda") -> Config:
    """A functional model of Keras 2 whose second layer calls a function of TensorFlow."""
    layers = [
        start(3) | {"name": "inputlayer", "inbound_nodes": []},
        entry(layer, {"function": function, "dtype": "float32"}, name=layer.lower())
        | {"inbound_nodes": [["inputlayer", 0, 0, call]]},
    ]
    ports = {"input_layers": [["inputlayer", 0, 0]], "output_layers": [[layer.lower(), 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "m", "layers": layers, **ports}}


def shell(marker: Path) -> Config:
    """A Lambda that touches a file, as Keras 2 keeps it."""
    code = compile(f"lambda x: __import__('os').system('touch {marker}') and x or x", "f", "eval")
    inner = next(one for one in code.co_consts if hasattr(one, "co_code"))
    dumped = base64.b64encode(marshal.dumps(inner)).decode()
    kinds = {"function_type": "lambda", "module": "m", "output_shape_type": "raw"}
    shape: Config = {"output_shape": None, "output_shape_module": None, "arguments": {}}
    return entry("Lambda", {"function": [dumped, None, None], **kinds, **shape})


def write_h5(path: Path, config: object, version: str = "2.15.0") -> Path:
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = (
            config if isinstance(config, (str, int)) else json.dumps(config)
        )
        file.attrs["keras_version"] = version
        file.attrs["backend"] = "tensorflow"
        file.create_group("model_weights").attrs["layer_names"] = []
    return path


def write_keras(path: Path, config: object, version: str = "3.5.0") -> Path:
    import h5py

    with h5py.File(path.with_suffix(".weights"), "w") as file:
        file.create_group("layers")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.write(path.with_suffix(".weights"), "model.weights.h5")
    return path


def write_all(folder: Path, config: object) -> list[Path]:
    """The same configuration in every kind of file, with a true and a false version of Keras."""
    return [
        write_h5(folder / "two.h5", config, "2.15.0"),
        write_h5(folder / "three.h5", config, "3.5.0"),
        write_keras(folder / "two.keras", config, "2.15.0"),
        write_keras(folder / "three.keras", config, "3.5.0"),
    ]


def test_a_lambda_that_a_function_of_keras_would_unpack_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    inner = sequential(shell(marker))
    text = json.dumps(inner)
    for function in (
        "keras.models.model_from_json",
        "keras.models.model_from_config",
        "keras.layers.deserialize",
        "keras.utils.deserialize_keras_object",
    ):
        config = calling(function, {"custom_objects": None})
        config["config"]["layers"][1]["inbound_nodes"] = [["_CONSTANT_VALUE", -1, text, {}]]
        for file in write_all(tmp_path, config):
            with pytest.raises(InvalidModel, match="does not execute"):
                load_model(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    "function",
    ["io.write_file", "io.read_file", "raw_ops.WriteFile", "py_function", "numpy_function",
     "compat.v1.py_func", "print", "debugging.enable_check_numerics", "saved_model.load",
     "keras.models.load_model", "keras.utils.get_file", "keras.saving.load_model", "strings.join",
     "io.gfile.copy", "data.TextLineDataset", "compat.v1.io.write_file", "map_fn", "while_loop",
     "eval", "", 3, None, ["io.write_file"], "fill", "zeros", "random.normal"],
)  # fmt: skip
def test_functions_that_do_more_than_compute_are_refused(function: Any, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for layer in ("TFOpLambda", "SlicingOpLambda"):
        for call in ({"filename": str(marker), "contents": "x"}, {"name": str(marker)}):
            with pytest.raises(InvalidModel, match="does not execute"):
                load_model(write_h5(tmp_path / "net.h5", calling(function, call, layer)))
    assert not marker.exists()


def test_a_function_of_constants_alone_is_not_computed_while_loading(tmp_path: Path) -> None:
    config = calling("tile", {"multiples": [2]})
    config["config"]["layers"][1]["inbound_nodes"] = [["_CONSTANT_VALUE", -1, [1.0], {"y": 2.0}]]
    with pytest.raises(InvalidModel, match="without a tensor"):
        load_model(write_h5(tmp_path / "net.h5", config))


def test_a_pure_function_computes(tmp_path: Path) -> None:
    network = load_model(write_h5(tmp_path / "net.h5", calling("math.multiply", {"y": 2.0})))
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(predict(network, x), 2 * x)


HOSTILE_LAYERS: dict[str, Config] = {
    "lambda": entry("Lambda", {"function": ["YQ==", None, None]}),
    "keras 3 lambda": entry("Dense", {"units": 2, "activation": {
        "class_name": "__lambda__", "config": {"value": "YQ=="}}}),
    "torch": entry("TorchModuleWrapper", {"module": "gASV"}, module="keras.layers"),
    "saved": entry("TFSMLayer", {"filepath": "/tmp/x"}, module="keras.layers"),
    "jax": entry("JaxLayer", {"call_fn": "x"}, module="keras.layers"),
    "raw op": entry("TensorFlowOpLayer", {"node_def": "WriteFile", "constants": {}}),
    "method": entry("ClassMethod", {"cls_ref": "x", "method_name": "y"}),
    "lookup": entry("StringLookup", {"vocabulary": "/etc/passwd"}, module="keras.layers"),
    "text": entry("TextVectorization", {"vocabulary": "/etc/passwd"}),
    "features": entry("DenseFeatures", {"feature_columns": []}),
    "other module": entry("Dense", {"units": 2}, module="os", registered_name=None),
    "near module": entry("Dense", {"units": 2}, module="kerasy.layers", registered_name=None),
    "a function's module": entry("system", {"command": "touch x"}, module="os"),
    "get_file": entry("get_file", {"fname": "x", "origin": "http://x"}, module="keras.utils"),
    "load_model": entry("load_model", {"filepath": "x"}, module="keras.saving"),
    "registered": dense() | {"registered_name": "Custom>Evil", "module": "keras.layers"},
    "registered alone": dense() | {"registered_name": "Custom>Evil"},
    "activation": dense(activation="get_file"),
    "activation object": dense(activation={"class_name": "function", "config": "load_model",
                                           "module": "keras.saving", "registered_name": "x"}),
    "initializer": dense(kernel_initializer=entry("get_file", {}, module="keras.utils")),
    "initializer by name": dense(kernel_initializer="deserialize"),
    "initializer elsewhere": dense(kernel_initializer=entry("Zeros", {}, module="builtins")),
    "initializer's argument": dense(kernel_initializer={"class_name": "Constant", "config": {
        "value": {"class_name": "function", "config": {"a": 1}, "module": "builtins"}}}),
    "regularizer": dense(kernel_regularizer=entry("Lambda", {"function": []})),
    "constraint": dense(bias_constraint=entry("exec", {}, module="builtins")),
    "unknown argument": dense(hook=entry("Dense", {"units": 1}, module="keras.layers")),
    "unknown entry": dense() | {"hook": {"class_name": "x"}},
    "unknown class": entry("MyLayer", {}, module="my.code"),
    "build": dense() | {"build_config": entry("get_file", {}, module="keras.utils")},
    "build inside": dense() | {"build_config": {"input_shape": entry("get_file", {})}},
    "wrapper": entry("TimeDistributed", {"layer": entry("Lambda", {"function": ["YQ=="]})}),
    "cell": entry("RNN", {"cell": entry("Evil", {}, module="my.code")}),
    "cells": entry("RNN", {"cell": entry("StackedRNNCells", {"cells": [entry("Evil", {})]})}),
    "pruned": entry("PruneLowMagnitude", {"layer": entry("Lambda", {"function": ["YQ=="]})}),
    "schedule": entry("PruneLowMagnitude", {"layer": dense(), "pruning_schedule": entry(
        "Evil", {}, module="my.code")}),
    "quantizer": entry("QuantizeLayer", {"quantizer": entry("Evil", {}, module="my.code")}),
    "type": dense(dtype={"class_name": "Evil", "config": {"name": "float32"}, "module": "os"}),
    "type spec": dense(spec={"class_name": "__typespec__", "config": [], "module": "os",
                             "spec_name": "system", "registered_name": None}),
    "operation": entry("Map", {}, module="keras.src.ops.core", registered_name="Map"),
    "operation elsewhere": entry("Add", {}, module="keras.src.ops.core.evil"),
    "pipeline": entry("Pipeline", {"layers": [entry("Lambda", {"function": ["YQ=="]})]}),
    "name": {"class_name": "Dense", "config": {"units": 2, "name": 1}},
    "no class": {"config": {}},
    "no config": {"class_name": "Dense"},
    "config is text": {"class_name": "Dense", "config": "units"},
    "no table": {"class_name": ["Dense"], "config": {}},
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_LAYERS)
def test_a_layer_that_is_not_listed_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    layer = HOSTILE_LAYERS[kind]
    for config in (sequential(layer), sequential(sequential(layer))):
        for file in write_all(tmp_path, config):
            with pytest.raises(InvalidModel) as refusal:
                load_model(file)
            assert "does not load" not in str(refusal.value)
            assert "\n" not in str(refusal.value)
    assert (
        sorted(path.suffix for path in tmp_path.iterdir())
        == [".h5"] * 2 + [".keras"] * 2 + [".weights"] * 2
    )


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


WRITTEN: dict[str, tuple[object, str]] = {
    "a number": (7, "not text"),
    "a list": ([], "Sequential nor"),
    "a word": ('"Sequential"', "Sequential nor"),
    "deep": (nested(100_000), "nested too deeply"),
    "deep model": (
        json.dumps(sequential(dense(spec=1))).replace('"spec": 1', '"spec": ' + nested(500)),
        "nested"),
    "twice": ('{"class_name": "Sequential", "class_name": "Lambda", "config": {}}', "twice"),
    "NaN": (json.dumps(sequential(dense(rate=float("nan")))), "NaN"),
    "long number": (json.dumps(sequential(dense())).replace('"units": 2', '"units": ' + "9" * 5000),
                    "damaged"),
    "broken": ('{"class_name"', "damaged"),
    "units": (json.dumps(sequential(dense(10**9))), "units 1000000000"),
    "units as text": (json.dumps(sequential(dense("1000000000"))), "units '1000000000'"),
    "units as a float": (json.dumps(sequential(dense(1e9))), "units 1000000000.0"),
    "embedding": (json.dumps(sequential(entry("Embedding", {"input_dim": 10**12}))), "input_dim"),
    "input": (json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [
        start(100_000, 100_000, 3), dense()]}}), "batch_input_shape"),
    "many layers": (json.dumps(sequential(*[dense()] * 2001)), "2,003 layers"),
    "many calls": (json.dumps(sequential(dense() | {"inbound_nodes": [0] * 5000})), "5,002 lay"),
    "kernel": (json.dumps(sequential(entry("Conv2D", {"kernel_size": [10**5, 10**5]}))),
               "kernel_size"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_configuration_that_is_none_is_refused(kind: str, tmp_path: Path) -> None:
    written, why = WRITTEN[kind]
    files = [write_h5(tmp_path / f"{version}.h5", written, version) for version in ("2.15", "3.5")]
    if isinstance(written, str):
        files += [write_keras(tmp_path / f"{v}.keras", written, v) for v in ("2.15", "3.5")]
    for file in files:
        with pytest.raises(InvalidModel, match=why) as refusal:
            load_model(file)
        assert "\n" not in str(refusal.value)


def wide(keras3: bool) -> Config:
    """Each layer alone would be allowed; the weights between two of them would be 16 GB."""
    first = entry("InputLayer", {"batch_shape" if keras3 else "batch_input_shape": [None, 3]})
    layers = [first, dense(1 << 16), dense(1 << 16) | {"name": "b"}]
    layers[2]["config"] = layers[2]["config"] | {"name": "b"}
    return whole([one | {"module": "keras.layers", "registered_name": None} for one in layers])


def whole(layers: list[Config]) -> Config:
    """A model as `.keras` files have it."""
    config = {"name": "s", "layers": layers}
    return {
        "class_name": "Sequential",
        "config": config,
        "module": "keras",
        "registered_name": None,
    }


def test_weights_for_which_the_file_has_no_values_are_not_allocated(tmp_path: Path) -> None:
    for file in (
        write_h5(tmp_path / "two.h5", wide(keras3=False)),
        write_keras(tmp_path / "two.keras", wide(keras3=False), "2.15.0"),
        write_keras(tmp_path / "three.keras", wide(keras3=True), "3.5.0"),
    ):
        with pytest.raises(InvalidModel, match="4,294,967,296 values, and the file holds 0") as no:
            load_model(file)
        assert "\n" not in str(no.value)


@pytest.mark.parametrize("keras3", [False, True])
def test_a_layer_that_would_give_too_much_is_refused(keras3: bool, tmp_path: Path) -> None:
    grow = {"class_name": "UpSampling2D", "config": {"size": [4096, 4096], "name": "grow"}}
    key = "batch_shape" if keras3 else "batch_input_shape"
    layers = [entry("InputLayer", {key: [None, 8, 8, 1]}), grow]
    config = whole([one | {"module": "keras.layers", "registered_name": None} for one in layers])
    net = tmp_path / "net"
    file = write_keras(net, config) if keras3 else write_h5(net, config)
    file = file.rename(net.with_suffix(".keras" if keras3 else ".h5"))
    with pytest.raises(InvalidModel, match=r"'grow' gives 1,073,741,824 values"):
        load_model(file)


def real_h5(path: Path) -> Path:
    k = keras()
    k.Sequential([k.layers.Dense(4, input_shape=(3,), name="dense")]).save(path)
    return path


def spoil_h5(path: Path, kind: str, secret: Path) -> None:
    import h5py

    with h5py.File(secret, "w") as file:
        file["w"] = np.ones((3, 4), np.float32)
    with h5py.File(path, "a") as file:
        group = file["model_weights/dense/dense"]
        del group["kernel:0"]
        if kind == "external link":
            group["kernel:0"] = h5py.ExternalLink(str(secret), "w")
        elif kind == "soft link":
            group["kernel:0"] = h5py.SoftLink("/model_weights/dense/dense/bias:0")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 4), np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "w", (3, 4))
            group.create_virtual_dataset("kernel:0", layout)
        elif kind == "external storage":
            group.create_dataset("kernel:0", (3, 4), np.float32, external=[(str(secret), 0, 48)])
        elif kind == "claimed":
            group.create_dataset("kernel:0", (1 << 40,), np.float32)
        elif kind == "claimed some":
            group.create_dataset("kernel:0", (1 << 20,), np.float32)
        elif kind == "compressed":
            group.create_dataset("kernel:0", (1 << 40,), np.float32, compression="gzip")
        elif kind == "pieces":
            group.create_dataset("kernel:0", (4,), "f4", chunks=(1 << 28,), maxshape=(None,))
        elif kind == "text":
            group["kernel:0"] = np.array([b"a", b"b"])
        elif kind == "cycle":
            group["kernel:0"] = file["model_weights"]
        elif kind == "group link":
            del file["model_weights"]
            file["model_weights"] = h5py.ExternalLink(str(secret), "/")


H5_TRICKS = {
    "external link": "link to", "soft link": "link to", "virtual": "another file",
    "external storage": "another file", "claimed": "4,398,046,511,", "claimed some": "claims",
    "compressed": "at most", "pieces": "pieces", "text": "not of numbers", "cycle": "nested",
    "group link": "link to elsewhere",
}  # fmt: skip


@pytest.mark.parametrize("kind", H5_TRICKS)
def test_weights_that_are_not_in_the_file_are_refused(kind: str, tmp_path: Path) -> None:
    file = real_h5(tmp_path / "net.h5")
    spoil_h5(file, kind, tmp_path / "secret.h5")
    with pytest.raises(InvalidModel, match=H5_TRICKS[kind]):
        load_model(file)


def test_an_archive_that_holds_a_name_twice_or_too_much_is_refused(tmp_path: Path) -> None:
    good = json.dumps(sequential(dense()))
    file = write_keras(tmp_path / "net.keras", good, "2.15.0")
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", good.replace("Dense", "Lambda"))
    with pytest.raises(InvalidModel, match=r"config\.json twice"):
        load_model(file)
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * (17 << 20))
    with pytest.raises(InvalidModel, match="too large"):
        load_model(bomb)


@pytest.mark.parametrize(
    "port",
    [["tfoplambda", 7, 0], ["inputlayer", 0, 7], ["tfoplambda", 0, 0], ["nothing", 0, 0]],
    ids=["call", "result", "itself", "nothing"],
)
def test_layers_that_wait_for_each_other_are_not_waited_for(
    port: list[object], tmp_path: Path
) -> None:
    config = calling("math.multiply", {"y": 2.0})
    config["config"]["layers"][1]["inbound_nodes"] = [[*port, {"y": 2.0}]]
    config["config"] |= {"trainable": True}
    for layer in config["config"]["layers"]:
        layer |= {"module": "keras.layers", "registered_name": None}
    whole = config | {"module": "keras", "registered_name": None}
    files = [
        write_h5(tmp_path / "net.h5", config),
        write_keras(tmp_path / "n.keras", whole, "2.15"),
    ]
    for file in files:
        with pytest.raises(InvalidModel):
            load_model(file)


def test_a_file_does_not_decide_whether_a_loop_is_unrolled() -> None:
    long = sequential(entry("LSTM", {"units": 2, "unroll": True}))
    clean = checked_config(json.dumps(long), "net", keras3=False)
    assert clean["config"]["layers"][1]["config"]["unroll"] is False


def test_what_is_checked_is_what_is_built(tmp_path: Path) -> None:
    """What is not understood does not reach a framework: it is not in the configuration."""
    config = sequential(
        dense() | {"compile_config": {"loss": {"class_name": "Evil", "config": {}}}}
    )
    config["compile_config"] = {"optimizer": entry("Evil", {}, module="my.code")}
    config["module"], config["registered_name"] = "keras.src.models.evil", None
    clean = json.dumps(checked_config(json.dumps(config), "net", keras3=True))
    assert "vil" not in clean
    assert "compile_config" not in clean


def test_weights_of_another_shape_are_refused_on_one_line(tmp_path: Path) -> None:
    import h5py
    import keras as keras3

    network = keras3.Sequential([keras3.layers.Input((3,)), keras3.layers.Dense(2, name="d")])
    network.save(tmp_path / "net.keras")
    for kind in ("shape", "missing"):
        with zipfile.ZipFile(tmp_path / "net.keras") as archive:
            config = json.loads(archive.read("config.json"))
            (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        if kind == "shape":
            config["config"]["layers"][1]["config"]["units"] = 5
        else:
            with h5py.File(tmp_path / "w.h5", "a") as file:
                del file["layers/dense/vars/1"]
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("metadata.json", '{"keras_version": "3.5.0"}')
            archive.write(tmp_path / "w.h5", "model.weights.h5")
        with pytest.raises(InvalidModel) as refusal:
            load_model(tmp_path / "bad.keras")
        assert "\n" not in str(refusal.value)


def test_an_hdf5_file_under_the_ending_of_keras_is_checked_as_well(tmp_path: Path) -> None:
    real = real_h5(tmp_path / "net.h5").rename(tmp_path / "net.keras")
    assert load_model(real).level is Level.KERAS
    hostile = write_h5(tmp_path / "bad.keras", sequential(entry("Lambda", {"function": []})))
    with pytest.raises(InvalidModel, match="is a Lambda"):
        load_model(hostile)


def exported(folder: Path, body: Callable[[Any, str], Any], marker: Path) -> Path:
    """A SavedModel whose serving function is `body`."""
    tf = tensorflow()

    class Holder(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(np.ones((3, 2), np.float32))

        def __call__(self, x: Any) -> Any:
            return body(tf.matmul(x, self.w), str(marker))

    holder = Holder()
    called = tf.function(holder.__call__, input_signature=[tf.TensorSpec((1, 3), tf.float32)])
    tf.saved_model.save(holder, str(folder), signatures=called.get_concrete_function())
    return folder


def write_file(y: Any, marker: str) -> Any:
    tf = tensorflow()
    with tf.control_dependencies([tf.io.write_file(marker, "x")]):
        return tf.identity(y)


def write_in_a_branch(y: Any, marker: str) -> Any:
    tf = tensorflow()
    return tf.cond(tf.reduce_sum(y) > 0, lambda: write_file(y, marker), lambda: y)


def write_in_a_loop(y: Any, marker: str) -> Any:
    tf = tensorflow()
    return tf.while_loop(
        lambda v: tf.reduce_sum(v) > 0, lambda v: (write_file(v, marker) - 9,), [y]
    )[0]


def write_in_a_gradient(y: Any, marker: str) -> Any:
    tf = tensorflow()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def plain(x: Any) -> Any:
        return x * 2.0, lambda up: write_file(up, marker)

    return plain(y)


def save_elsewhere(y: Any, marker: str) -> Any:
    tf = tensorflow()
    save = tf.raw_ops.SaveV2(
        prefix=marker, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.identity(y)]
    )
    with tf.control_dependencies([save]):
        return tf.identity(y)


HOSTILE_GRAPHS: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "write": (write_file, "WriteFile"),
    "branch": (write_in_a_branch, "WriteFile"),
    "loop": (write_in_a_loop, "WriteFile"),
    "save": (save_elsewhere, "SaveV2"),
    "print": (lambda y, m: write_print(y, m), "Print"),
    "python": (lambda y, m: tensorflow().py_function(lambda v: v, [y], y.dtype), "EagerPyFunc"),
    "numpy": (lambda y, m: tensorflow().numpy_function(lambda v: v, [y], y.dtype), "PyFunc"),
    "read": (lambda y, m: y + float_of(tensorflow().io.read_file("/etc/hostname")), "ReadFile"),
}


def float_of(text: Any) -> Any:
    tf = tensorflow()
    return tf.cast(tf.strings.length(text), tf.float32)


def write_print(y: Any, marker: str) -> Any:
    tf = tensorflow()
    with tf.control_dependencies([tf.print(y, output_stream=f"file://{marker}")]):
        return tf.identity(y)


@pytest.mark.parametrize("kind", HOSTILE_GRAPHS)
def test_a_saved_model_that_does_more_than_compute_is_refused(kind: str, tmp_path: Path) -> None:
    body, op = HOSTILE_GRAPHS[kind]
    marker = tmp_path / "ran"
    folder = exported(tmp_path / "saved", body, marker)
    with pytest.raises(InvalidModel, match=op) as refusal:
        load_model(folder)
    assert "\n" not in str(refusal.value)
    assert not marker.exists()


def test_a_saved_model_that_only_computes_loads(tmp_path: Path) -> None:
    folder = exported(tmp_path / "saved", lambda y, _: tensorflow().nn.relu(y) * 2.0, tmp_path)
    model = load_model(folder)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(predict(model, x), [[6, 6]])


@pytest.mark.slow
def test_a_saved_model_of_keras_has_the_weights_it_was_saved_with(tmp_path: Path) -> None:
    k = keras()
    shared = k.layers.Dense(3)
    inputs = k.Input((3,))
    hidden = k.Sequential([k.layers.Dense(3), k.layers.BatchNormalization()])(shared(inputs))
    network = k.Model(inputs, k.layers.LSTM(2)(k.layers.Reshape((3, 1))(shared(hidden))))
    rng = np.random.default_rng(0)
    network.set_weights([rng.random(w.shape, np.float32) for w in network.get_weights()])
    network.save(tmp_path / "net", save_format="tf")
    model = load_model(tmp_path / "net")
    assert model.level is Level.KERAS
    x = rng.random((4, 3), np.float32)
    np.testing.assert_allclose(predict(model, x), network.predict(x, verbose=0), atol=1e-6)


def test_a_saved_model_is_read_in_its_own_folder_alone(tmp_path: Path) -> None:
    folder = exported(tmp_path / "saved", lambda y, _: y, tmp_path)
    index = folder / "variables" / "variables.index"
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidModel, match="own folder"):
        load_model(folder)


def test_a_saved_model_that_reads_assets_is_refused(tmp_path: Path) -> None:
    tf = tensorflow()
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    holder = tf.Module()
    holder.words = tf.saved_model.Asset(str(words))
    holder.w = tf.Variable(1.0)
    called = tf.function(lambda x: x * holder.w, input_signature=[tf.TensorSpec((1,), tf.float32)])
    tf.saved_model.save(holder, str(tmp_path / "saved"), signatures=called.get_concrete_function())
    with pytest.raises(InvalidModel, match="assets"):
        load_model(tmp_path / "saved")


@pytest.mark.parametrize("kind", ["calls itself", "nodes with all that it calls"])
def test_functions_that_call_each_other_without_end_are_refused(kind: str, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    once = tensorflow().function(lambda x: x + 1.0)
    folder = exported(tmp_path / "saved", lambda y, _: once(y), tmp_path)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    library = saved.meta_graphs[0].graph_def.library
    for function in list(library.function):
        for node in function.node_def:
            if node.attr["f"].func.name:
                itself = kind == "calls itself"
                node.attr["f"].func.name = function.signature.name if itself else "level30"
    for level in range(31):
        function = library.function.add()
        function.signature.name = f"level{level}"
        for place in range(2):
            node = function.node_def.add(name=f"n{place}", op="PartitionedCall")
            if level:
                node.attr["f"].func.name = f"level{level - 1}"
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(InvalidModel, match=kind):
        load_model(folder)


def test_a_constant_that_claims_much_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = exported(tmp_path / "saved", lambda y, _: y + tensorflow().constant(1.5), tmp_path)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    for function in graph.library.function:
        for node in function.node_def:
            if node.op == "Const" and list(node.attr["value"].tensor.float_val) == [1.5]:
                node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 42)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(InvalidModel, match="claims 4,398,046,511,104 values"):
        load_model(folder)
