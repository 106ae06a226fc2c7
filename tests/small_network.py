"""A small convolutional network as the engine generates it, without TensorFlow."""

import numpy as np

from autotiny.engine import Sources, generate, plain_schedule
from autotiny.graph import DType, Graph, Op, Option, Quantization, Tensor


def quantized(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Tensor:
    return Tensor(name, shape, "int8", Quantization((scale,), (zero_point,)))


def weights(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    data = np.random.default_rng(seed).integers(-127, 128, shape, dtype=np.int8)
    scales = Quantization((0.01,) * shape[0], (0,) * shape[0])
    return Tensor(name, shape, "int8", scales, data)


def bias(name: str, size: int, seed: int) -> Tensor:
    data = np.random.default_rng(seed).integers(-500, 500, size, dtype=np.int32)
    return Tensor(name, (size,), "int32", Quantization((0.0002,) * size, (0,) * size), data)


def int8_network() -> Graph:
    """Convolution, max-pool, dense, softmax on an image of 12×12×3."""
    tensors = (
        quantized("image", (1, 12, 12, 3), 0.02, -3),
        weights("kernel", (8, 3, 3, 3), 1),
        bias("kernel_bias", 8, 2),
        quantized("features", (1, 10, 10, 8), 0.03, -128),
        quantized("pooled", (1, 5, 5, 8), 0.03, -128),
        weights("dense", (10, 200), 3),
        bias("dense_bias", 10, 4),
        quantized("logits", (1, 10), 0.5, 5),
        quantized("classes", (1, 10), 1 / 256, -128),
    )
    ops = (
        Op(
            "CONV_2D", (0, 1, 2), (3,),
            {"padding": "VALID", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1,
             "dilation_h_factor": 1, "fused_activation_function": "RELU"},
        ),
        Op(
            "MAX_POOL_2D", (3,), (4,),
            {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2,
             "filter_height": 2, "fused_activation_function": "NONE"},
        ),
        Op(
            "FULLY_CONNECTED", (4, 5, 6), (7,),
            {"fused_activation_function": "NONE", "keep_num_dims": False},
        ),
        Op("SOFTMAX", (7,), (8,), {"beta": 1.0}),
    )  # fmt: skip
    return Graph(tensors, ops, (0,), (8,))


def float_network() -> Graph:
    """Two dense layers of float32."""
    generator = np.random.default_rng(5)

    def real(name: str, shape: tuple[int, ...], constant: bool = False) -> Tensor:
        data = generator.standard_normal(shape).astype(np.float32) if constant else None
        dtype: DType = "float32"
        return Tensor(name, shape, dtype, None, data)

    tensors = (
        real("x", (1, 32)),
        real("w", (16, 32), True),
        real("b", (16,), True),
        real("hidden", (1, 16)),
        real("w2", (4, 16), True),
        real("b2", (4,), True),
        real("y", (1, 4)),
    )
    dense: dict[str, Option] = {"fused_activation_function": "RELU", "keep_num_dims": False}
    ops = (
        Op("FULLY_CONNECTED", (0, 1, 2), (3,), dense),
        Op("FULLY_CONNECTED", (3, 4, 5), (6,), {**dense, "fused_activation_function": "NONE"}),
    )
    return Graph(tensors, ops, (0,), (6,))


def generated(graph: Graph) -> Sources:
    return generate(graph, plain_schedule(graph))
