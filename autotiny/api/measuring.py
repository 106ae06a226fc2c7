"""Link a network, or take a firmware, execute it, and tell what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autotiny import simulator
from autotiny.api.given import TargetSource, asked_of, is_firmware, reading_of, target_of
from autotiny.api.lowering import Given, heard_by, scheduled
from autotiny.api.notices import tell_of
from autotiny.api.taken import Taken
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.dataset import DataSource, Reading
from autotiny.errors import UserError
from autotiny.evaluate import cost, sources_of
from autotiny.simulator import Profile
from autotiny.study import Amounts, model_name, reserved


@dataclass(frozen=True)
class Measurement(Taken):
    """What a network takes of a target, measured.

    Attributes:
        profile: where the cycles went, if that was asked for.
    """

    profile: Profile | None = None

    def _more(self) -> dict[str, object]:
        return {"profile": self.profile.to_dict()} if self.profile else {}


def measure(
    model: object,
    target: TargetSource,
    *,
    schedule: str = "fastest",
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    stream: str | None = None,
    reserve: Amounts | None = None,
    profile: bool = False,
    wait_states: int | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Measurement:
    """Link a network, execute it, and tell what it takes.

    Without data, a network that is no `.tflite` yet is lowered with seeded noise for calibration:
    good for its flash, SRAM and cycles, which hardly depend on the weights.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        schedule: what kernels and memory plan are chosen for: "fastest", "smallest", "balanced"; or
            "best", for the target's memory or under bounds: "best:flash=40K,sram=12K".
        lowering: the component that lowers a network that is no `.tflite` yet.
        seed: of initial weights and calibration noise.
        data: samples that an integer lowering calibrates with, as `load_dataset` takes them; an
            untrained network is trained on them.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        calibration: "noise" calibrates with seeded noise: sizes and cycles hold, accuracy does not.
        keep_constant_channels: leave out `remove_constant_channels`, which changes no output; a
            recipe says by itself whether it is part of it, and with noise it would remove what only
            noise does not reach.
        stream: listen without end, and tell what a hop takes: "hop=320" in samples, "hop=20ms", or
            "hop=20ms, rate=50" where the data do not tell the rate.
        reserve: what of the target belongs to other programs, as `search` takes it; it is told
            whether the firmware fits beside them.
        profile: also tell where the cycles went.
        wait_states: of the target's flash, in place of those that its file states.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is executed, in words.
        on_notice: called with what the user should read before the firmware is executed.

    Raises:
        UserError: there is no such model or target, or an op that the engine lacks.
        FirmwareFault: the firmware faults or does not end.
    """
    if is_firmware(model):
        raise UserError(f"{str(model)!r} is a firmware; autotiny.measure_elf measures it")
    seed = arguments(seed=seed)["seed"]
    board, cache = target_of(target, wait_states), cache or Cache()
    asked, kept = asked_of(stream), reserved(board, reserve)
    given = Given(
        model=model, lowering=lowering, seed=seed, data=data,
        reading=reading_of(scale, resize, reading), task=task, calibration=calibration,
        keep_constant_channels=keep_constant_channels, stream=asked, cache=cache,
        on_stage=on_stage, on_notice=on_notice,
    )  # fmt: skip
    lowered, style = scheduled(given, schedule, board)
    network, heard = lowered.network, heard_by(lowered.network, given)
    taken = cost(network, board, cache, tell_of(board, on_stage, on_notice), heard)
    found = None
    if profile:
        sources = sources_of(network, stream=heard)
        firmware = simulator.measured_firmware(sources, board, taken)
        found = simulator.profile(firmware, board)
    return Measurement(
        model_name(model), board, style, taken, lowered.calibration, lowered.constant_channels,
        kept, profile=found,
    )  # fmt: skip


def measure_elf(
    path: Path | str,
    target: TargetSource,
    *,
    function: str | int | None = None,
    between: tuple[str | int, str | int] | None = None,
    origin: str | int | None = None,
    repeat: int | None = None,
    wait_states: int | None = None,
) -> Profile:
    """Execute any firmware, and tell where its cycles go.

    What is measured is given by the name of a symbol, or by an address: a number, or text such as
    "0x0800_1234". A `.bin` or `.hex` file has no symbols; its functions are named by their address.

    Args:
        path: of the ELF, or of an image of it (`.bin`, `.hex`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        function: measure one call of this.
        between: measure from the first of these two places to the second; by default, and
            without a `function`, between the marks that autotiny's firmware has.
        origin: the address of a `.bin` file's first byte, by default that of the target's flash.
        repeat: which call or pass is measured; the ones before it fill the caches. By default the
            first one, or the second one of autotiny's own firmware.
        wait_states: of the target's flash, in place of those that its file states.

    Raises:
        UserError: the file is no firmware for this core, has no such symbol, or waits for hardware.
        FirmwareFault: the firmware faults or does not end.
    """
    start, stop = between or (None, None)
    return simulator.measure_elf(
        path, target_of(target, wait_states),
        start=start, stop=stop, function=function, origin=origin, repeat=repeat,
    )  # fmt: skip
