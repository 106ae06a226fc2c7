"""A model as a library of a framework: the same C everywhere, with the few files that one asks for.

A layout is a table: where the header lies, and which template of `layouts/` becomes which file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape, quoteattr

from autotiny.engine import Port, Sources
from autotiny.engine.c_files import LICENSE, head_text
from autotiny.errors import UserError, unknown
from autotiny.firmware.linking import compiler_flags
from autotiny.firmware.readme import (
    arguments_of,
    call_text,
    declarations,
    figures,
    memory_text,
    named_ports,
    port_table,
    size_macro,
)
from autotiny.metrics import Cost
from autotiny.target import Target
from autotiny.version import __version__

TEMPLATES = Path(__file__).parent / "layouts"
VERSION = "1.0.0"
"""Of a library, since each format wants one; what it counts is the user's business."""

_HEADERS = "wire|spi|print|printable|stream|wstring|server|client|udp|ipaddress|hardwareserial"


@dataclass(frozen=True)
class Layout:
    """What a framework takes a library in; texts have places like `$name`.

    Attributes:
        framework: its name.
        files: file name to template, besides the model's C.
        use: how a program takes the library in.
        checked: what the layout was tried with, and what it was not.
        header: folder of the header that a program includes; all other C lies in `src/NAME`, in no
            search path, so that `port.h` of one library is not found by another.
        names: the names that the framework takes, an expression.
    """

    framework: str
    files: Mapping[str, str]
    use: str
    checked: str
    header: str = "include"
    names: str = r"\w+"


LAYOUTS: Mapping[str, Layout] = {
    "arduino": Layout(
        "Arduino",
        {"library.properties": "library.properties", "examples/$name/$name.ino": "example.ino"},
        "Copy this folder into `libraries/` of your sketchbook, and open `File > Examples > $name`."
        "\nMost boards compile it with -Os; the figures below are for `$flags`. Before it is "
        "published, `author`,\n`maintainer` and `url` of `library.properties` are to be yours.",
        "The C and the example as C++17 by clang on a PC, with a stand-in for `Arduino.h`; outputs "
        "are those of\nthe model. The example by GCC 12 at -Os against the headers of arduino-pico "
        "6.0.0. `library.properties` by its\ndocumented keys alone: no Arduino tool has read it.",
        header="src",
        names=rf"(?i)(?!_|(arduino\w*|{_HEADERS})$)\w+",
    ),
    "platformio": Layout(
        "PlatformIO",
        {"library.json": "library.json"},
        "Copy this folder into `lib/` of your project, or name it in `lib_deps` of "
        "`platformio.ini`.",
        "The C by clang on a PC, with the search paths that PlatformIO gives; outputs are those of "
        "the model.\n`library.json` was read and packed by `pio pkg pack`, its licence apart, "
        "which that looks up online. PlatformIO\nhas not built it.",
    ),
    "pico-sdk": Layout(
        "the Pico SDK",
        {"CMakeLists.txt": "pico.cmake"},
        "    add_subdirectory(path/to/$name)\n    target_link_libraries(my_program $library)",
        "Built by CMake for a PC; outputs are those of the model. A program with three models by "
        "Pico SDK 2.2.0 and\nGCC 12, for an RP2040: run in rp2040js, its outputs are those of the "
        "PC.",
    ),
    "zephyr": Layout(
        "Zephyr",
        {"CMakeLists.txt": "zephyr.cmake", "Kconfig": "Kconfig", "zephyr/module.yml": "module.yml"},
        "    west build ... -- -DEXTRA_ZEPHYR_MODULES=/path/to/$name\n\n"
        "or name it in your west manifest. Older Zephyrs, 3.2 say, call it ZEPHYR_EXTRA_MODULES. "
        "`CONFIG_$config=n` leaves\nit out. Zephyr's minimal C library has no `expf`; picolibc "
        "and newlib do.",
        "`CMakeLists.txt` by CMake on a PC, with stand-ins for Zephyr's functions; outputs are "
        "those of the model.\n`Kconfig` by kconfiglib. A program with three models by Zephyr "
        "3.2.99 and GCC 12, for `qemu_cortex_m3`\nand `mps2_an385`: run in QEMU, its outputs are "
        "those of the PC.",
    ),
    "esp-idf": Layout(
        "ESP-IDF",
        {"CMakeLists.txt": "esp_idf.cmake", "idf_component.yml": "idf_component.yml"},
        "Copy this folder to `components/$name` of your project, and name `$name` in `REQUIRES` "
        "of what calls it.",
        "`CMakeLists.txt` by CMake on a PC, with a stand-in for `idf_component_register`; outputs "
        "are those of\nthe model. `idf_component.yml` by Espressif's component manager. ESP-IDF "
        "itself has not built it.",
    ),
    "cmsis-pack": Layout(
        "CMSIS-Pack",
        {"autotiny.$name.pdsc": "package.pdsc"},
        "    cpackget add autotiny.$name.pdsc\n\n"
        "and take the component `Machine Learning:$name` into your project.",
        "The files that the `.pdsc` lists by clang on a PC; outputs are those of the model. The "
        "`.pdsc` against\n`PACK.xsd` of Open-CMSIS-Pack; no tool has installed the pack.",
        names=r"(?!_)\w{2,32}",
    ),
}


