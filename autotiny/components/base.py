"""What a component is: a step of a sequence, with the levels it takes and leaves as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from autotiny.cache import Cache
from autotiny.checked import Wording, fitted, hints_of
from autotiny.dataset import Dataset
from autotiny.model import Level, Model
from autotiny.target import Target

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""A convolution of one input channel is lowered as a depthwise one."""


REHEARSED = (8, 2, 2)
"""So many samples of train, validation and test go through front ends where nothing is trained."""

PARAMETERS = Wording(
    keys="parameters",
    wrong="{key} of {place} is {value}; it must be {type}",
    outside="{place}: {key} = {value}; it must be {rule}",
    choice="unknown {key} of {place} {value}; {near}it must be one of {choices}",
    missing="{place} lacks its parameter {key!r}",
    unknown="unknown parameter of {place} {key!r}; {near}",
)
"""How errors about parameters read."""


@dataclass(frozen=True)
class Work:
    """What a component may use besides the model.

    Attributes:
        data: samples to train on and to calibrate with.
        seed: decides everything random.
        epochs: upper limit of a fine-tune; early stopping on validation may end it before.
        original: the model of the user, the teacher of distillation; None trains on labels alone.
        rehearse: shapes only: no training and two calibration samples, so that the cost of the
            sequence is known about a second after it was drawn.
        cache: keeps what several components or parameters share; None makes it each time anew.
        target: what the result is made for, for those that measure where they pay; None if unknown.
    """

    data: Dataset
    seed: int = 0
    epochs: int = 5
    original: Model | None = None
    rehearse: bool = False
    cache: Cache | None = None
    target: Target | None = None


def work_for(model: Model, work: Work) -> Work:
    """What a component may use for a model: the samples are what its network takes."""
    front = model.front
    if front is None or not front.ends or model.level not in (Level.KERAS, Level.GRAPH):
        return work
    data = work.data.shrunk(*REHEARSED) if work.rehearse else work.data
    return replace(work, data=data.through(front))


class Component(ABC):
    """A step of a sequence; a subclass is a frozen dataclass whose fields are its parameters.

    The type of a field states the range of the parameter, which holds in recipes, in search spaces
    and in Python: `ratio: Annotated[float, Within(ge=0, le=1)]`.

    Attributes:
        name: how recipes and search spaces call it; also the name of its file.
        level: the level at which it stands in a sequence.
        leaves: the least level of its result; a model that stands higher already stays there.
        levels: all levels at which it can be applied. One below `level` is raised on the way:
            a Keras model is frozen, a graph of level tflite gets the plain schedule.
        trains: whether it fine-tunes, and so costs minutes rather than seconds.
        not_after: components that may not stand anywhere before it, each with the reason; a
            sequence that breaks this is never drawn.
        commutes_with: components with which it may change places, each with the reason: both orders
            give the same result, byte for byte. One of two states it.
        treats: kinds of ops, as the lowered model has them, of which it needs one; empty where
            it has no such need. A study leaves it out for a model that has none.
        cores: how many cores a target must have for it.
        one_port: whether it takes networks of one input and one output alone.
        once: whether a second one in the same sequence would find nothing to do.
        later: parameters that it got after recipes were written; their defaults are what it did.
    """

    name: ClassVar[str]
    level: ClassVar[Level]
    leaves: ClassVar[Level]
    levels: ClassVar[tuple[Level, ...]]
    trains: ClassVar[bool] = False
    not_after: ClassVar[dict[str, str]] = {}
    commutes_with: ClassVar[dict[str, str]] = {}
    treats: ClassVar[tuple[str, ...]] = ()
    cores: ClassVar[int] = 1
    one_port: ClassVar[bool] = False
    once: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        """Fills in what follows from `level`."""
        super().__init_subclass__()
        if "level" in cls.__dict__:
            cls.leaves = cls.__dict__.get("leaves", cls.level)
            cls.levels = cls.__dict__.get("levels", (cls.level,))

    def __post_init__(self) -> None:
        """Refuses parameters that are not of their field's type and range."""
        for name, hint in hints_of(type(self)).items():
            value = fitted(getattr(self, name), hint, name, self.name, PARAMETERS)
            object.__setattr__(self, name, value)

    @property
    def measures(self) -> bool:
        """Whether its result depends on the target."""
        return False

    @property
    def reads_weights(self) -> bool:
        """Whether what its result costs hangs on the weights' values, which training changes."""
        return False

    @classmethod
    def takes(cls, level: Level) -> bool:
        """Whether it can be applied to a model of a level; one of level signal is a Keras model."""
        return level in cls.levels or (level is Level.SIGNAL and Level.KERAS in cls.levels)

    @classmethod
    def gives(cls, level: Level) -> Level:
        """The level of its result on a model of a level that it takes."""
        return max(level, cls.leaves, key=list(Level).index)

    @abstractmethod
    def apply(self, model: Model, work: Work) -> Model:
        """The model with this component applied; the one given stays as it is.

        Raises:
            NotApplicable: there is nothing to do; the component drops out of the sequence.
            TrainingDiverged: a fine-tune produced NaN or infinity.
        """
