"""Valid model files of Keras 2, Keras 3 and TensorFlow, and spoiled copies of them."""

from __future__ import annotations

import copy
import json
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotiny.model import keras, tensorflow

NUMBERS = (0, -1, 1, 2, 7, 255, 65536, 10**6, 10**9, 2**31, 2**63 - 1, 10**30, 0.5, -1e30, 1e400)

KEYS = ("hook", "layer", "config", "module", "cell", "dtype", "build_config")


@dataclass(frozen=True)
class Seed:
    """A valid file: its configuration, if it has one as text, and where it lies."""

    path: Path
    config: Any = None


def networks2() -> Iterator[Any]:
    """Small networks of Keras 2: layers, functions of TensorFlow, wrappers."""
    import tensorflow_model_optimization as tfmot

    tf, k = tensorflow(), keras()
    inputs = k.Input((8, 8, 3))
    x = k.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(inputs)
    x = tf.concat([x * 2 + 1, k.layers.BatchNormalization()(x)], -1)
    x = tf.reduce_mean(k.layers.DepthwiseConv2D(3)(x), axis=[1, 2])[:, 1:]
    yield k.Model(inputs, k.layers.Dense(3, activation="softmax")(tf.reshape(x, (-1, 7))))
    yield k.Sequential(
        [
            k.layers.Input((12,)),
            k.layers.Embedding(20, 4),
            k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True)),
            k.layers.TimeDistributed(k.layers.Dense(2)),
            k.layers.GRU(2),
            k.layers.Dropout(0.5),
            k.layers.Dense(2),
        ]
    )
    plain = k.Sequential(
        [k.layers.Conv2D(2, 3, input_shape=(6, 6, 1)), k.layers.Flatten(), k.layers.Dense(2)]
    )
    yield tfmot.sparsity.keras.prune_low_magnitude(k.models.clone_model(plain))
    yield tfmot.quantization.keras.quantize_model(plain)


def networks3() -> Iterator[Any]:
    """Small networks of Keras 3: layers, operators, a model in a model."""
    import keras as k

    inputs = k.Input((8, 8, 3))
    x = k.layers.Conv2D(4, 3, activation="gelu", kernel_constraint="non_neg")(inputs)
    x = k.ops.concatenate([x * 2 + 1, k.layers.LeakyReLU(0.1)(x)], -1)
    x = k.layers.Add()([x, k.ops.relu6(x)])
    x = k.ops.mean(x, axis=[1, 2])[:, 1:5]
    yield k.Model(inputs, k.layers.Dense(3, activation="softmax")(x))
    inner = k.Sequential([k.layers.Input((4,)), k.layers.Dense(4), k.layers.ReLU()])
    yield k.Sequential(
        [
            k.layers.Input((10, 4)),
            k.layers.GaussianNoise(0.1),
            k.layers.LSTM(4),
            inner,
            k.layers.LayerNormalization(),
            k.layers.Dense(2, kernel_initializer="orthogonal"),
        ]
    )


def seeds(folder: Path) -> list[Seed]:
    """The valid files."""
    import h5py  # type: ignore[import-untyped]

    keras().utils.set_random_seed(0)
    found = []
    for index, network in enumerate([*networks2(), *networks3()]):
        endings = ["h5", "keras"] if "Quantize" not in str(network.layers) else ["h5"]
        for ending in endings:
            path = folder / f"net{index}.{ending}"
            try:
                network.save(path)
            except (NotImplementedError, TypeError):
                continue
            if ending == "h5":
                with h5py.File(path, "r") as file:
                    found.append(Seed(path, json.loads(file.attrs["model_config"])))
            else:
                with zipfile.ZipFile(path) as archive:
                    found.append(Seed(path, json.loads(archive.read("config.json"))))
        saved = folder / f"saved{index}"
        if type(network).__module__.startswith("keras."):
            network.export(saved, verbose=False)
        elif index < 2:
            network.save(saved, save_format="tf")
        if saved.is_dir():
            found.append(Seed(saved))
    return found


def names() -> list[str]:
    """What a file might name: all that TensorFlow and both Kerases export, and some of Python."""
    from keras.src import api_export
    from tensorflow.python.util import tf_export

    tf_names = tf_export._NAME_TO_SYMBOL_MAPPING
    exported = [*tf_names, *api_export.REGISTERED_NAMES_TO_OBJS]
    last = {name.rpartition(".")[2] for name in exported}
    python = [
        "os.system",
        "builtins.exec",
        "eval",
        "subprocess.run",
        "pickle.loads",
        "",
        "__class__",
    ]
    return sorted({*exported, *last}) + python * 20


def modules() -> list[str]:
    """Modules that a file might name."""
    loaded = [m for m in sys.modules if m.split(".")[0] in ("keras", "tf_keras", "tensorflow")]
    return [
        *sorted(loaded),
        "builtins",
        "os",
        "subprocess",
        "keras.utils",
        "keras.saving",
        "importlib",
    ]


