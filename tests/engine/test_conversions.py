"""What headers have for callers, compiled by other compilers and held beside NumPy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from build import tensor
from small_network import float_network, int8_network

from autotiny.api.compiling import _raw
from autotiny.dataset.reading import Inputs, Reading, as_floats, understood
from autotiny.engine import Raw, Sources, generate, plain_schedule
from autotiny.engine.c_files import c_string
from autotiny.firmware import build_host
from autotiny.firmware.ports import some_rows
from autotiny.graph import DType, Graph, Op, Quantization, dequantize, quantize

USE = """
#include "a_name.h"
const char *name_of(int k);
const char *name_of(int k) {
  static const char *const names[A_NAME_LABEL_COUNT] = A_NAME_LABELS;
  return names[k];
}
"""
ZIG = [sys.executable, "-m", "ziglang"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def reshape(dtype: DType, quantization: Quantization) -> Graph:
    x = replace(tensor((1, 300), dtype, name="x"), quantization=quantization)
    flat = replace(x, name="y", shape=(300,))
    return Graph((x, flat), (Op("RESHAPE", (0,), (1,)),), (0,), (1,))


def compiled(folder: Path, sources: Sources, code: str, *flags: str) -> ctypes.CDLL:
    for name, text in {**sources.files, "calls.c": code}.items():
        (folder / name).write_text(text)
    library = folder / "calls.so"
    command = [*ZIG, "cc", "-std=c99", *WARNINGS, *flags, "-shared", "-fPIC", "calls.c"]
    subprocess.run([*command, "-o", str(library)], cwd=folder, check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"),
    [("int8", 0.5, -3), ("int8", 0.0123, 127), ("uint8", 0.25, 128), ("int16", 1 / 3, 0)],
)
@pytest.mark.everyday(2)
def test_numbers_are_stored_and_read_as_numpy_does(
    dtype: DType, scale: float, zero: int, tmp_path: Path
) -> None:
    quantization = Quantization((scale,), (zero,))
    sources = generate(reshape(dtype, quantization), plain_schedule(reshape(dtype, quantization)))
    library = compiled(
        tmp_path,
        sources,
        """
#include "model.h"
int32_t stored(float real);
float real(int32_t stored);
int32_t stored(float real) { return model_quantize_input(real); }
float real(int32_t stored) { return model_dequantize_output((MODEL_OUTPUT_TYPE)stored); }
""",
    )
    library.real.restype, library.stored.argtypes = ctypes.c_float, [ctypes.c_float]
    limits = np.iinfo(dtype)
    generator = np.random.default_rng(0)
    places = generator.uniform(limits.min - zero - 9, limits.max - zero + 9, 2000)
    halves = np.floor(places[:500]) + 0.5  # ties
    far = np.array([0.0, -0.0, 1e30, -1e30, np.inf, -np.inf])
    asked = (np.concatenate([places, halves]) * np.float32(scale)).astype(np.float32)
    asked = np.concatenate([asked, far.astype(np.float32)])
    expected = quantize(asked, quantization, dtype)
    np.testing.assert_array_equal([library.stored(float(one)) for one in asked], expected)
    assert library.stored(float("nan")) == limits.min
    held = expected[:200]
    found = np.array([library.real(int(one)) for one in held], np.float32)
    np.testing.assert_array_equal(found, dequantize(held, quantization))


PIXELS = Quantization((1 / 255,), (-128,))


@pytest.mark.parametrize(
    ("stored", "asked", "dtype", "quantization"),
    [
        ("uint8", None, "int8", PIXELS),
        ("uint8", None, "int8", Quantization((2 / 255,), (-7,))),  # every other one is a tie
        ("uint8", "none", "int8", Quantization((2.0,), (-128,))),
        ("uint8", "1/127", "uint8", Quantization((0.0123,), (3,))),
        ("uint8", None, "float32", None),
        ("int8", "1/128", "int8", Quantization((1 / 100,), (5,))),
        ("int16", "1/32768", "int16", Quantization((1 / 32768,), (0,))),
        ("int16", "0.037", "int8", Quantization((1.7,), (-9,))),
        ("uint16", "1/65535", "int8", PIXELS),
    ],
)
def test_stored_samples_become_what_the_network_was_trained_with(
    stored: str, asked: str | None, dtype: DType, quantization: Quantization | None, tmp_path: Path
) -> None:
    limits = np.iinfo(stored)
    step = 7 if limits.bits > 8 else 1
    x = np.arange(limits.min, limits.max + 1, step).astype(stored).reshape(1, -1)
    inputs = understood({"x": x}, "x", Reading.of(asked))
    real = as_floats(x, None, inputs, "x")
    wanted = quantize(real, quantization, dtype)
    data = SimpleNamespace(front=None, origin=None, ports=(), inputs=inputs)
    (raw,) = _raw(data)  # type: ignore[arg-type]
    assert raw is not None
    port = replace(tensor(x.shape, dtype, name="x"), quantization=quantization)
    graph = Graph(
        (port, replace(port, name="y", shape=(x.size,))), (Op("RESHAPE", (0,), (1,)),), (0,), (1,)
    )
    sources = generate(graph, plain_schedule(graph), raw=(raw,))
    code = f"""
