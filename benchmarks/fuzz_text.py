"""Feeds mutated recipes, search spaces and target files to what reads them.

    python benchmarks/fuzz_text.py COUNT

Each file is one of autotiny's own with seeded damage: bytes, lines, and values that have another
type, size or depth. It must be taken, or refused with an error on one line; anything else is
printed with the file. What is taken is used: a recipe is written again and read, a space is drawn
from, a target is laid out. Writes results/fuzz_text.md.
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

from writing import row

from autotiny.datafile import data_folder
from autotiny.errors import UserError
from autotiny.firmware.layout import place
from autotiny.model import Level
from autotiny.recipe import SavedRecipe, read_recipe
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
RESULT = Path(__file__).parent.parent / "results" / "fuzz_text.md"

SPACE = """
title = "every kind of range"
trains_at_most = 2
first = [[{ component = "int8", calibration = 10 }]]
[components.int8]
calibration = [10, 100]
[components.prune_magnitude]
sparsity = { low = 0.1, high = 0.9, step = 0.2 }
pattern = ["element", "2:4"]
[components.cluster_weights]
clusters = { low = 4, high = 64, log = true }
[components.prune_channels]
ratio = 0.5
[components.strassen]
pixels = { low = 8, high = 64, step = 8 }
[components.quantize_aware]
learning_rate = { low = 1e-5, high = 1e-3, log = true }
"""

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
    outcomes: Counter[tuple[str, str]] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            kind, read, text = dice.choice(seeds)
            mutant = mutated(text, dice)
            path = Path(folder) / f"mutant{'.json' if kind == 'recipe' else '.toml'}"
            path.write_bytes(mutant)
            begun = time.monotonic()
            outcome = tried(read, path)
            longest = max(longest, time.monotonic() - begun)
            outcomes[kind, outcome.splitlines()[0]] += 1
            if outcome not in ("taken", "refused"):
                print(f"{outcome}\n{mutant[:2000]!r}\n", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    RESULT.write_text(page(count, outcomes, longest, peak), encoding="utf-8")


def page(count: int, outcomes: Counter[tuple[str, str]], longest: float, peak: int) -> str:
    """What came of all mutants, as Markdown."""
    good = ("taken", "refused")
    rows = [
        row(f"{kind}s", *(f"{outcomes[kind, outcome]:,}" for outcome in good))
        for kind in ("recipe", "space", "target")
    ]
    bad = sum(number for (_, outcome), number in outcomes.items() if outcome not in good)
    lines = [
        "# Recipes, search spaces and target files that were spoiled", "",
        f"`python benchmarks/fuzz_text.py {count}`", "",
        row("files", "taken", "refused"), row("---", "---", "---"), *rows, "",
        "What was taken was used: a recipe written and read again, a space drawn from, a target",
        "laid out.",
        f"Longest: {longest:.2f} s. Most memory: {peak:,} MB.", "",
        f"Tracebacks, and errors of more than a line: {bad}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def samples() -> list[tuple[str, Callable[[str], object], str]]:
    """Files to begin with: their kind, what reads them, their text."""
    targets = [path.read_text(encoding="utf-8") for path in data_folder("targets").glob("*.toml")]
    spaces = sorted(data_folder("search_spaces").glob("*.toml"))
    found: list[tuple[str, Callable[[str], object], str]] = []
    found += [("target", read_target, text) for text in sorted(targets)]
    for path in spaces * 3:  # there are fewer of them
        found.append(("space", read_space, path.read_text(encoding="utf-8")))
    found += [("space", read_space, SPACE)] * 3
    space = load_space("default")
    for seed in range(len(found)):
        recipe = draw(space, Level.KERAS, seed)
        saved = SavedRecipe(recipe, "stm32f746", "cnn1", "0" * 16, "digits", "0" * 16, seed, 5)
        found.append(("recipe", read_steps, saved.to_json()))
    return found


def read_target(path: str) -> object:
    """A target, and what is made of it first."""
    target = load_target(path)
    return target_key(target), place(target, 1000, 100, 100)


def read_space(path: str) -> object:
    """A space, and draws from it."""
    space = load_space(path)
    return [draw(space, Level.KERAS, seed) for seed in range(5)]


def read_steps(path: str) -> object:
    """A recipe, its identity, and itself once more."""
    saved = read_recipe(path)
    Path(path).write_text(saved.to_json(), encoding="utf-8")
    return saved.recipe.key, read_recipe(path)


def mutated(text: str, dice: random.Random) -> bytes:
    """A file with one to three kinds of damage."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        # keys apart: without its fields a file says no more
        tokens = [one for one in TOKEN.finditer(text) if text[one.end() : one.end() + 1] != ":"]
        lines = text.split("\n")
        kind = dice.randrange(10)
        if kind > 5 and tokens:
            token = dice.choice(tokens)
            near = (near_to(token[0], dice), dice.choice(tokens)[0])
            text = text[: token.start()] + dice.choice(near) + text[token.end() :]
        elif kind < 3 and tokens:
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


def near_to(token: str, dice: random.Random) -> str:
    """A number a little off, or another word in its place."""
    try:
        number = float(token)
    except ValueError:
        return dice.choice(('"int8"', '"mse"', '"float32"', "[0.25, 0.5]", "true", "4096"))
    changed = dice.choice((2 * number, number / 2, number + 1, number - 1, -number, number * 1000))
    return f"{changed:.0f}" if "." not in token else str(changed)


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
