"""Feeds mutated recipes, search spaces and target files to what reads them.

    python benchmarks/fuzz_text.py COUNT

Each file is one of autotiny's own with seeded damage: bytes, lines, and values that have another
type, size or depth. It must be taken, or refused with an error on one line; anything else is
printed with the file. The last line says how many were taken and refused, the longest reading in
seconds, and the most memory that the process had.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from autotiny.components import COMPONENTS
from autotiny.datafile import data_folder
from autotiny.emulator.layout import place
from autotiny.errors import UserError
from autotiny.model import Level
from autotiny.recipe import Recipe, SavedRecipe, read_recipe
from autotiny.space import draw, load_space
from autotiny.target import load_target, target_key

VALUES = (
    "-1", "0", "1", "2", "0.5", "-0.0", "1e9", "1e999", "1e-320", "NaN", "nan", "inf", "-inf",
    "true", "false", "null", '""', '"x"', '"../../etc/passwd"', '"$(id)"', '"\\u0000"', "[]",
    "[1]", "[0.5]", "[true]", '["x", "x"]', "[[1]]", "{}", "{ low = 1, high = 0 }",
    "{ low = nan, high = 1 }", "{ low = 0.1, high = 0.7, step = 0 }",
    "{ low = 1, high = 1000000000000000000000, log = true }", '{"component": "int8"}',
    "0x8000000000000000", "99999999999999999999999", "9" * 5000, "[" * 5000,
    '"' + "y" * 100_000 + '"',
    "1979-05-27", "07:32:00", "'", "#", "\x00",
)  # fmt: skip
TOKEN = re.compile(
    r'"[^"\n]*"|-?\b[0-9][0-9a-fA-Fx_.]*\b|\btrue\b|\bfalse\b|\{[^{}\n]*\}|\[[^\[\]\n]*\]'
)


def main() -> None:
    """Reads all mutants and prints what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    count = parser.parse_args().count
    seeds = samples()
    dice = random.Random(0)
    outcomes: Counter[str] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            ending, read, text = dice.choice(seeds)
            mutant = mutated(text, dice)
            path = Path(folder) / f"mutant{ending}"
            path.write_bytes(mutant)
            begun = time.monotonic()
            outcome = tried(read, path)
            longest = max(longest, time.monotonic() - begun)
            outcomes[outcome.splitlines()[0]] += 1
            if outcome not in ("taken", "refused"):
                print(f"{outcome}\n{mutant[:2000]!r}\n", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{count} files: {dict(outcomes)}; at most {longest:.2f} s and {peak} MB")


def samples() -> list[tuple[str, Callable[[str], object], str]]:
    """Files to begin with: their ending, what reads them, their text."""
    found: list[tuple[str, Callable[[str], object], str]] = []
    for folder, read in (("targets", read_target), ("search_spaces", read_space)):
        paths = sorted(data_folder(folder).glob("*.toml"))
        found += [(".toml", read, path.read_text(encoding="utf-8")) for path in paths]
    space = load_space("default")
    for seed in range(len(found)):
        recipe = draw(space, Level.KERAS, seed)
        saved = SavedRecipe(recipe, "stm32f746", "cnn1", "0" * 16, "digits", "0" * 16, seed, 5)
        found.append((".json", read_steps, saved.to_json()))
    every = Recipe(tuple(kind() for kind in COMPONENTS.values() if defaults(kind)))
    saved = SavedRecipe(every, "rp2040", "cnn1", "0" * 16, "digits", "0" * 16, 0, 5)
    found.append((".json", read_steps, saved.to_json()))
    return found


def defaults(kind: Callable[[], object]) -> bool:
    """Whether a component needs no parameter."""
    try:
        kind()
    except TypeError:
        return False
    return True


def read_target(path: str) -> object:
    """A target, and what is made of it first."""
    target = load_target(path)
    return target_key(target), place(target, 1000, 100, 100)


def read_space(path: str) -> object:
    """A space, and a draw from it."""
    return draw(load_space(path), Level.KERAS, 0)


def read_steps(path: str) -> object:
    """A recipe, and its identity."""
    return read_recipe(path).recipe.key


def mutated(text: str, dice: random.Random) -> bytes:
    """A file with one to three kinds of damage."""
    for _ in range(dice.randint(1, 3)):
        tokens = list(TOKEN.finditer(text))
        lines = text.split("\n")
        kind = dice.randrange(6)
        if kind < 3 and tokens:
            token = dice.choice(tokens)
            text = text[: token.start()] + dice.choice(VALUES) + text[token.end() :]
        elif kind == 3:
            at = dice.randrange(len(lines))
            lines[at : at + 1] = dice.choice(([], [lines[at]] * 2, [dice.choice(lines)]))
            text = "\n".join(lines)
        elif kind == 4:
            text = text[: dice.randrange(len(text) + 1)]
        else:
            at = dice.randrange(len(text) + 1)
            text = text[:at] + dice.choice(("\x00", "\\", "]", "}", "=", ",", "\ud800")) + text[at:]
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if data and dice.random() < 0.1:
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def tried(read: Callable[[str], object], path: Path) -> str:
    """How reading a file ended."""
    try:
        read(str(path))
    except UserError as refusal:
        lines = str(refusal).splitlines()
        return "refused" if len(lines) == 1 and len(lines[0]) < 1000 else f"long error\n{refusal}"
    except Exception:
        return f"traceback\n{traceback.format_exc()}"
    return "taken"


if __name__ == "__main__":
    main()
