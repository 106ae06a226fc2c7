"""A model as a library of a framework: whatever the form, its outputs are those of the model."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from images import Network

from autotiny import api
from autotiny.cli.compile import run as compile_command
from autotiny.engine import Sources, generate, schedule_for
from autotiny.engine.sources import Hearing
from autotiny.errors import UserError
from autotiny.firmware import LAYOUTS, build_host, library, write_files
from autotiny.firmware.ports import some_rows
from autotiny.firmware.zig import zig_cc
from autotiny.graph import Array
from autotiny.simulator import measure
from autotiny.target import load_target

ROWS = 4
CMAKE = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("cc")), reason="cmake or cc is not installed"
)
WARNINGS = ("-Wall", "-Wextra", "-Werror")

# Of the Arduino core what a sketch of ours may call; what it prints goes to stdout.
ARDUINO = """
#include <stdint.h>
#include <stdio.h>
struct Port {
  void begin(unsigned long) {}
  explicit operator bool() const { return true; }
  void print(const char *text) { printf("%s", text); }
  void println(long value) { printf("%ld\\n", value); }
  void println(unsigned long value) { printf("%lu\\n", value); }
  void println(double value, int digits) { printf("%.*f\\n", digits, value); }
};
static Port Serial;
static inline unsigned long millis() { return 0; }
static inline unsigned long micros() { return 0; }
"""

# What a framework's own CMake brings along, reduced to what it does with a library's files.
STAND_INS: Mapping[str, str] = {
    "pico-sdk": "add_subdirectory(library)\nset(LIBRARIES autotiny_words)",
    "esp-idf": """
macro(idf_component_register)
  cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS" ${ARGN})
  set(COMPONENT_LIB __idf_words)
  add_library(${COMPONENT_LIB} STATIC ${ARG_SRCS})
  target_include_directories(${COMPONENT_LIB} PUBLIC ${ARG_INCLUDE_DIRS})
endmacro()
add_subdirectory(library)
set(LIBRARIES __idf_words)""",
    "zephyr": """
add_library(zephyr_interface INTERFACE)
macro(zephyr_include_directories)
  foreach(each ${ARGN})
    target_include_directories(zephyr_interface INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/${each})
  endforeach()
