"""How much the loss grows when a part of a network is made cheaper, and nothing is trained.

What a part bears is measured so, one part and one level at a time. HAQ (Wang et al., "HAQ:
Hardware-Aware Automated Quantization with Mixed Precision", CVPR 2019, arXiv 1811.08886) and AMC
(He et al., "AMC: AutoML for Model Compression and Acceleration on Mobile Devices", ECCV 2018, arXiv
1802.03494) let an agent learn it, HAWQ (Dong et al., "HAWQ: Hessian AWare Quantization of Neural
Networks with Mixed-Precision", ICCV 2019, arXiv 1905.03696) takes it from second derivatives. The
loss of networks for microcontrollers is computed faster than either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from autotiny.cache import key_of, remembered
from autotiny.codeversion import code_version
from autotiny.components.base import Work
from autotiny.graph import Array
from autotiny.model import KerasModel, Model, copy_network, fed, tensorflow
from autotiny.model.ends import keras_ends_in

SAMPLES = 256
"""So many training samples tell how much the loss grows; validation and test stay unseen."""

BATCH = 128

MARGIN = 1e-4
"""Of the loss, by which a level is worse than a milder one at least: of two whose growth is noise,
the milder one leaves more to a fine-tune."""

L = TypeVar("L", int, float)

Kernels = Mapping[str, Array]
"""Other kernels for some layers, by the name of the layer."""


def sensitivities(
    model: Model,
    work: Work,
    asker: str,
    levels: Sequence[Sequence[L]],
    kernels: Callable[[int, L], Kernels],
) -> list[Array]:
    """By how much the loss grows for each part of a network at each of its levels.

    It grows from level to level, and is infinite where the loss is no number.

    Args:
        model: of level keras; it stays as it is.
        work: samples, seed and cache.
        asker: names in the cache what `kernels` does.
        levels: of each part, the mildest first, which changes nothing.
        kernels: what makes a part of a level, in place of the kernels that the model has.
    """

    def measured() -> list[list[float]]:
        twin = copy_network(model.keras)
        loss = _loss(twin, work)
        before = loss()
        grown = []
        for part, some in enumerate(levels):
            grown.append([0.0])
            for level in some[1:]:
                with _changed(twin, kernels(part, level)):
                    growth = loss() - before
                worse = grown[-1][-1] + MARGIN * abs(before)
                grown[-1].append(max(growth, worse) if math.isfinite(growth) else math.inf)
        return grown

    if work.cache is None:
        found = measured()
    else:
        key = key_of(
            "sensitivities", asker, levels, model.fingerprint, work.data.fingerprint,
            work.data.task.asked, work.seed, code_version(__name__),
        )  # fmt: skip
        found = remembered(work.cache, key, measured)
    return [np.array(part) for part in found]


@contextmanager
def _changed(network: KerasModel, kernels: Kernels) -> Iterator[None]:
    """Lets some layers have other kernels meanwhile."""
    own = {name: network.get_layer(name).get_weights() for name in kernels}
    for name, kernel in kernels.items():
        network.get_layer(name).set_weights([kernel, *own[name][1:]])
    yield
    for name, weights in own.items():
        network.get_layer(name).set_weights(weights)


def _loss(network: KerasModel, work: Work) -> Callable[[], float]:
    """Gives the loss of a network on some training samples, with the weights that it then has."""
    tf, data = tensorflow(), work.data
    x, y = data.task.learned(data.x_train, data.y_train)
    count = min(SAMPLES, len(x))
    chosen = np.sort(np.random.default_rng(work.seed).choice(len(x), count, replace=False))
    batches = []
    for begin in range(0, count, BATCH):
        some = chosen[begin : begin + BATCH]
        batches.append((tf.nest.map_structure(tf.constant, fed(network, x[some])), y[some]))
    of = data.task.loss(keras_ends_in(network), tf)

    @tf.function  # type: ignore[untyped-decorator]
    def loss(inputs: Any, targets: Any) -> Any:
        outputs = tf.nest.flatten(network(inputs, training=False))
        if len(outputs) > 1:
            outputs = [tf.concat([tf.reshape(one, (len(targets), -1)) for one in outputs], axis=1)]
        return tf.reduce_mean(of(targets, outputs[0]))

    def mean() -> float:
        return sum(float(loss(a, tf.constant(b))) * len(b) for a, b in batches) / count

    return mean