def places(config: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a configuration."""
    items = config.items() if isinstance(config, dict) else enumerate(config)
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found.extend(places(value, (*path, key)))
    return found


def evil(rng: random.Random, pool: list[str], homes: list[str], marker: Path) -> Any:
    """A value that a hostile file would hold."""
    code = ["YwAAAA==", None, None]
    call = ["_CONSTANT_VALUE", -1, str(marker), {"contents": "x"}]
    saved = {"filepath": str(marker)}
    name, home = rng.choice(pool), rng.choice(homes)
    return rng.choice(
        [
            {"class_name": "Lambda", "config": {"name": "l", "function": code}},
            {"class_name": "__lambda__", "config": {"value": "YwAAAA=="}},
            {"class_name": "function", "config": name, "module": home, "registered_name": name},
            {"class_name": name.rpartition(".")[2], "config": {}, "module": home,
             "registered_name": rng.choice([None, name])},
            {"class_name": "TFOpLambda", "config": {"name": "t", "function": name},
             "name": "t", "inbound_nodes": [call]},
            {"class_name": "TFSMLayer", "config": saved, "module": "keras.layers"},
            {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
            {"class_name": "__typespec__", "spec_name": name, "module": home, "config": [],
             "registered_name": None},
            {"class_name": "__numpy__", "config": {"value": [[1]] * 50, "dtype": "float64"}},
            name, home, str(marker), [], {}, None, True, *NUMBERS, [name] * 3, [10**6] * 3,
            [[[[1]]]],
        ]
    )  # fmt: skip


def spoil(config: Any, rng: random.Random, value: Callable[[], Any], pool: list[str],
          homes: list[str]) -> Any:  # fmt: skip
    """A copy of a configuration with one to three values changed."""
    config = copy.deepcopy(config)
    for _ in range(rng.randint(1, 3)):
        paths = places(config)
        kind = rng.random()
        if kind < 0.5:
            words = ("class_name", "module", "registered_name", "function", "activation")
            paths = [p for p in paths if p[-1] in words or str(p[-1]).endswith("er")] or paths
        if not paths:
            break
        path = rng.choice(paths)
        holder = config
        for key in path[:-1]:
            holder = holder[key]
        old = holder[path[-1]]
        if path[-1] in ("class_name", "function", "registered_name") and rng.random() < 0.7:
            new: Any = rng.choice(pool)
        elif path[-1] == "module" and rng.random() < 0.7:
            new = rng.choice(homes)
        elif isinstance(old, (int, float)) and rng.random() < 0.7:
            new = rng.choice(NUMBERS)
        else:
            new = value()
        action = rng.random()
        if action < 0.7:
            holder[path[-1]] = new
        elif action < 0.8:
            del holder[path[-1]]
        elif isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(rng.choice([old, new])))
        else:
            holder[rng.choice(KEYS)] = new
    return config


def spoiled_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out or put in."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if not changed:
            break
        at = rng.randrange(len(changed))
        action = rng.random()
        if action < 0.7:
            changed[at] = rng.choice([0, 255, changed[at] ^ (1 << rng.randrange(8))])
        elif action < 0.9:
            del changed[at : at + rng.choice([1, 4, 100])]
        else:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(4))
    return bytes(changed)


def spoiled_graph(path: Path, rng: random.Random, pool: list[str]) -> None:
    """Changes ops, constants and names of functions in a saved_model.pb."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [n for f in graph.library.function for n in f.node_def] + list(graph.node)
    ops = [op for op in pool if op.isidentifier()]
    hostile = ("WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "SaveV2", "PrintV2", "While",
               "LookupTableFindV2", "Fill", "Range", "DebugIdentityV2")  # fmt: skip
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(nodes)
        action = rng.random()
        if action < 0.5:
            node.op = rng.choice([rng.choice(ops), *hostile])
        elif action < 0.7 and node.op == "Const":
            node.attr["value"].tensor.tensor_shape.dim.add(
                size=rng.choice([0, 3, 1 << 20, 1 << 50])
            )
        elif action < 0.8 and node.input:
            node.input[0] = rng.choice(nodes).name
        else:
            for value in node.attr.values():
                if value.func.name:
                    value.func.name = rng.choice(graph.library.function).signature.name
    path.write_bytes(saved.SerializeToString())


def write(seed: Seed, target: Path, rng: random.Random, config: Any) -> None:
    """A copy of a file with another configuration, and at times another version of Keras."""
    import h5py

    version = rng.choice([None, None, None, "2.15.0", "3.5.0", "", "30", "x" * 100])
    text = json.dumps(config)
    if rng.random() < 0.05:
        text = spoiled_bytes(text.encode(), rng).decode("utf-8", "replace").replace("\0", "")
    if target.suffix == ".h5":
        shutil.copy(seed.path, target)
        with h5py.File(target, "a") as file:
            file.attrs["model_config"] = text
            if version is not None:
                file.attrs["keras_version"] = version
        return
    with zipfile.ZipFile(seed.path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content: bytes | str = old.read(name)
            if name == "config.json":
                content = text
            if name == "metadata.json" and version is not None:
                content = json.dumps({"keras_version": version})
            new.writestr(name, content)


class Mutations:
    """Spoiled files, each from its own number."""

    def __init__(self, folder: Path, marker: Path, seed: int) -> None:
        self.seeds = seeds(folder)
        self.pool, self.homes = names(), modules()
        self.marker, self.seed = marker, seed

    def make(self, number: int, folder: Path) -> Path:
        """Writes the file of a number into a folder."""
        rng = random.Random(f"{self.seed}/{number}")
        seed = rng.choice(self.seeds)
        target = folder / f"m{number}{seed.path.suffix}"
        if seed.path.is_dir():
            shutil.copytree(seed.path, target)
            if rng.random() < 0.6:
                spoiled_graph(target / "saved_model.pb", rng, self.pool)
            else:
                files = sorted(p for p in target.rglob("*") if p.is_file())
                file = rng.choice(files)
                file.write_bytes(spoiled_bytes(file.read_bytes(), rng))
        elif rng.random() < 0.85:
            value = lambda: evil(rng, self.pool, self.homes, self.marker)  # noqa: E731
            write(seed, target, rng, spoil(seed.config, rng, value, self.pool, self.homes))
        else:
            target.write_bytes(spoiled_bytes(seed.path.read_bytes(), rng))
        return target
