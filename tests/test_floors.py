import ast
from pathlib import Path

import autotiny

PACKAGE = Path(autotiny.__file__).parent

FLOORS = {
    "version": 0, "errors": 0, "checked": 0, "cache": 0, "codeversion": 0, "graph": 0,
    "schedule": 0, "datafile": 0, "target": 0, "machine": 0, "interrupts": 0, "provenance": 0,
    "worker": 0, "doors": 0, "mapped": 0, "scratch": 0, "units": 0, "remote": 0,
    "tflite": 1, "model": 1, "dataset": 1, "metrics": 1, "ranges": 1,
    "cores": 1, "tasks": 1, "signal": 1,
    "engine": 2, "firmware": 2, "simulator": 2,
    "solver": 3, "components": 4,
    "recipe": 5,
    "evaluate": 6, "space": 6,
    "study": 7,
    "report": 8,
    "api": 9,
    "__init__": 10, "cli": 10, "__main__": 11,
}  # fmt: skip


def room(path: Path) -> str:
    """The top-level module a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("autotiny"):
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            rooms.update(name for name in names if name in FLOORS)
        elif isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
            rooms.update(parts[1] for parts in dotted if parts[0] == "autotiny" and len(parts) > 1)
    return rooms - {room(path)}


def test_every_module_has_a_floor() -> None:
    assert {room(path) for path in PACKAGE.rglob("*.py")} <= set(FLOORS)


def test_imports_point_down() -> None:
    upward = [
        f"{path.relative_to(PACKAGE)} imports {other}, floor {FLOORS[other]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for other in sorted(imported_rooms(path))
        if FLOORS[other] > FLOORS[room(path)]
    ]
    assert not upward, "\n".join(upward)


def test_no_cycle_between_rooms() -> None:
    arrows: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        arrows.setdefault(room(path), set()).update(imported_rooms(path))
    remaining = dict(arrows)
    while remaining:
        free = [name for name, others in remaining.items() if not others & set(remaining)]
        assert free, f"import cycle among {sorted(remaining)}"
        for name in free:
            del remaining[name]


def imported_parts(path: Path) -> set[str]:
    """The files and folders of the engine that one of its files imports."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = node.module.split(".")
            if names[:2] == ["autotiny", "engine"]:
                parts.update(names[2:3] or [alias.name for alias in node.names])
    return parts


ENGINE = PACKAGE / "engine"
ENGINE_FLOORS = {"kernel": 0, "layers": 1, "variants": 2, "ops": 3, "generate": 4}
"""Of the parts that a kernel passes through; the others have none of their own."""


def part(path: Path) -> str:
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


def test_imports_point_down_in_the_engine() -> None:
    arrows: dict[str, set[str]] = {}
    for path in ENGINE.rglob("*.py"):
        arrows.setdefault(part(path), set()).update(imported_parts(path) - {part(path)})
    reached = {name: set(others) for name, others in arrows.items() if name != "__init__"}
    for _ in reached:
        for others in reached.values():
            others.update(*(reached.get(other, set()) for other in tuple(others)))
    assert not [name for name, others in reached.items() if name in others]
    for name, floor in ENGINE_FLOORS.items():
        above = {other for other, its in ENGINE_FLOORS.items() if its > floor}
        assert not reached[name] & above, name


MOST_LINES = 300


def test_no_file_of_the_engine_is_long() -> None:
    files = [path for path in ENGINE.rglob("*") if path.suffix in (".py", ".h")]
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = [f"{path.relative_to(PACKAGE)}: {n}" for path, n in counts.items() if n > MOST_LINES]
    assert not long, f"more than {MOST_LINES} lines: {', '.join(long)}"
