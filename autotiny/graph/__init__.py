"""The network as data, and the work on it that needs nothing else.

`types` says what a graph is, `walking` who makes and reads its tensors, `editing` gives a changed
copy of it, `folding` computes what is known before it runs, `gru` says what a GRU computes, and
`quantizing` goes from real numbers to stored ones and back. Nothing here imports TensorFlow, nor
anything of autotiny but its errors.
"""

from autotiny.graph.editing import compact, live, named, redirected, renumbered
from autotiny.graph.folding import fold, folded
from autotiny.graph.gru import written_out
from autotiny.graph.quantizing import Ties, dequantize, quantize
from autotiny.graph.types import (
    ITEM_BYTES,
    Array,
    DType,
    Graph,
    Op,
    Option,
    Quantization,
    Tensor,
    Threshold,
)
from autotiny.graph.walking import (
    in_order,
    needed_ops,
    needed_tensors,
    producers,
    read_once,
    readers,
    variables,
)

__all__ = [
    "ITEM_BYTES", "Array", "DType", "Graph", "Op", "Option", "Quantization", "Tensor", "Threshold",
    "Ties",
    "compact", "dequantize", "fold", "folded", "in_order", "live", "named", "needed_ops",
    "needed_tensors", "producers", "quantize", "read_once", "readers", "redirected", "renumbered",
    "variables", "written_out",
]  # fmt: skip
