"""Says which layers and functions of Keras 3 the C computes as Keras does.

    python benchmarks/keras3.py

Each stands alone in a small network with seeded weights, and some stand in pairs. The network is
loaded, lowered to float32, written as C, compiled for this machine, and compared with `predict` of
Keras 3 on seeded inputs: equal within 1e-4 of the largest output, refused with a reason, or wrong.
The table goes to `results/keras.md`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.cache import Cache
from autotiny.components import Work
from autotiny.dataset import synthetic
from autotiny.engine import generate, plain_schedule
from autotiny.errors import AutotinyError
from autotiny.firmware import build_host
from autotiny.model import keras, load_model
from autotiny.recipe import Recipe, apply, component_named

RESULTS = Path(__file__).parent.parent / "results" / "keras.md"
TOLERANCE = 1e-4
SAMPLES = 8

VECTOR, SEQUENCE, IMAGE = (6,), (8, 6), (8, 8, 4)

ALONE: tuple[tuple[str, tuple[int, ...], dict[str, Any]], ...] = (
    ("Dense", VECTOR, {"units": 5}),
    ("EinsumDense", VECTOR, {"equation": "ab,bc->ac", "output_shape": 5}),
    ("Activation", VECTOR, {"activation": "tanh"}),
    ("Identity", VECTOR, {}),
    ("Masking", SEQUENCE, {}),
    ("Conv1D", SEQUENCE, {"filters": 4, "kernel_size": 3}),
    ("Conv2D", IMAGE, {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("Conv2D", IMAGE, {"filters": 4, "kernel_size": 3, "dilation_rate": 2}),
    ("Conv2D", IMAGE, {"filters": 4, "kernel_size": 3, "groups": 2}),
    ("SeparableConv1D", SEQUENCE, {"filters": 4, "kernel_size": 3}),
    ("SeparableConv2D", IMAGE, {"filters": 5, "kernel_size": 3}),
    ("DepthwiseConv1D", SEQUENCE, {"kernel_size": 3}),
    ("DepthwiseConv2D", IMAGE, {"kernel_size": 3, "depth_multiplier": 2}),
    ("Conv1DTranspose", SEQUENCE, {"filters": 3, "kernel_size": 3, "strides": 2}),
    ("Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 3, "strides": 2}),
    ("Conv3D", (6, 6, 6, 2), {"filters": 3, "kernel_size": 3}),
    *(
        (f"{kind}Pooling{rank}D", shape, {"pool_size": 2})
        for kind in ("Max", "Average")
        for rank, shape in ((1, SEQUENCE), (2, IMAGE), (3, (6, 6, 6, 2)))
    ),
    *(
        (f"Global{kind}Pooling{rank}D", shape, {})
        for kind in ("Max", "Average")
        for rank, shape in ((1, SEQUENCE), (2, IMAGE), (3, (6, 6, 6, 2)))
    ),
    *(
        (name, shape, {"units": 5, **more})
        for name in ("SimpleRNN", "GRU", "LSTM")
        for shape in (SEQUENCE,)
        for more in ({}, {"return_sequences": True}, {"go_backwards": True})
    ),
    ("GRU", SEQUENCE, {"units": 5, "reset_after": False}),
    ("GRU", SEQUENCE, {"units": 5, "recurrent_activation": "hard_sigmoid"}),
    ("ConvLSTM1D", (4, 8, 3), {"filters": 2, "kernel_size": 3}),
    ("BatchNormalization", IMAGE, {}),
    ("LayerNormalization", VECTOR, {}),
    ("GroupNormalization", IMAGE, {"groups": 2}),
    ("RMSNormalization", VECTOR, {}),
    ("UnitNormalization", VECTOR, {}),
    ("Rescaling", VECTOR, {"scale": 0.5, "offset": -1.0}),
    ("Normalization", VECTOR, {"mean": 0.5, "variance": 2.0}),
    ("Dropout", VECTOR, {"rate": 0.5}),
    ("SpatialDropout1D", SEQUENCE, {"rate": 0.5}),
    ("SpatialDropout2D", IMAGE, {"rate": 0.5}),
    ("GaussianDropout", VECTOR, {"rate": 0.5}),
    ("GaussianNoise", VECTOR, {"stddev": 0.5}),
    ("AlphaDropout", VECTOR, {"rate": 0.5}),
    ("ActivityRegularization", VECTOR, {"l2": 0.1}),
    ("RandomFlip", IMAGE, {}),
    ("RandomRotation", IMAGE, {"factor": 0.1}),
    ("RandomZoom", IMAGE, {"height_factor": 0.1}),
    ("RandomTranslation", IMAGE, {"height_factor": 0.1, "width_factor": 0.1}),
    ("RandomContrast", IMAGE, {"factor": 0.1}),
    ("RandomBrightness", (8, 8, 3), {"factor": 0.1}),
    ("CenterCrop", IMAGE, {"height": 4, "width": 4}),
    ("Resizing", IMAGE, {"height": 16, "width": 16}),
    ("Resizing", IMAGE, {"height": 4, "width": 4, "interpolation": "nearest"}),
    ("Flatten", IMAGE, {}),
    ("Reshape", VECTOR, {"target_shape": (2, 3)}),
    ("Permute", SEQUENCE, {"dims": (2, 1)}),
    ("RepeatVector", VECTOR, {"n": 3}),
    ("Cropping1D", SEQUENCE, {"cropping": 1}),
    ("Cropping2D", IMAGE, {"cropping": 1}),
    ("ZeroPadding1D", SEQUENCE, {"padding": 1}),
    ("ZeroPadding2D", IMAGE, {"padding": ((1, 0), (2, 1))}),
    ("UpSampling1D", SEQUENCE, {"size": 2}),
    ("UpSampling2D", IMAGE, {"size": 2}),
    ("UpSampling2D", IMAGE, {"size": 2, "interpolation": "bilinear"}),
    ("ReLU", VECTOR, {"max_value": 4.0, "negative_slope": 0.1, "threshold": 0.5}),
    ("LeakyReLU", VECTOR, {"negative_slope": 0.05}),
    ("PReLU", VECTOR, {}),
    ("ELU", VECTOR, {"alpha": 0.5}),
    ("Softmax", SEQUENCE, {"axis": 1}),
    ("AdaptiveAveragePooling1D", SEQUENCE, {"output_size": 4}),
    ("AdaptiveAveragePooling2D", IMAGE, {"output_size": (4, 2)}),
    ("AdaptiveAveragePooling3D", (6, 6, 6, 2), {"output_size": 3}),
    ("AdaptiveMaxPooling1D", SEQUENCE, {"output_size": 4}),
    ("AdaptiveMaxPooling2D", IMAGE, {"output_size": (4, 2)}),
    ("AdaptiveMaxPooling3D", (6, 6, 6, 2), {"output_size": 3}),
    ("Conv3DTranspose", (4, 4, 4, 2), {"filters": 2, "kernel_size": 3}),
    ("ConvLSTM2D", (3, 6, 6, 2), {"filters": 2, "kernel_size": 3}),
    ("ConvLSTM3D", (3, 4, 4, 4, 1), {"filters": 2, "kernel_size": 3}),
    ("Cropping3D", (6, 6, 6, 2), {"cropping": 1}),
    ("ZeroPadding3D", (4, 4, 4, 2), {"padding": 1}),
    ("UpSampling3D", (4, 4, 4, 2), {"size": 2}),
    ("SpatialDropout3D", (4, 4, 4, 2), {"rate": 0.5}),
    *((name, (8, 8, 3), {}) for name in (
        "AugMix", "AutoContrast", "CutMix", "MixUp", "Solarization",
        "ContrastLimitedAdaptiveHistogramEqualization", "RandAugment", "RandomElasticTransform",
        "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomInvert",
        "RandomPerspective", "RandomShear",
    )),
    ("RandomColorJitter", (8, 8, 3), {"brightness_factor": 0.2}),
    ("RandomColorDegeneration", (8, 8, 3), {"factor": 0.2}),
    ("RandomCrop", IMAGE, {"height": 6, "width": 6}),
    ("RandomHue", (8, 8, 3), {"factor": 0.2}),
    ("RandomPosterization", (8, 8, 3), {"factor": 4}),
    ("RandomSaturation", (8, 8, 3), {"factor": 0.2}),
    ("RandomSharpness", (8, 8, 3), {"factor": 0.2}),
    ("ReversibleEmbedding", VECTOR, {"input_dim": 9, "output_dim": 3}),
    ("STFTSpectrogram", (400, 1), {}),
    ("MelSpectrogram", (4000,), {}),
    ("CategoryEncoding", VECTOR, {"num_tokens": 9, "output_mode": "multi_hot"}),
    ("Discretization", VECTOR, {"bin_boundaries": [0.0, 1.0]}),
    ("Embedding", VECTOR, {"input_dim": 9, "output_dim": 3}),
)  # fmt: skip

ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink",
    "threshold",
)  # fmt: skip
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "x * 2": lambda ops, x: x * 2,
    "1 - x": lambda ops, x: 1 - x,
    "x / 3": lambda ops, x: x / 3,
    "x ** 2": lambda ops, x: x**2,
    "-x": lambda ops, x: -x,
    "x * x": lambda ops, x: x * x,
    "x[:, 1:5, ::2]": lambda ops, x: x[:, 1:5, ::2],
    "x[:, -1]": lambda ops, x: x[:, -1],
    "x[..., 0]": lambda ops, x: x[..., 0],
    "abs": lambda ops, x: ops.abs(x),
    "exp": lambda ops, x: ops.exp(x / 8),
    "log": lambda ops, x: ops.log(ops.abs(x) + 1),
    "sqrt": lambda ops, x: ops.sqrt(ops.abs(x)),
    "square": lambda ops, x: ops.square(x),
    "sin": lambda ops, x: ops.sin(x),
    "clip": lambda ops, x: ops.clip(x, -1, 1),
    "maximum": lambda ops, x: ops.maximum(x, 0.5),
    "minimum": lambda ops, x: ops.minimum(x, 0.5),
    "mean": lambda ops, x: ops.mean(x, axis=1),
    "sum": lambda ops, x: ops.sum(x, axis=-1, keepdims=True),
    "max": lambda ops, x: ops.max(x, axis=1),
    "min": lambda ops, x: ops.min(x, axis=1),
    "var": lambda ops, x: ops.var(x, axis=1),
    "argmax": lambda ops, x: ops.argmax(x, axis=-1),
    "concatenate": lambda ops, x: ops.concatenate([x, x], axis=-1),
    "stack": lambda ops, x: ops.stack([x, x], axis=1),
    "split": lambda ops, x: ops.split(x, 2, axis=-1)[1],
    "reshape": lambda ops, x: ops.reshape(x, (-1, 6, 8)),
    "transpose": lambda ops, x: ops.transpose(x, (0, 2, 1)),
    "expand_dims": lambda ops, x: ops.expand_dims(x, 1),
    "squeeze": lambda ops, x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "pad": lambda ops, x: ops.pad(x, ((0, 0), (1, 2), (0, 0))),
    "matmul": lambda ops, x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "where": lambda ops, x: ops.where(x > 0, x, 0.1 * x),
    "relu": lambda ops, x: ops.relu(x),
    "leaky_relu": lambda ops, x: ops.leaky_relu(x, 0.1),
    "softmax": lambda ops, x: ops.softmax(x, axis=1),
    "sigmoid": lambda ops, x: ops.sigmoid(x),
    "sort": lambda ops, x: ops.sort(x),
    "cumsum": lambda ops, x: ops.cumsum(x, axis=1),
}

PAIRED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same"}),
    ("DepthwiseConv2D", {"kernel_size": 3}),
    ("BatchNormalization", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("MaxPooling2D", {}),
    ("ZeroPadding2D", {}),
    ("Dropout", {"rate": 0.3}),
    ("LayerNormalization", {}),
)


def main() -> None:
    """Check all of them and write the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    keras()
    import keras as keras3

    keras3.utils.set_random_seed(0)
    rows = []
    for kind, name, build in cases(keras3):
        try:
            result, why = checked(build)
        except Exception as failure:
            result, why = (
                "failed",
                f"{type(failure).__name__}: {str(failure).splitlines()[0][:200]}",
            )
        rows.append((kind, name, result, why))
        print(kind, name, result, why, flush=True)
    RESULTS.write_text(table(rows, left_out(keras3, rows)), encoding="utf-8")


