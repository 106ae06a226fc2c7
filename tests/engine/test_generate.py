"""The text of generated C."""

import re

import numpy as np
from build import single, tensor

from autotiny.engine import generate, plain_schedule
from autotiny.firmware import build_host
from autotiny.graph import Graph

W = np.arange(30, dtype=np.float32).reshape(10, 3)


def dense() -> Graph:
    inputs = [tensor((1, 3), "float32"), tensor((10, 3), "float32", data=W)]
    return single("FULLY_CONNECTED", inputs, tensor((1, 10), "float32"))


def test_the_same_graph_gives_the_same_bytes() -> None:
    first, again = (generate(dense(), plain_schedule(dense())).files for _ in range(2))
    assert first == again


def test_an_array_is_declared_with_the_alignment_it_is_defined_with() -> None:
    # x86 takes 16 bytes for granted where none is stated, and its aligned loads trap
    sources = generate(dense(), plain_schedule(dense()))
    texts = [sources.files["model.c"], sources.files["weights.c"]]
    named = [line for text in texts for line in re.findall(r".*\bmodel_w\d+\[.*", text)]
    assert len(named) >= 3
    assert all("AT_WORD_ALIGNED" in line for line in named)
    x = np.ones((4, 1, 3), np.float32)
    np.testing.assert_allclose(build_host(sources).predict(x)[0].reshape(10), W.sum(axis=1))
