"""The options that several commands share, and what a shell completes them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from autotiny.dataset import Reading

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]

BaudOption = Annotated[int, typer.Option(metavar="N", min=50, help="Of a serial port.")]

WaitOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=0.1, help="Wait so long for a line from a port."),
]


def complete_target(incomplete: str) -> list[str]:
    """Names of targets, for the shell."""
    from autotiny.target import target_names

    return [name for name in target_names() if name.startswith(incomplete)]


TargetOption = Annotated[
    str,
    typer.Option(
        "--target", "-t", metavar="NAME",
        help="Microcontroller: a name that 'autotiny targets' lists, or a .toml file.",
        autocompletion=complete_target,
    ),
]  # fmt: skip


def complete_space(incomplete: str) -> list[str]:
    """Names of search spaces, for the shell."""
    from autotiny.datafile import data_folder

    names = sorted(path.stem for path in data_folder("search_spaces").glob("*.toml"))
    return [name for name in names if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Names of built-in networks, for the shell."""
    from autotiny.model import BUILTIN

    return [name for name in BUILTIN if name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    """Names of data sets, for the shell."""
    from autotiny.dataset import DATASETS

    return [name for name in DATASETS if name.startswith(incomplete)]


def complete_objective(incomplete: str) -> list[str]:
    """Names of objectives, for the shell."""
    from autotiny.study import OBJECTIVES

    return [name for name in OBJECTIVES if name.startswith(incomplete)]


def complete_component(incomplete: str) -> list[str]:
    """Names of components, for the shell."""
    from autotiny.components import COMPONENTS

    return [name for name in COMPONENTS if name.startswith(incomplete)]


ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="MODEL",
        help="Built-in name, .keras, .h5 or .tflite file, SavedModel folder, or "
        "package.module:function that builds an untrained network.",
        autocompletion=complete_model,
    ),
]  # fmt: skip
DataOption = Annotated[
    str,
    typer.Option(
        "--data", "-d", metavar="DATA",
        help="digits, fashion_mnist, mnist, a table (.csv, .parquet), arrays (.npz, .npy), a "
        "folder of IDX files, or one of class folders with images, sounds or recordings.",
        autocompletion=complete_data,
    ),
]  # fmt: skip
OwnDataOption = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", metavar="DATA",
        help="Samples to calibrate with, as for 'autotiny search'; an untrained network is "
        "trained on them.",
        autocompletion=complete_data,
    ),
]  # fmt: skip


def complete_task(incomplete: str) -> list[str]:
    """Names of tasks, for the shell."""
    from autotiny.tasks import TASKS

    return [name for name in TASKS if name.startswith(incomplete)]


def complete_metric(incomplete: str) -> list[str]:
    """Names of metrics, for the shell."""
    from autotiny.tasks import TASKS

    names = {metric.name for kind in TASKS.values() for metric in kind.metrics}
    return sorted(name for name in names if name.startswith(incomplete))


TaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What the network is asked to do, e.g. regression: 'autotiny tasks' lists them; of "
        "several outputs each, with a weight if need be: classification*2,regression.  [default: "
        "what network and data tell]",
        autocompletion=complete_task,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What it is scored by, e.g. rmse: 'autotiny tasks' lists them; or "
        "package.module:function; of several outputs each, separated by commas.  [default: the "
        "task's first]",
        autocompletion=complete_metric,
    ),
]
StreamOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOP",
        help="Listen without end, with an answer every so often: hop=320 (samples), hop=20ms, or "
        "hop=20ms,rate=50 where the data do not tell the rate.  [default: whole windows]",
    ),
]
ReserveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--reserve",
        metavar="NAME=VALUE",
        help="What of the microcontroller belongs to other programs: flash=64K, sram=12K, "
        "stack=256; may be repeated.",
    ),
]
CalibrationOption = Annotated[
    str | None,
    typer.Option(
        metavar="noise",
        help="Calibrate with seeded noise: sizes and cycles hold, accuracy does not.",
    ),
]
KeepConstantChannelsOption = Annotated[
    bool,
    typer.Option(
        "--keep-constant-channels",
        help="Leave in channels that are the same for every input.",
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Upper limit of each fine-tuning.  [default: 5]"),
]
CacheOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URL",
        help="Where results are kept, and what workers share; s3://BUCKET/PREFIX lies behind the "
        "user's cache folder.  [default: that folder alone]",
    ),
]

ScheduleOption = Annotated[
    str,
    typer.Option(
        metavar="STYLE",
        help="What kernels and memory plan are chosen for: fastest, smallest or balanced; or best, "
        "solved for the target or e.g. best:flash=40K,sram=12K.",
    ),
]
MODEL_HELP = (
    "Built-in name, .tflite, .keras or .h5 file, SavedModel folder, or package.module:function."
)
SeedOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Of initial weights and calibration noise.")
]
LoweringOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="How a network that is no .tflite yet is lowered."),
]


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How data is read, an option each; a command takes them by `with_reading_options`."""

    scale: Annotated[
        str | None,
        typer.Option(
            metavar="FACTOR",
            help="What stored inputs are multiplied by: none, a number, or 1/255.  [default: bytes "
            "1/255, floats none; what else is refused]",
        ),
    ] = None
    resize: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Bring a folder of images to one size, e.g. 96x96."),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="What a table is to predict: a column by name or number from 1, or several "
            "separated by commas.  [default: label, class, target or y; the last one without a "
            "header]",
        ),
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Rows of a table with one value of this column stay in one split, e.g. of a "
            "person; 'folder' keeps the samples of each folder in a class folder together.",
        ),
    ] = None
    window: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="A sample is so many rows of a table, or so long a sound: 128, 1s, 500ms.  "
            "[default: a row; the length of most sounds]",
        ),
    ] = None
    hop: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="From the beginning of one window to that of the next.  [default: the window]",
        ),
    ] = None
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="HERTZ",
            help="Samples a second that sounds are brought to, e.g. 16000.  [default: of most "
            "files]",
        ),
    ] = None
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns of a table that are left out, separated by commas, e.g. time,id.",
        ),
    ] = None
    front: Annotated[
        str | None,
        typer.Option(
            metavar="FRONT ENDS",
            help='What makes the features that the model takes of sounds, e.g. "mfcc(frame_ms=30, '
            'hop_ms=20, coefficients=10)".  [default: what fits its shape]',
        ),
    ] = None
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Sizes of the input of an .onnx file that leaves them open, e.g. 1x3x32x32, or of "
            "several inputs: image=1x3x32x32,mask=1x32.",
        ),
    ] = None

    def reading(self) -> Reading:
        """The same, checked."""
        from autotiny.dataset.reading import Reading

        return Reading.of(**vars(self))


def with_reading_options(run: Callable[..., None]) -> Callable[..., None]:
    """A command that takes `reading_options`, shown to Typer as one that takes each of them."""
    options = signature(ReadingOptions, eval_str=True).parameters

    @wraps(run)
    def command(**given: Any) -> None:
        reading_options = ReadingOptions(**{name: given.pop(name) for name in options})
        run(reading_options=reading_options, **given)

    shown: list[Parameter] = []
    for name, parameter in signature(run, eval_str=True).parameters.items():
        shown += options.values() if name == "reading_options" else [parameter]
    command.__signature__ = Signature(shown)  # type: ignore[attr-defined]
    return command