def cases(keras3: Any) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """What is checked: its kind, its name, and what builds a network of it."""
    layers, ops = keras3.layers, keras3.ops

    def sequential(shape: tuple[int, ...], *parts: tuple[str, dict[str, Any]]) -> Callable[[], Any]:
        return lambda: keras3.Sequential(
            [keras3.Input(shape), *(getattr(layers, name)(**given) for name, given in parts)]
        )

    def functional(shape: tuple[int, ...], result: Callable[[Any], Any]) -> Callable[[], Any]:
        def build() -> Any:
            start = keras3.Input(shape)
            return keras3.Model(start, result(start))

        return build

    for name, shape, given in ALONE:
        text = ", ".join(f"{key}={value}" for key, value in given.items())
        yield "layer", f"{name}({text})", sequential(shape, (name, given))
    wrapped = {
        "Bidirectional(GRU)": lambda: layers.Bidirectional(layers.GRU(3)),
        "TimeDistributed(Dense)": lambda: layers.TimeDistributed(layers.Dense(3)),
        "SpectralNormalization(Dense)": lambda: layers.SpectralNormalization(layers.Dense(3)),
        "RNN(LSTMCell)": lambda: layers.RNN(layers.LSTMCell(3)),
        "RNN(GRUCell)": lambda: layers.RNN(layers.GRUCell(3)),
        "RNN(SimpleRNNCell)": lambda: layers.RNN(layers.SimpleRNNCell(3)),
        "RNN(StackedRNNCells)": lambda: layers.RNN(
            layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)])
        ),
        "Dense(activation=LeakyReLU)": lambda: layers.Dense(
            4, activation=layers.LeakyReLU(negative_slope=0.3)
        ),
        "Pipeline": lambda: layers.Pipeline([layers.Rescaling(2.0)]),
        "Lambda": lambda: layers.Lambda(lambda x: x * 2),
    }
    for name, make in wrapped.items():
        yield "layer", name, functional(SEQUENCE, partial(called, make))
    attention: dict[str, Callable[[Any], Any]] = {
        "Attention": lambda x: layers.Attention()([x, x]),
        "AdditiveAttention": lambda x: layers.AdditiveAttention()([x, x]),
        "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 3)(x, x),
        "GroupQueryAttention": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
    }
    for name, attend in attention.items():
        yield "layer", name, functional(SEQUENCE, attend)
    for name in ACTIVATIONS:
        yield "activation", name, sequential(VECTOR, ("Dense", {"units": 4, "activation": name}))
    for name in MERGES:
        options = {"axes": 1} if name == "Dot" else {}
        yield "merge", name, functional(VECTOR, partial(merged, layers, name, options))
    for name, function in FUNCTIONS.items():
        yield "function", name, functional(SEQUENCE, partial(function, ops))
    for (one, given), (other, more) in product(PAIRED, repeat=2):
        if one != other:
            yield "pair", f"{one} → {other}", sequential(IMAGE, (one, given), (other, more))


