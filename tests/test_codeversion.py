import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from autotiny import codeversion
from autotiny.codeversion import ROOT, code_version, reachable
from autotiny.components import COMPONENTS, Component
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.program.block_gemm import BlockGemm
from autotiny.components.tflite.int8 import Int8
from autotiny.datafile import data_folder
from autotiny.dataset import Dataset
from autotiny.evaluate import cost_key, score_key
from autotiny.graph import Graph, Op, Tensor
from autotiny.model import Level, Model
from autotiny.model.loading import trained_key
from autotiny.recipe import extended_key
from autotiny.target import load_target, target_key
from autotiny.tasks import Classification

GRAPH = Graph(
    (Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32")),
    (Op("RELU", (0,), (1,)),),
    (0,),
    (1,),
)
MODEL = Model(Level.TFLITE, GRAPH, GRAPH.fingerprint())
SAMPLES = np.zeros((3, 4), np.float32)
CLASSES = np.zeros(3, np.int32)
DATA = Dataset("three", *(SAMPLES, CLASSES) * 2, SAMPLES, CLASSES, task=Classification(outputs=2))


def step(component: Component) -> Callable[[], str]:
    return lambda: extended_key("before", component, None)


KEYS: dict[str, Callable[[], str]] = {
    "prune_magnitude": step(PruneMagnitude(sparsity=0.5)),
    "int8": step(Int8()),
    "block_gemm": step(BlockGemm()),
    "training": lambda: trained_key(MODEL, "data", 1, 0),
    "cost": lambda: cost_key(MODEL, load_target("stm32f746")),
    "score": lambda: score_key(MODEL, DATA, "validation"),
}
ALL = set(KEYS)

EDITS = {
    "engine/schedules.py": {"block_gemm", "cost", "score"},
    "engine/ops/__init__.py": {"cost", "score"},
    "engine/ops/resizing.py": {"cost", "score"},
    "engine/kernels/conv_s8.h": {"cost", "score"},
    "engine/variants/__init__.py": {"cost", "score"},
    "engine/variants/blocks/__init__.py": {"block_gemm", "cost", "score"},
    "engine/variants/blocks/gemm_s8.h": {"block_gemm", "cost", "score"},
    "engine/variants/strassen/strassen_s8.h": {"cost", "score"},
    "engine/stripes.py": set(),
    "firmware/c/main.c": {"cost", "score"},
    "firmware/zig.py": {"cost", "score"},
    "firmware/linking.py": {"cost"},
    "firmware/host.py": {"score"},
    "firmware/project.py": set(),
    "firmware/__init__.py": set(),
    "cores/cortex_m7.py": {"cost"},
    "simulator/cycles.py": {"cost"},
    "simulator/profile.py": set(),
    "simulator/__init__.py": set(),
    "components/__init__.py": set(),
    "components/order.py": set(),
    "components/program/block_gemm.py": {"block_gemm"},
    "components/program/_scheduling.py": {"block_gemm"},
    "components/keras/_tuning.py": {"prune_magnitude"},
    "components/tflite/_calibrating.py": {"int8"},
    "model/training.py": {"prune_magnitude", "training"},
    "doors.py": {"prune_magnitude", "int8", "block_gemm", "training"},
    "model/storing.py": {"prune_magnitude", "int8", "block_gemm", "training"},
    "model/loading.py": set(),
    "model/__init__.py": set(),
    "dataset/samples.py": {"prune_magnitude", "int8", "block_gemm"},
    "dataset/images.py": set(),
    "tflite/read.py": {"int8"},
    "evaluate/cost.py": {"cost"},
    "evaluate/score.py": {"score"},
    "evaluate/build.py": set(),
    "recipe.py": set(),
    "report/tables.py": set(),
    "study/search.py": set(),
    "graph/__init__.py": set(),
    "graph/types.py": ALL,
    "schedule.py": ALL,
    "graph/walking.py": ALL,
    "graph/editing.py": ALL,
    "graph/gru.py": {"int8", "cost", "score"},
    "graph/quantizing.py": ALL,
    "cache.py": ALL - {"training"},
    "worker.py": {"int8"},
}

PACKAGES = {
    "tensorflow": {"prune_magnitude", "int8", "block_gemm", "training"},
    "tensorflow_model_optimization": {"prune_magnitude"},
    "tf_keras": {"prune_magnitude", "int8", "block_gemm", "training"},
    "ai_edge_litert": {"int8"},
    "unicorn": {"cost"},
    "capstone": {"cost"},
    "numba": {"cost"},
    "ziglang": {"cost", "score"},
    "numpy": ALL,
    "optuna": set(),
    "rich": set(),
}


def forget() -> None:
    """What was read of the modules and packages so far; what a text says, it says again."""
    for remembered in vars(codeversion).values():
        if hasattr(remembered, "cache_clear") and remembered is not codeversion._imports:
            remembered.cache_clear()


def keys() -> dict[str, str]:
    forget()
    return {name: key() for name, key in KEYS.items()}


def changed(before: dict[str, str]) -> set[str]:
    after = keys()
    return {name for name in KEYS if before[name] != after[name]}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    forget()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the package that the keys are derived from."""
    folder = tmp_path_factory.mktemp("copy") / "autotiny"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with mock.patch.object(codeversion, "ROOT", folder):
        yield folder


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    """The keys that the copy as it is leads to."""
    return keys()


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.everyday(10)
def test_an_edit_changes_the_keys_that_hang_on_it_and_no_others(
    copy: Path, before: dict[str, str], name: str
) -> None:
    file = copy / name
    text = file.read_text()
    file.write_text(f"{text}\n// more\n" if file.suffix in {".c", ".h"} else f"{text}\n# more\n")
    try:
        assert changed(before) == EDITS[name]
    finally:
        file.write_text(text)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.usefixtures("copy")
@pytest.mark.everyday(3)
def test_a_version_of_a_package_changes_the_keys_of_what_imports_it(
    before: dict[str, str], package: str
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        return "99" if name == package else real(name)

    with mock.patch.object(metadata, "version", version):
        assert changed(before) == PACKAGES[package]


def test_a_package_imported_by_another_name_than_it_has_counts_too() -> None:
    assert codeversion._package_version("elftools").startswith("pyelftools ")
    assert codeversion._package_version("sklearn").startswith("scikit-learn ")
    assert codeversion._package_version("tomli_of_old") == ""


def test_every_component_hangs_on_its_own_file_and_on_no_other_component(copy: Path) -> None:
    files = {kind.__module__ for kind in COMPONENTS.values()}
    for kind in COMPONENTS.values():
        others = set(reachable(kind.__module__)) & files - {kind.__module__}
        parents = {parent.__module__ for parent in kind.__mro__}
        assert kind.__module__ in reachable(kind.__module__)
        assert others <= parents, kind.name


def test_checkout_and_installed_package_have_the_same_version(copy: Path) -> None:
    names = ("targets", "search_spaces")  # only an installed package holds them
    for name in names:
        shutil.rmtree(copy / name, ignore_errors=True)
    before = keys()  # and what was edited above is as it was
    for name in names:
        shutil.copytree(data_folder(name), copy / name)
    (copy / "engine" / "__pycache__").mkdir(exist_ok=True)
    (copy / "engine" / "__pycache__" / "kernel.pyc").write_bytes(b"")
    try:
        assert not changed(before)
    finally:
        for name in names:
            shutil.rmtree(copy / name)


MODULES = {
    "__init__.py": "from autotiny.init import here\n",
    "one/__init__.py": "from autotiny.one.first import first\nfrom autotiny.one.second import g\n"
    "import numpy\nhere = 1\n",
    "one/first.py": "def first(): ...\n",
    "one/second.py": "def g(): ...\n",
    "by_name.py": "from autotiny.one import first as renamed\n",
    "by_module.py": "from autotiny.one import second\n",
    "whole.py": "import autotiny.one.first as f\n",
    "init.py": "from autotiny.one import here\n",
    "late.py": "def f():\n    try:\n        import autotiny.one.second\n    finally: f()\n",
    "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import autotiny.init\n"
    "else:\n    import autotiny.late\n",
    "relative.py": "from .one import first\nfrom . import late\n",
}


@pytest.mark.parametrize(
    ("module", "reached"),
    [
        ("by_name", {"one.first"}),
        ("by_module", {"one.second"}),
        ("whole", {"one.first"}),
        ("init", {"one", "one.first", "one.second"}),
        ("late", {"one.second"}),
        ("typed", {"late", "one.second"}),
        ("relative", {"one.first", "late", "one.second"}),
    ],
)
def test_a_name_leads_to_the_module_that_defines_it(
    tmp_path: Path, module: str, reached: set[str]
) -> None:
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    forget()
    with mock.patch.object(codeversion, "ROOT", tmp_path):
        found = {name.removeprefix("autotiny.") for name in reachable(f"autotiny.{module}")}
    assert found == reached | {module}


def test_a_component_from_elsewhere_has_a_version_of_its_own_file() -> None:
    found = reachable(__name__)
    assert {__name__, "autotiny.cache", "autotiny.components.tflite.int8"} <= set(found)
    assert code_version("typed_in_by_hand") != code_version(__name__)


def test_the_key_of_a_target_holds_its_values() -> None:
    target = load_target("stm32f746")
    told = replace(
        target, name="other", title="other", sources={}, boot_note="a", advice="c", flash_tool="b",
        active_current_error_percent=7,
    )  # fmt: skip
    assert target_key(told) == target_key(target)
    assert target_key(replace(target, clock_hz=1)) != target_key(target)
    memory = replace(target.memories[0], wait_states=9)
    assert target_key(replace(target, memories=(memory, *target.memories[1:]))) != target_key(
        target
    )


def test_a_version_is_the_same_in_every_process() -> None:
    program = "from autotiny.codeversion import code_version; print(code_version('autotiny.space'))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == code_version("autotiny.space")


def test_a_copy_that_setuptools_brings_along_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "_vendor" / "carried-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "_vendor")
    assert codeversion._package_version("carried") == ""
