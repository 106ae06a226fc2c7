"""The built-in networks: the tutorial's, and the four of MLPerf Tiny.

Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021; layer sizes as its reference networks state
them. Layer names are given, never counted up, so that a network is the same in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autotiny.doors import keras
from autotiny.model.kerastypes import KerasModel, KerasTensor


def cnn1() -> KerasModel:
    """The tutorial's CNN, 28×28 to 10 classes: 20,410 parameters, 93,288 MACs, logits out."""
    k = keras()
    network: KerasModel = k.Sequential(
        [
            k.layers.InputLayer(input_shape=(28, 28), name="image"),
            k.layers.Reshape((28, 28, 1), name="reshape"),
            k.layers.Conv2D(12, 3, activation="relu", name="conv"),
            k.layers.MaxPooling2D(2, name="pool"),
            k.layers.Flatten(name="flatten"),
            k.layers.Dense(10, name="dense"),
        ],
        name="cnn1",
    )
    return network


def ds_cnn() -> KerasModel:
    """Keyword spotting, 49×10 MFCC frames to 12 classes: depthwise-separable, 2,656,768 MACs."""
    k = keras()
    image = k.Input((49, 10, 1), name="mfcc")
    x = _conv(image, 64, (10, 4), 2, "conv")
    for block in range(1, 5):
        x = _separable(x, 64, 1, f"block{block}")
    x = k.layers.Dropout(0.4, name="dropout")(x)
    x = k.layers.AveragePooling2D((25, 5), name="pool")(x)
    x = k.layers.Flatten(name="flatten")(x)
    x = k.layers.Dense(12, activation="softmax", name="dense")(x)
    network: KerasModel = k.Model(image, x, name="ds_cnn")
    return network


def resnet8() -> KerasModel:
    """Image classification on 32×32×3, 10 classes: a residual network of 12,501,632 MACs."""
    k = keras()
    image = k.Input((32, 32, 3), name="image")
    x = _conv(image, 16, 3, 1, "conv")
    for stack, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        name = f"stack{stack}"
        y = _conv(x, channels, 3, stride, f"{name}_conv1")
        y = _conv(y, channels, 3, 1, f"{name}_conv2", activation=False)
        if stride > 1:
            x = k.layers.Conv2D(channels, 1, stride, "same", name=f"{name}_shortcut")(x)
        x = k.layers.Add(name=f"{name}_add")([x, y])
        x = k.layers.ReLU(name=f"{name}_relu")(x)
    x = k.layers.AveragePooling2D(8, name="pool")(x)
    x = k.layers.Flatten(name="flatten")(x)
    x = k.layers.Dense(10, activation="softmax", name="dense")(x)
    network: KerasModel = k.Model(image, x, name="resnet8")
    return network


def mobilenet_v1() -> KerasModel:
    """Visual wake words on 96×96×3, 2 classes: MobileNet v1 of width 0.25, 7,489,664 MACs."""
    k = keras()
    image = k.Input((96, 96, 3), name="image")
    x = _conv(image, 8, 3, 2, "conv")
    blocks = (
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        *[(128, 1)] * 5,
        (256, 2),
        (256, 1),
    )
    for block, (channels, stride) in enumerate(blocks, 1):
        x = _separable(x, channels, stride, f"block{block}")
    x = k.layers.AveragePooling2D(3, name="pool")(x)
    x = k.layers.Flatten(name="flatten")(x)
    x = k.layers.Dense(2, activation="softmax", name="dense")(x)
    network: KerasModel = k.Model(image, x, name="mobilenet_v1")
    return network


def mobilenet_v2() -> KerasModel:
    """Visual wake words on 96×96×3, 2 classes: MobileNet v2 of width 0.35, 10,656,688 MACs.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """
    k = keras()
    image = k.Input((96, 96, 3), name="image")
    x = _conv(image, 16, 3, 2, "conv", most=6.0)
    blocks = (
        (1, 8, 1),
        *((6, 8, 2), (6, 8, 1)),
        *((6, 16, 2), (6, 16, 1), (6, 16, 1)),
        *((6, 24, 2), (6, 24, 1), (6, 24, 1), (6, 24, 1)),
        *((6, 32, 1), (6, 32, 1), (6, 32, 1)),
        *((6, 56, 2), (6, 56, 1), (6, 56, 1)),
        (6, 112, 1),
    )
    for block, (expansion, channels, stride) in enumerate(blocks, 1):
        x = _bottleneck(x, expansion, channels, stride, f"block{block}")
    x = _conv(x, 1280, 1, 1, "last", most=6.0)
    x = k.layers.AveragePooling2D(3, name="pool")(x)
    x = k.layers.Flatten(name="flatten")(x)
    x = k.layers.Dense(2, activation="softmax", name="dense")(x)
    network: KerasModel = k.Model(image, x, name="mobilenet_v2")
    return network


def autoencoder() -> KerasModel:
    """Anomaly detection: a dense autoencoder of 640 log-mel values, 128×4, 8, 128×4, 640."""
    k = keras()
    features = k.Input((640,), name="features")
    x = features
    for index, width in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), 1):
        x = k.layers.Dense(width, name=f"dense{index}")(x)
        x = k.layers.BatchNormalization(name=f"dense{index}_norm")(x)
        x = k.layers.ReLU(name=f"dense{index}_relu")(x)
    x = k.layers.Dense(640, name="reconstruction")(x)
    network: KerasModel = k.Model(features, x, name="autoencoder")
    return network


def _conv(
    x: KerasTensor,
    channels: int,
    kernel: int | tuple[int, int],
    stride: int,
    name: str,
    *,
    activation: bool = True,
    most: float | None = None,
) -> KerasTensor:
    """A convolution with batch normalization, and if asked a ReLU, which lets `most` pass."""
    k = keras()
    x = k.layers.Conv2D(channels, kernel, stride, "same", name=name)(x)
    x = k.layers.BatchNormalization(name=f"{name}_norm")(x)
    if activation:
        x = k.layers.ReLU(most, name=f"{name}_relu")(x)
    return x


def _separable(x: KerasTensor, channels: int, stride: int, name: str) -> KerasTensor:
    """A depthwise 3×3 and a pointwise convolution, each with batch normalization and ReLU."""
    k = keras()
    x = k.layers.DepthwiseConv2D(3, stride, "same", name=f"{name}_depthwise")(x)
    x = k.layers.BatchNormalization(name=f"{name}_depthwise_norm")(x)
    x = k.layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return _conv(x, channels, 1, 1, f"{name}_pointwise")


def _bottleneck(
    x: KerasTensor, expansion: int, channels: int, stride: int, name: str
) -> KerasTensor:
    """An inverted residual: × `expansion` channels, a depthwise 3×3, a projection; the sum."""
    k = keras()
    start = x
    if expansion > 1:
        x = _conv(x, expansion * start.shape[3], 1, 1, f"{name}_expand", most=6.0)
    x = k.layers.DepthwiseConv2D(3, stride, "same", name=f"{name}_depthwise")(x)
    x = k.layers.BatchNormalization(name=f"{name}_depthwise_norm")(x)
    x = k.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _conv(x, channels, 1, 1, f"{name}_project", activation=False)
    if stride == 1 and start.shape[3] == channels:
        x = k.layers.Add(name=f"{name}_add")([start, x])
    return x


BUILTIN: Mapping[str, Callable[[], KerasModel]] = {
    builder.__name__: builder
    for builder in (cnn1, ds_cnn, resnet8, mobilenet_v1, mobilenet_v2, autoencoder)
}
