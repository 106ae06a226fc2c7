"""Front ends: what computes features from sound and motion, the same bits in Python and in C.

Each file has one: frozen parameters, `features(x)` in NumPy, and the call of its kernel in
`engine/kernels/signal_*.h`. All arithmetic is of whole numbers.
"""

from autotiny.signal.band_filter import BandFilter
from autotiny.signal.call import CCall
from autotiny.signal.decimate import Decimate
from autotiny.signal.front import (
    FRONT_ENDS,
    OF_SOUND,
    Front,
    answering,
    arranged,
    front_end_from,
    front_from,
    with_front,
    without_front,
)
from autotiny.signal.front_end import FrontEnd
from autotiny.signal.log_mel import LogMel
from autotiny.signal.mfcc import Mfcc
from autotiny.signal.spectrogram import Spectrogram
from autotiny.signal.statistics import Statistics
from autotiny.signal.stream import (
    SHIFT_IN,
    Asked,
    Stream,
    Streamed,
    StreamPart,
    asked_stream,
    check_hop,
    streamed,
    window_of,
)

__all__ = [
    "FRONT_ENDS",
    "OF_SOUND",
    "SHIFT_IN",
    "Asked",
    "BandFilter",
    "CCall",
    "Decimate",
    "Front",
    "FrontEnd",
    "LogMel",
    "Mfcc",
    "Spectrogram",
    "Statistics",
    "Stream",
    "StreamPart",
    "Streamed",
    "answering",
    "arranged",
    "asked_stream",
    "check_hop",
    "front_end_from",
    "front_from",
    "streamed",
    "window_of",
    "with_front",
    "without_front",
]