def check_layout(layout: str, name: str) -> Layout:
    """The layout of that name, in which a model of such a name can be written.

    Raises:
        UserError: there is no such layout, or its framework does not take the model's name.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS, "autotiny compile --help")
    found = LAYOUTS[layout]
    if not re.fullmatch(found.names, name, re.ASCII):
        raise UserError(
            f"{found.framework} takes no library of the name {name!r}; choose another one, "
            f"e.g. --name my_{name.strip('_')[:20]}"
        )
    return found


def library(
    sources: Sources, layout: str, target: Target, cost: Cost | None = None
) -> dict[str, str]:
    """The files of a library that holds the model and nothing else: name to text.

    Args:
        sources: the model as C.
        layout: one of `LAYOUTS`.
        target: what it was made for.
        cost: figures to state in the README.

    Raises:
        UserError: there is no such layout, or its framework does not take the model's name.
    """
    found, name = check_layout(layout, sources.name), sources.name
    header, code = f"{name}.h", f"src/{name}"
    files = {
        f"{found.header}/{file}" if file == header else f"{code}/{file}": text
        for file, text in sources.files.items()
    }
    files = dict(sorted(files.items()))
    values = _values(sources, target, cost, found, files)
    told = {key: Template(getattr(found, key)).substitute(values) for key in ("use", "checked")}
    values |= {"framework": found.framework, **told}
    for file, template in {**found.files, "README.md": "README.md"}.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        files[Template(file).substitute(values)] = Template(text).substitute(values)
    return dict(sorted(files.items()))


def _values(
    sources: Sources, target: Target, cost: Cost | None, layout: Layout, files: Mapping[str, str]
) -> dict[str, str]:
    """What the places in the templates are filled with."""
    name, title = sources.name, " ".join(target.title.split())
    generator = f"autotiny {__version__}"
    description = f"A neural network as plain C, made for {title} by {generator}."
    flags = _flags(target)
    bare = "".join(line.removeprefix("// ") for line in head_text().splitlines(keepends=True))
    return {
        "name": name,
        "library": f"autotiny_{name}",
        "config": f"AUTOTINY_{name.upper()}",
        "version": VERSION,
        "generator": generator,
        "license": LICENSE.split()[-1],
        "title": title,
        "description": description,
        "quoted_description": json.dumps(description),
        "xml_description": escape(description),
        "head": head_text(),
        "head_hash": "".join(f"# {line}" for line in bare.splitlines(keepends=True)),
        "head_bare": bare,
        "flags": " ".join(flags),
        "quoted_flags": ", ".join(map(json.dumps, flags)),
        "units": "\n".join(f"    {file}" for file in files if file.endswith(".c")),
        "listed": "\n".join(_listed(file, layout) for file in files),
        "arrays": declarations(sources, "static "),
        "run": _run(sources),
        "prints": "\n".join(
            _printed(sources, *port) for port in named_ports(sources)[1]
        ),
        "call": call_text(sources),
        "memory": memory_text(sources),
        "arena_bytes": f"{sources.arena_bytes:,}",
        "ports": port_table(sources),
        "figures": _measured(sources, cost, target) if cost else "",
    }  # fmt: skip


def _flags(target: Target) -> tuple[str, ...]:
    """What GCC compiles the model with as the figures were measured, besides core and FPU."""
    defines = [flag for flag in compiler_flags(target, "-O2") if flag.startswith("-DAT_")]
    return ("-O3", "-fno-math-errno", *defines)


def _listed(file: str, layout: Layout) -> str:
    """A file of a pack; headers of the model's own are not for others."""
    category = "source" if file.endswith(".c") else "header"
    scope = ' scope="private"' if category == "header" and not _public(file, layout) else ""
    return f'        <file category="{category}" name={quoteattr(file)}{scope}/>'


def _public(file: str, layout: Layout) -> bool:
    return file.rpartition("/")[0] == layout.header


def _run(sources: Sources) -> str:
    """The call of a sketch; a stream takes samples until they fill a window."""
    arguments = arguments_of(sources)
    if sources.hearing is None:
        return f"{sources.name}_invoke({arguments});"
    return f"while (!{sources.name}_stream_push({arguments})) {{\n  }}"


def _printed(sources: Sources, variable: str, port: Port) -> str:
    """How a sketch prints an output: `Serial` knows no 64-bit integers everywhere."""
    value = f"{variable}[k], 6" if port.dtype == "float32" else f"(long){variable}[k]"
    return (
        f"  for (long k = 0; k < {size_macro(sources, variable)}; k++) {{\n"
        f"    Serial.println({value});\n  }}"
    )


def _measured(sources: Sources, cost: Cost, target: Target) -> str:
    alone = " on both its cores; the library computes on one" if sources.cores > 1 else ""
    return (
        f"Of a firmware by autotiny and zig for {target.title}{alone}:\n\n{figures(cost, target)}\n"
    )