#include "model.h"
void prepare(const {stored}_t *raw, void *in);
void prepare(const {stored}_t *raw, void *in) {{
  model_prepare_input(raw, (MODEL_INPUT_TYPE *)in);
}}
"""
    library, found = compiled(tmp_path, sources, code), np.empty_like(wanted)
    library.prepare(x.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p))
    np.testing.assert_array_equal(found, wanted)


def test_what_samples_were_is_told_where_it_is_known() -> None:
    graph = int8_network()
    plain = generate(graph, plain_schedule(graph)).files["model.h"]
    assert "prepare" not in plain and "DIVISOR" not in plain
    assert generate(graph, plain_schedule(graph), raw=(None,)).files["model.h"] == plain
    assert _raw(None) == ()
    floats = Inputs("float32", 0, 1, 1, asked=False)
    wide = Inputs("int32", 0, 9, 1, asked=True)  # divided in float64
    for one in (floats, wide):
        data = SimpleNamespace(front=None, origin=None, ports=(), inputs=one)
        assert _raw(data) == (None,)  # type: ignore[arg-type]
    pixels = Inputs("uint8", 0, 255, 1 / 255, asked=False)
    ports = (SimpleNamespace(inputs=pixels), SimpleNamespace(inputs=floats))
    data = SimpleNamespace(front=None, origin=None, ports=ports, inputs=None)
    assert _raw(data) == (Raw("uint8", 255.0), None)  # type: ignore[arg-type]
    data.front = "mfcc"
    assert _raw(data) == ()  # type: ignore[arg-type]


def test_the_answer_is_the_first_of_the_largest(tmp_path: Path) -> None:
    graph = reshape("int8", Quantization((0.5,), (0,)))
    code = """
#include "model.h"
int32_t answer(const int8_t *out);
int32_t answer(const int8_t *out) { return model_argmax(out); }
"""
    library = compiled(tmp_path, generate(graph, plain_schedule(graph)), code)
    for seed in range(20):
        out = np.random.default_rng(seed).integers(-9, 9, 300).astype(np.int8)
        assert library.answer(out.ctypes.data_as(ctypes.c_void_p)) == int(np.argmax(out))


@pytest.mark.parametrize("dtype", ["bool", "float32", "int8", "int16", "int32", "int64", "uint8"])
def test_headers_compile_as_c_and_as_cpp_for_every_type(dtype: DType, tmp_path: Path) -> None:
    x = tensor((1, 6), dtype, name="x")
    flat = replace(x, name="y", shape=(6,))
    graph = Graph((x, flat), (Op("RESHAPE", (0,), (1,)),), (0,), (1,))
    sources = generate(
        graph, plain_schedule(graph), "a_name", class_names=("a",) * 6, raw=(Raw("uint8", 255),)
    )
    for name, text in sources.files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "use.c").write_text(USE)
    shutil.copy(tmp_path / "use.c", tmp_path / "use.cpp")
    for language in (["cc", "-std=c99"], ["cc", "-std=c17"], ["c++", "-std=c++17"]):
        source = "use.cpp" if "++" in language[0] else "use.c"
        command = [*ZIG, *language, *WARNINGS, "-c", source, "-o", "use.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_two_models_are_in_one_program(tmp_path: Path) -> None:
    graphs = {"keyword": int8_network(), "motion": float_network()}
    made = {name: generate(graph, plain_schedule(graph), name) for name, graph in graphs.items()}
    files = {name: text for sources in made.values() for name, text in sources.files.items()}
    calls = "".join(
        f'#include "{name}.h"\nvoid {name}_call(const void *in, void *out);\n'
        f"void {name}_call(const void *in, void *out) {{ (void){name}_invoke(in, out); }}\n"
        for name in made
    )
    for name, text in {**files, "calls.c": calls}.items():
        (tmp_path / name).write_text(text)
    units = sorted(name for name in [*files, "calls.c"] if name.endswith(".c"))
    command = [*ZIG, "cc", *WARNINGS, "-shared", "-fPIC", *units, "-o", "both.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "both.so"))
    for name, sources in made.items():
        rows = some_rows(sources.inputs, 3)
        expected = build_host(sources).predict_all(rows)[0]
        for row, wanted in zip(rows[0], expected, strict=True):
            found = np.zeros_like(wanted)
            row = np.ascontiguousarray(row)
            getattr(library, f"{name}_call")(
                row.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p)
            )
            np.testing.assert_array_equal(found, wanted)


def test_the_program_of_the_readme_gives_the_answer_of_the_host(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    main = text.split("```c\n")[1].split("```")[0]
    assert len(main.strip().splitlines()) <= 20
    graph, names = int8_network(), [f"class {k}" for k in range(10)]
    sources = generate(graph, plain_schedule(graph), "words", class_names=names)
    for name, code in {**sources.files, "main.c": main}.items():
        (tmp_path / name).write_text(code)
    units = sorted(name for name in [*sources.files, "main.c"] if name.endswith(".c"))
    command = [*ZIG, "cc", *WARNINGS, *units, "-o", "words"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "words")], capture_output=True, text=True, check=True)
    row = quantize(np.zeros((1, 12, 12, 3), np.float32), sources.inputs[0].quantization, "int8")
    real = dequantize(build_host(sources).predict(row), sources.outputs[0].quantization)[0]
    assert done.stdout == f"class {np.argmax(real)}: {real.max():.4f}\n"


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ name', "??/", "Straße\n\x00 9", "*/"])
def test_any_text_is_a_literal(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.c").write_text(f"const char text[] = {c_string(text)};\n")
    command = [*ZIG, "cc", "-std=c99", *WARNINGS, "-shared", "t.c", "-o", "t.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    size = len(text.encode())
    held = (ctypes.c_char * size).in_dll(ctypes.CDLL(str(tmp_path / "t.so")), "text")
    assert bytes(held) == text.encode()
