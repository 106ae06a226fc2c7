from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotiny.components import Work
from autotiny.components.keras.separate_convolutions import SeparateConvolutions, separated_kernels
from autotiny.dataset import digits
from autotiny.errors import NotApplicable
from autotiny.model import Model, keras, keras_model, predict


def test_full_rank_is_exact() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 5)).astype(np.float32)
    depthwise, pointwise = separated_kernels(kernel, 5)
    product = np.einsum("hwir,iro->hwio", depthwise, pointwise.reshape(2, 5, 5))
    np.testing.assert_allclose(product, kernel, atol=1e-5)


def test_rank_one_is_the_nearest() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 8)).astype(np.float32)
    depthwise, pointwise = separated_kernels(kernel, 1)
    product = np.einsum("hwir,iro->hwio", depthwise, pointwise.reshape(1, 1, 8))
    values = np.linalg.svd(kernel.reshape(9, 8), compute_uv=False)
    assert np.sum((product - kernel) ** 2) == pytest.approx(np.sum(values[1:] ** 2), rel=1e-4)


def test_a_separable_kernel_loses_nothing(data: object) -> None:
    k = keras()
    rng = np.random.default_rng(0)
    kernel = np.einsum("hwi,io->hwio", rng.normal(size=(3, 3, 4)), rng.normal(size=(4, 6)))
    network = k.Sequential(
        [
            k.layers.InputLayer(input_shape=(9, 8, 4)),
            k.layers.Conv2D(6, 3, 2, "same", activation="relu", name="conv"),
        ]
    )
    network.get_layer("conv").set_weights([kernel, rng.normal(size=6)])
    work = Work(data, rehearse=True)  # type: ignore[arg-type]
    model = keras_model(network)
    apart = SeparateConvolutions().apply(model, work)
    x = rng.random((5, 9, 8, 4), np.float32)
    np.testing.assert_allclose(predict(apart, x), predict(model, x), atol=1e-4)


@pytest.mark.slow
def test_it_learns_what_the_original_knows(
    residual: Model, work: Work, accuracy: Callable[[Model], float]
) -> None:
    # On the small set of the other tests, what it learns hangs on the machine's arithmetic.
    taught = replace(work, data=digits(), original=residual, epochs=24)
    apart = SeparateConvolutions().apply(residual, taught)
    kinds = [type(layer).__name__ for layer in apart.keras.layers]
    assert kinds.count("DepthwiseConv2D") == 3
    assert apart.keras.count_params() < residual.keras.count_params()
    assert accuracy(apart) >= accuracy(residual) - 0.1


def test_nothing_to_separate(work: Work, cnn1: Model) -> None:
    with pytest.raises(NotApplicable, match="no convolution has fewer weights"):
        SeparateConvolutions(multiplier=9).apply(cnn1, work)