endmacro()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PUBLIC zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${name})
endmacro()
macro(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
set(CONFIG_AUTOTINY_WORDS y)
add_subdirectory(library)
get_property(LIBRARIES GLOBAL PROPERTY ZEPHYR_LIBS)""",
}


def model(name: str = "words") -> Sources:
    net = Network(9, 9, 1)
    graph = net.graph(net.conv(net.conv(0, 8, 3, 1), 4, 3, 2))
    return generate(graph, schedule_for(graph, "fastest", dsp=True), name)


def made(layout: str, folder: Path, name: str = "words") -> dict[str, str]:
    files = library(model(name), layout, load_target("stm32u575"))
    write_files({file: text.encode() for file, text in files.items()}, folder)
    return files


def caller(rows: Array) -> str:
    """A program, in C and C++, that prints the outputs of rows of inputs."""
    values = ", ".join(str(value) for value in rows.reshape(-1).tolist())
    return f"""
#include <stdio.h>
#include "words.h"
static const WORDS_INPUT_TYPE rows[] = {{{values}}};
int main(void) {{
  for (int n = 0; n < {len(rows)}; n++) {{
    static WORDS_OUTPUT_TYPE y[WORDS_OUTPUT_SIZE];
    words_invoke(rows + n * WORDS_INPUT_SIZE, y);
    for (int k = 0; k < WORDS_OUTPUT_SIZE; k++) printf("%d\\n", y[k]);
  }}
  return 0;
}}
"""


def printed(program: Path) -> list[int]:
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split("\n") if line.lstrip("-").isdigit()]


def expected(rows: Array) -> list[int]:
    outputs = build_host(model()).predict(rows)
    assert len(np.unique(outputs)) > 5
    return [int(value) for value in outputs.reshape(-1)]


def compiled(folder: Path, units: Sequence[str], paths: Sequence[str], main: str) -> Path:
    """A program of C files of a library, with its search paths, and of one that calls it."""
    (folder / "calls.cpp").write_text(main)
    seen = [f"-I{path}" for path in paths]
    # Optimized, and without what zig checks by itself: what is tested is how files find each other.
    flags = ("-O1", "-fno-sanitize=undefined", *WARNINGS, *seen)
    objects = {unit: f"{Path(unit).stem}.o" for unit in (*units, "calls.cpp")}
    for unit, built in objects.items():
        standard = "-std=gnu11" if unit.endswith(".c") else "-std=gnu++17"
        assert zig_cc([*flags, standard, "-c", unit, "-o", built], folder) == ""
    assert zig_cc([*objects.values(), "-o", "program"], folder) == ""
    return folder / "program"


def units_of(files: Mapping[str, str]) -> list[str]:
    return [file for file in files if file.endswith(".c")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_library_holds_the_model_and_nothing_of_a_program(layout: str) -> None:
    sources = model()
    files = library(sources, layout, load_target("stm32u575"))
    code = {file: text for file, text in files.items() if file.endswith((".c", ".h"))}
    assert {Path(file).name: text for file, text in code.items()} == sources.files
    assert len(code) == len(sources.files)
    # One header is for callers; those of kernels lie in no search path.
    public = [file for file in code if Path(file).parent.name in ("include", "src")]
    assert [Path(file).name for file in public] == ["words.h"]
    for file, text in files.items():
        if file not in code and not file.endswith((".md", ".json")):
            assert "SPDX-License-Identifier: Apache-2.0" in text, file
        if file not in code and not file.endswith("CMakeLists.txt"):
            assert "$" not in text, file
    assert "**" not in files["README.md"]
    assert "What was checked" in files["README.md"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_library_repeats(layout: str) -> None:
    target = load_target("stm32u575")
    first, again = (library(model(), layout, target) for _ in range(2))
    assert list(first.items()) == list(again.items())
    assert list(first) == sorted(first)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_models_share_no_file_name_that_a_build_sees(layout: str) -> None:
    one, other = (library(model(name), layout, load_target("rp2040")) for name in ("ears", "eyes"))
    seen = {"README.md", "CMakeLists.txt", "Kconfig", "zephyr/module.yml"}
    seen |= {"library.json", "library.properties", "idf_component.yml"}
    assert {*one} & {*other} <= seen
    text = "".join(other[file] for file in {*one} & {*other} if file != "README.md")
    assert "ears" not in text


@pytest.mark.slow
def test_an_arduino_sketch_prints_the_outputs_of_the_model(tmp_path: Path) -> None:
    files = made("arduino", tmp_path)
    sketch = files["examples/words/words.ino"]
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "Arduino.h").write_text(ARDUINO)
    main = f'#include "Arduino.h"\n{sketch}\nint main() {{\n  setup();\n  loop();\n}}\n'
    program = compiled(tmp_path, units_of(files), ["src", "stub"], main)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    *outputs, time = done.stdout.splitlines()
    assert time == "microseconds: 0"
    zeros = np.zeros((1, 9, 9, 1), np.int8)
    assert [int(line) for line in outputs] == expected(zeros)


@pytest.mark.slow
def test_an_arduino_sketch_prints_floats_and_waits_for_a_window() -> None:
    target, name = load_target("stm32u575"), "examples/words/words.ino"
    port = replace(model().outputs[0], dtype="float32", quantization=None)
    several = replace(model(), outputs=(port, model().outputs[0]), hearing=Hearing(1, 4))
    sketch = library(several, "arduino", target)[name]
    assert "static float out[WORDS_OUTPUT_SIZE];" in sketch
    assert "static int8_t out1[WORDS_OUTPUT1_SIZE];" in sketch
    assert "while (!words_stream_push(in, out, out1)) {\n  }\n" in sketch
    assert "k < WORDS_OUTPUT_SIZE; k++) {\n    Serial.println(out[k], 6);\n" in sketch
    assert "k < WORDS_OUTPUT1_SIZE; k++) {\n    Serial.println((long)out1[k]);\n" in sketch


def test_figures_of_two_cores_are_said_to_be_that() -> None:
    target = load_target("rp2040")
    cost = measure(model(), target)
    alone, both = (
        library(replace(model(), cores=cores), "pico-sdk", target, cost)["README.md"]
        for cores in (1, 2)
    )
    assert f"{cost.cycles:,} cycles" in alone
    assert "on both its cores; the library computes on one" in both
    assert "both its cores" not in alone


def test_an_arduino_library_says_what_its_form_asks_for() -> None:
    text = library(model(), "arduino", load_target("stm32u575"))["library.properties"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    facts = dict(line.split("=", 1) for line in lines)
    assert facts.keys() >= {
        "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
        "architectures",
    }  # fmt: skip
    assert facts["name"] == "words"
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])
    assert facts["includes"] == "words.h"
    assert facts["category"] == "Data Processing"  # one of those that the form lists
    assert facts["architectures"] == "*"


def test_platformio_finds_header_and_sources(tmp_path: Path) -> None:
    files = made("platformio", tmp_path)
    facts = json.loads(files["library.json"])
    assert {"name", "version", "description", "license", "headers", "build"} <= facts.keys()
    assert facts["build"]["flags"] == ["-O3", "-fno-math-errno", "-DAT_LOADS_AHEAD=1"]
    assert facts["name"] == "words"
    rows = some_rows(model().inputs, ROWS)[0]
    program = compiled(tmp_path, units_of(files), ["include", "src"], caller(rows))
    assert printed(program) == expected(rows)


def test_a_pack_lists_what_builds_the_model(tmp_path: Path) -> None:
    files = made("cmsis-pack", tmp_path)
    package = ElementTree.fromstring(files["autotiny.words.pdsc"])
    assert (package.findtext("vendor"), package.findtext("name")) == ("autotiny", "words")
    for required in ("description", "url", "releases/release", "components/component"):
        assert package.find(required) is not None
    listed = package.findall("components/component/files/file")
    names = {file.attrib["name"]: file.attrib for file in listed}
    assert {*names} == {file for file in files if file.endswith((".c", ".h"))}
    public = [
        name
        for name, facts in names.items()
        if facts["category"] == "header" and facts.get("scope") != "private"
    ]
    units = [name for name, facts in names.items() if facts["category"] == "source"]
    rows = some_rows(model().inputs, ROWS)[0]
    paths = sorted({str(Path(name).parent) for name in public})
    assert printed(compiled(tmp_path, units, paths, caller(rows))) == expected(rows)


@CMAKE
@pytest.mark.parametrize("layout", STAND_INS)
@pytest.mark.everyday(1)
def test_cmake_builds_what_computes_the_same(layout: str, tmp_path: Path) -> None:
    made(layout, tmp_path / "library")
    rows = some_rows(model().inputs, ROWS)[0]
    (tmp_path / "main.c").write_text(caller(rows))
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.13)\nproject(caller C)\n{STAND_INS[layout]}\n"
        "add_executable(program main.c)\ntarget_link_libraries(program ${LIBRARIES} m)\n"
    )
    for command in (["cmake", "-B", "build"], ["cmake", "--build", "build", "--verbose"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    compiling = [line for line in done.stdout.splitlines() if " -c " in line and "words.c" in line]
    assert compiling
    assert all("-O3 -fno-math-errno -DAT_LOADS_AHEAD=1" in line for line in compiling)
    assert printed(tmp_path / "build" / "program") == expected(rows)


def test_zephyr_can_leave_the_model_out() -> None:
    files = library(model(), "zephyr", load_target("stm32u575"))
    config = re.search(r"^config (\w+)$", files["Kconfig"], re.MULTILINE)
    assert config is not None
    assert f"if(CONFIG_{config[1]})" in files["CMakeLists.txt"]


@pytest.mark.skipif(not importlib.util.find_spec("yaml"), reason="pyyaml is not installed")
def test_what_is_yaml_can_be_read() -> None:
    import yaml  # type: ignore[import-untyped]

    target = replace(load_target("stm32u575"), title='a "board": #1\nof mine')
    module = yaml.safe_load(library(model(), "zephyr", target)["zephyr/module.yml"])
    assert module == {"name": "autotiny_words", "build": {"cmake": ".", "kconfig": "Kconfig"}}
    component = yaml.safe_load(library(model(), "esp-idf", target)["idf_component.yml"])
    assert component["version"] == "1.0.0"
    assert component["license"] == "Apache-2.0"
    assert 'a "board": #1 of mine' in component["description"]
    assert component["dependencies"] == {"idf": ">=5.0"}


def test_a_title_breaks_no_form() -> None:
    target = replace(load_target("stm32u575"), title='a "board" <&> \\ $name\nof mine')
    shown = 'a "board" <&> \\ $name of mine'
    assert (
        shown in json.loads(library(model(), "platformio", target)["library.json"])["description"]
    )
    package = library(model(), "cmsis-pack", target)["autotiny.words.pdsc"]
    assert shown in str(ElementTree.fromstring(package).findtext("description"))
    properties = library(model(), "arduino", target)["library.properties"]
    assert all("=" in line or line.startswith("#") for line in properties.splitlines())


@pytest.mark.parametrize(
    ("layout", "name"),
    [("arduino", "Arduino_x"), ("arduino", "wire"), ("arduino", "_x"), ("cmsis-pack", "w" * 33)],
)
def test_a_framework_takes_not_every_name(layout: str, name: str) -> None:
    with pytest.raises(UserError, match="takes no library of the name"):
        library(model(name), layout, load_target("rp2040"))


def test_the_help_lists_every_layout() -> None:
    option = compile_command.__annotations__["layout"]
    shown = option if isinstance(option, str) else repr(option.__metadata__[0].help)
    assert [name for name in LAYOUTS if name not in shown] == []
    assert [name for name in LAYOUTS if f'"{name}"' not in str(api.compile.__doc__)] == []


def test_compile_writes_a_library(tmp_path: Path) -> None:
    noise: dict[str, Any] = {"name": "words", "layout": "platformio"}
    done = api.compile("cnn1", "rp2040", tmp_path, **noise)
    written = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert written == {*done.files}
    assert {"library.json", "include/words.h", "src/words/words.c"} <= written
    assert not any(name.endswith((".ld", "main.c", "startup.c")) for name in written)
    readme = (tmp_path / "README.md").read_text()
    assert f"| flash | {done.cost.flash_bytes:,} bytes" in readme


def test_compile_refuses_what_is_no_library_before_it_computes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown layout 'ardiuno'; did you mean 'arduino'\?"):
        api.compile("cnn1", "rp2040", tmp_path / "a", layout="ardiuno")
    with pytest.raises(UserError, match="take --layout or --project"):
        api.compile("cnn1", "rp2040", tmp_path / "a", layout="arduino", project=True)
    with pytest.raises(UserError, match="takes no library of the name 'Wire'"):
        api.compile("no such model", "rp2040", tmp_path / "a", layout="arduino", name="Wire")
    assert not (tmp_path / "a").exists()


def test_no_link_leads_a_library_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "src").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="outside"):
        made("arduino", tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["src"]