def left_out(keras3: Any, rows: list[tuple[str, str, str, str]]) -> list[str]:
    """The layers of Keras 3 that no row names."""
    text = " ".join(name for _, name, _, _ in rows)
    found = (name for name, one in vars(keras3.layers).items() if isinstance(one, type))
    kept: dict[int, str] = {}
    for name in sorted(found):
        # Many layers have several names.
        one = getattr(keras3.layers, name)
        if name in text or id(one) not in kept:
            kept[id(one)] = name
    return sorted(name for name in kept.values() if name not in text)


def called(make: Callable[[], Any], x: Any) -> Any:
    """A layer on a tensor."""
    return make()(x)


def merged(layers: Any, name: str, options: dict[str, Any], x: Any) -> Any:
    """Two layers on a tensor, and a layer that joins them."""
    return getattr(layers, name)(**options)([layers.Dense(4)(x), layers.Dense(4)(x)])


def checked(build: Callable[[], Any]) -> tuple[str, str]:
    """Whether the C computes what Keras does: the result, and why."""
    network = build()
    dice = np.random.default_rng(1)
    for variable in network.weights:
        if str(variable.dtype) == "float32":
            spread = dice.uniform(0.1, 0.9, variable.shape) - (0.5 if variable.trainable else 0)
            variable.assign(spread)
    embeds = any(hasattr(layer, "input_dim") for layer in network.layers)
    shape = (SAMPLES, *network.input_shape[1:])
    drawn = dice.integers(0, 9, shape) if embeds else dice.normal(0, 2, shape)
    x = drawn.astype(np.float32)
    try:
        model = load_model(network)
        lowering = component_named("float32")()
        lowered = apply(Recipe((lowering,)), model, Work(synthetic(model)), Cache()).model
        graph = lowered.graph
        found = build_host(generate(graph, plain_schedule(graph)), optimize="-O1").predict(x)
    except AutotinyError as refusal:
        return "refused", str(refusal).splitlines()[0]
    wanted = np.asarray(network.predict(x, verbose=0))
    gap = float(
        np.abs(found.reshape(wanted.shape) - wanted).max() / max(np.abs(wanted).max(), 1e-9)
    )
    return ("equal", f"{gap:.1e}") if gap <= TOLERANCE else ("wrong", f"{gap:.1e}")


def table(rows: list[tuple[str, str, str, str]], without: list[str]) -> str:
    """The page: counts first, then every case."""
    counts = Counter(result for _, _, result, _ in rows)
    total = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    lines = [
        "# Keras 3, layer by layer",
        "",
        f"Written by `python benchmarks/keras3.py` with Keras {version('keras')} and TensorFlow "
        f"{version('tensorflow')}.",
        f"{len(rows)} networks: {total}. Equal means within {TOLERANCE:g} of the largest output of "
        "`predict`; the",
        "figure is how far they are apart.",
        "",
        "Layers of Keras 3 that no row names, since they make no network by themselves, read",
        f"text, or hold code: {', '.join(without)}.",
        "",
        "| kind | network | result | |",
        "|---|---|---|---|",
        *(f"| {kind} | `{name}` | {result} | {why} |" for kind, name, result, why in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
