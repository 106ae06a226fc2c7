"""The facts of the LiteRT schema (version 3) that reading and writing share, as data.

The source is `schema.fbs` of LiteRT; a test compares every fact here with the classes that
TensorFlow generates from it. The highest versions are those that LiteRT 2.3 resolves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from autotiny.graph import Option

FILE_IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3

TENSOR_TYPES: Final = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64",
    "int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4",
    "bfloat16", "int2", "uint4",
)  # fmt: skip
"""Names of the tensor types; the position is the number in the file."""

ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "Activation": ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
    "DType": TENSOR_TYPES,
    "LstmKernel": ("FULL", "BASIC"),
    "MirrorPad": ("REFLECT", "SYMMETRIC"),
    "Padding": ("SAME", "VALID"),
    "WeightsFormat": ("DEFAULT", "SHUFFLED4x16INT8"),
}
"""Enumerations of one byte; the position is the number in the file."""


@dataclass(frozen=True)
class Field:
    """One field of an options table.

    Attributes:
        slot: its place in the table.
        name: as in the schema.
        type: "i32", "size" (an i32 of at least 1), "f32", "bool", "i32s" (a vector) or a name
            in ENUMS.
        default: the value where the file leaves the field out.
    """

    slot: int
    name: str
    type: str
    default: Option


@dataclass(frozen=True)
class OptionsTable:
    """An options table: its number in the union `BuiltinOptions`, and its fields."""

    number: int
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class OpFacts:
    """What the schema and LiteRT say of one builtin operator.

    Attributes:
        code: its number in the enumeration `BuiltinOperator`.
        kind: its name there.
        version: the highest version that LiteRT knows.
        inputs: the fewest and the most inputs.
        outputs: the fewest and the most outputs.
        options: its options table; a table without number has no options.
    """

    code: int
    kind: str
    version: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    options: OptionsTable


def _table(number: int, fields: str = "") -> OptionsTable:
    """An options table from its fields as text: `name:type` or `name:type=default`, in slot order.

    An underscore stands for a slot that the schema no longer uses.
    """
    parsed = []
    for slot, word in enumerate(fields.split()):
        if word == "_":
            continue
        name, _, rest = word.partition(":")
        kind, _, text = rest.partition("=")
        default: Option
        if kind in ENUMS:
            default = ENUMS[kind][int(text or 0)]
        elif kind == "bool":
            default = text == "1"
        elif kind == "f32":
            default = float(text or 0)
        elif kind == "i32s":
            default = ()
        else:
            default = int(text or 0)
        parsed.append(Field(slot, name, kind, default))
    return OptionsTable(number, tuple(parsed))


OPTIONS: Final[Mapping[str, OptionsTable]] = {
    "Conv2D": _table(
        1,
        "padding:Padding stride_w:size stride_h:size fused_activation_function:Activation "
        "dilation_w_factor:size=1 dilation_h_factor:size=1 quantized_bias_type:DType",
    ),
    "DepthwiseConv2D": _table(
        2,
        "padding:Padding stride_w:size stride_h:size depth_multiplier:i32 "
        "fused_activation_function:Activation dilation_w_factor:size=1 "
        "dilation_h_factor:size=1",
    ),
    "Pool2D": _table(
        5,
        "padding:Padding stride_w:size stride_h:size filter_width:size filter_height:size "
        "fused_activation_function:Activation",
    ),
    "SVDF": _table(
        6,
        "rank:i32 fused_activation_function:Activation asymmetric_quantize_inputs:bool",
    ),
    "RNN": _table(7, "fused_activation_function:Activation asymmetric_quantize_inputs:bool"),
    "FullyConnected": _table(
        8,
        "fused_activation_function:Activation weights_format:WeightsFormat "
        "keep_num_dims:bool asymmetric_quantize_inputs:bool quantized_bias_type:DType",
    ),
    "Softmax": _table(9, "beta:f32"),
    "Concatenation": _table(10, "axis:i32 fused_activation_function:Activation"),
    "Add": _table(11, "fused_activation_function:Activation pot_scale_int16:bool=1"),
    "L2Norm": _table(12, "fused_activation_function:Activation"),
    "LSTM": _table(
        14,
        "fused_activation_function:Activation cell_clip:f32 proj_clip:f32 "
        "kernel_type:LstmKernel asymmetric_quantize_inputs:bool",
    ),
    "ResizeBilinear": _table(15, "_ _ align_corners:bool half_pixel_centers:bool"),
    "Reshape": _table(17, "new_shape:i32s"),
    "SpaceToDepth": _table(19, "block_size:i32"),
    "Mul": _table(21, "fused_activation_function:Activation"),
    "Pad": _table(22),
    "Gather": _table(23, "axis:i32 batch_dims:i32"),
    "BatchToSpaceND": _table(24),
    "SpaceToBatchND": _table(25),
    "Transpose": _table(26),
    "Reducer": _table(27, "keep_dims:bool"),
    "Sub": _table(28, "fused_activation_function:Activation pot_scale_int16:bool=1"),
    "Div": _table(29, "fused_activation_function:Activation"),
    "Squeeze": _table(30, "squeeze_dims:i32s"),
    "SequenceRNN": _table(
        31,
        "time_major:bool fused_activation_function:Activation asymmetric_quantize_inputs:bool",
    ),
    "StridedSlice": _table(
        32,
        "begin_mask:i32 end_mask:i32 ellipsis_mask:i32 new_axis_mask:i32 "
        "shrink_axis_mask:i32 offset:bool",
    ),
    "Exp": _table(33),
    "TopKV2": _table(34),
    "Split": _table(35, "num_splits:i32"),
    "LogSoftmax": _table(36),
    "Cast": _table(37, "in_data_type:DType out_data_type:DType"),
    "Dequantize": _table(38),
    "MaximumMinimum": _table(39),
    "ArgMax": _table(40, "output_type:DType"),
    "Less": _table(41),
    "Neg": _table(42),
    "PadV2": _table(43),
    "Greater": _table(44),
    "GreaterEqual": _table(45),
    "LessEqual": _table(46),
    "Select": _table(47),
    "Slice": _table(48),
    "TransposeConv": _table(
        49,
        "padding:Padding stride_w:size stride_h:size fused_activation_function:Activation "
        "quantized_bias_type:DType",
    ),
    "Tile": _table(51),
    "ExpandDims": _table(52),
    "Equal": _table(53),
    "NotEqual": _table(54),
    "Shape": _table(55, "out_type:DType"),
    "Pow": _table(56),
    "ArgMin": _table(57, "output_type:DType"),
    "Pack": _table(59, "values_count:i32 axis:i32"),
    "LogicalOr": _table(60),
    "OneHot": _table(61, "axis:i32"),
    "LogicalAnd": _table(62),
    "LogicalNot": _table(63),
    "Unpack": _table(64, "num:i32 axis:i32"),
    "FloorDiv": _table(65),
    "Square": _table(66),
    "ZerosLike": _table(67),
    "Fill": _table(68),
    "UnidirectionalSequenceLSTM": _table(
        71,
        "fused_activation_function:Activation cell_clip:f32 proj_clip:f32 time_major:bool "
        "asymmetric_quantize_inputs:bool diagonal_recurrent_tensors:bool",
    ),
    "FloorMod": _table(72),
    "Range": _table(73),
    "ResizeNearestNeighbor": _table(74, "align_corners:bool half_pixel_centers:bool"),
    "LeakyRelu": _table(75, "alpha:f32"),
    "SquaredDifference": _table(76),
    "MirrorPad": _table(77, "mode:MirrorPad"),
    "Abs": _table(78),
    "SplitV": _table(79, "num_splits:i32"),
    "ReverseV2": _table(81),
    "AddN": _table(82),
    "GatherNd": _table(83),
    "Cos": _table(84),
    "Rank": _table(86),
    "ReverseSequence": _table(87, "seq_dim:i32 batch_dim:i32"),
    "Quantize": _table(89),
    "HardSwish": _table(91),
    "If": _table(92, "then_subgraph_index:i32 else_subgraph_index:i32"),
    "While": _table(93, "cond_subgraph_index:i32 body_subgraph_index:i32"),
    "DepthToSpace": _table(94, "block_size:i32"),
    "ScatterNd": _table(97),
    "SelectV2": _table(98),
    "SegmentSum": _table(100),
    "BatchMatMul": _table(101, "adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool"),
    "Cumsum": _table(102, "exclusive:bool reverse:bool"),
    "BroadcastTo": _table(104),
    "Gelu": _table(116, "approximate:bool"),
    "DynamicUpdateSlice": _table(117),
    "UnsortedSegmentProd": _table(118),
    "UnsortedSegmentMax": _table(119),
    "UnsortedSegmentMin": _table(120),
    "UnsortedSegmentSum": _table(121),
    "ATan2": _table(122),
    "Sign": _table(123),
    "Bitcast": _table(124),
    "BitwiseXor": _table(125),
    "RightShift": _table(126),
}


def _arity(text: str) -> tuple[int, int]:
    """The fewest and the most of "2", "2-3" or "1-" (no limit but the file's size)."""
    low, dash, high = text.partition("-")
    return int(low), int(high or 1 << 16) if dash else int(low)


def _op(line: str) -> OpFacts:
    code, kind, version, inputs, outputs, *options = line.split()
    table = OPTIONS[options[0]] if options else OptionsTable(0, ())
    return OpFacts(int(code), kind, int(version), _arity(inputs), _arity(outputs), table)


OPS: Final[tuple[OpFacts, ...]] = tuple(
    _op(line)
    for line in """
   0 ADD                              6  2     1    Add
   1 AVERAGE_POOL_2D                  3  1     1    Pool2D
   2 CONCATENATION                    7  1-    1    Concatenation
   3 CONV_2D                          8  2-3   1    Conv2D
   4 DEPTHWISE_CONV_2D                7  2-3   1    DepthwiseConv2D
   5 DEPTH_TO_SPACE                   2  1     1    DepthToSpace
   6 DEQUANTIZE                       9  1     1    Dequantize
   8 FLOOR                            1  1     1
   9 FULLY_CONNECTED                 14  2-3   1    FullyConnected
  11 L2_NORMALIZATION                 2  1     1    L2Norm
  12 L2_POOL_2D                       1  1     1    Pool2D
  14 LOGISTIC                         3  1     1
  16 LSTM                             4  5-24  1-4  LSTM
  17 MAX_POOL_2D                      3  1     1    Pool2D
  18 MUL                              8  2     1    Mul
  19 RELU                             3  1     1
  20 RELU_N1_TO_1                     1  1     1
  21 RELU6                            3  1     1
  22 RESHAPE                          1  1-2   1    Reshape
  23 RESIZE_BILINEAR                  4  2     1    ResizeBilinear
  24 RNN                              3  5     1    RNN
  25 SOFTMAX                          4  1     1    Softmax
  26 SPACE_TO_DEPTH                   2  1     1    SpaceToDepth
  27 SVDF                             4  5     1    SVDF
  28 TANH                             3  1     1
  34 PAD                              6  2     1    Pad
  35 UNIDIRECTIONAL_SEQUENCE_RNN      3  5     1    SequenceRNN
  36 GATHER                           8  2     1    Gather
  37 BATCH_TO_SPACE_ND                4  3     1    BatchToSpaceND
  38 SPACE_TO_BATCH_ND                4  3     1    SpaceToBatchND
  39 TRANSPOSE                        9  2     1    Transpose
  40 MEAN                             3  2     1    Reducer
  41 SUB                              5  2     1    Sub
  42 DIV                              2  2     1    Div
  43 SQUEEZE                          2  1     1    Squeeze
  44 UNIDIRECTIONAL_SEQUENCE_LSTM     4  20-24 1    UnidirectionalSequenceLSTM
  45 STRIDED_SLICE                    8  4     1    StridedSlice
  47 EXP                              2  1     1    Exp
  48 TOPK_V2                          3  2     2    TopKV2
  49 SPLIT                            5  2     1-   Split
  50 LOG_SOFTMAX                      2  1     1    LogSoftmax
  53 CAST                             9  1     1    Cast
  54 PRELU                            1  2     1
  55 MAXIMUM                          4  2     1    MaximumMinimum
  56 ARG_MAX                          3  2     1    ArgMax
  57 MINIMUM                          4  2     1    MaximumMinimum
  58 LESS                             3  2     1    Less
  59 NEG                              1  1     1    Neg
  60 PADV2                            6  3     1    PadV2
  61 GREATER                          2  2     1    Greater
  62 GREATER_EQUAL                    3  2     1    GreaterEqual
  63 LESS_EQUAL                       2  2     1    LessEqual
  64 SELECT                           4  3     1    Select
  65 SLICE                            8  3     1    Slice
  66 SIN                              2  1     1
  67 TRANSPOSE_CONV                   5  3-4   1    TransposeConv
  69 TILE                             3  2     1    Tile
  70 EXPAND_DIMS                      1  2     1    ExpandDims
  71 EQUAL                            5  2     1    Equal
  72 NOT_EQUAL                        4  2     1    NotEqual
  73 LOG                              2  1     1
  74 SUM                              2  2     1    Reducer
  75 SQRT                             2  1     1
  76 RSQRT                            3  1     1
  77 SHAPE                            1  1     1    Shape
  78 POW                              1  2     1    Pow
  79 ARG_MIN                          3  2     1    ArgMin
  81 REDUCE_PROD                      2  2     1    Reducer
  82 REDUCE_MAX                       3  2     1    Reducer
  83 PACK                             5  1-    1    Pack
  84 LOGICAL_OR                       1  2     1    LogicalOr
  85 ONE_HOT                          1  4     1    OneHot
  86 LOGICAL_AND                      1  2     1    LogicalAnd
  87 LOGICAL_NOT                      1  1     1    LogicalNot
  88 UNPACK                           6  1     1-   Unpack
  89 REDUCE_MIN                       3  2     1    Reducer
  90 FLOOR_DIV                        3  2     1    FloorDiv
  91 REDUCE_ANY                       1  2     1    Reducer
  92 SQUARE                           1  1     1    Square
  93 ZEROS_LIKE                       1  1     1    ZerosLike
  94 FILL                             5  2     1    Fill
  95 FLOOR_MOD                        2  2     1    FloorMod
  96 RANGE                            2  3     1    Range
  97 RESIZE_NEAREST_NEIGHBOR          4  2     1    ResizeNearestNeighbor
  98 LEAKY_RELU                       2  1     1    LeakyRelu
  99 SQUARED_DIFFERENCE               2  2     1    SquaredDifference
 100 MIRROR_PAD                       3  2     1    MirrorPad
 101 ABS                              5  1     1    Abs
 102 SPLIT_V                          3  3     1-   SplitV
 104 CEIL                             1  1     1
 105 REVERSE_V2                       4  2     1    ReverseV2
 106 ADD_N                            1  1-    1    AddN
 107 GATHER_ND                        6  2     1    GatherNd
 108 COS                              2  1     1    Cos
 110 RANK                             1  1     1    Rank
 111 ELU                              1  1     1
 112 REVERSE_SEQUENCE                 1  2     1    ReverseSequence
 114 QUANTIZE                         6  1     1    Quantize
 116 ROUND                            1  1     1
 117 HARD_SWISH                       1  1     1    HardSwish
 118 IF                               1  1-    1-   If
 119 WHILE                            1  1-    1-   While
 122 SCATTER_ND                       1  3     1    ScatterNd
 123 SELECT_V2                        2  3     1    SelectV2
 125 SEGMENT_SUM                      1  2     1    SegmentSum
 126 BATCH_MATMUL                     4  2     1    BatchMatMul
 128 CUMSUM                           1  2     1    Cumsum
 130 BROADCAST_TO                     4  2     1    BroadcastTo
 140 REDUCE_ALL                       1  2     1    Reducer
 145 BROADCAST_ARGS                   1  2     1
 150 GELU                             3  1     1    Gelu
 151 DYNAMIC_UPDATE_SLICE             6  3     1    DynamicUpdateSlice
 152 RELU_0_TO_1                      1  1     1
 153 UNSORTED_SEGMENT_PROD            1  3     1    UnsortedSegmentProd
 154 UNSORTED_SEGMENT_MAX             1  3     1    UnsortedSegmentMax
 155 UNSORTED_SEGMENT_SUM             1  3     1    UnsortedSegmentSum
 156 ATAN2                            1  2     1    ATan2
 157 UNSORTED_SEGMENT_MIN             1  3     1    UnsortedSegmentMin
 158 SIGN                             2  1     1    Sign
 159 BITCAST                          1  1     1    Bitcast
 160 BITWISE_XOR                      1  2     1    BitwiseXor
 161 RIGHT_SHIFT                      1  2     1    RightShift
""".strip().splitlines()
)
"""Every builtin operator that can be read and written; the columns are the fields of OpFacts."""

BY_CODE: Final[Mapping[int, OpFacts]] = {facts.code: facts for facts in OPS}
BY_KIND: Final[Mapping[str, OpFacts]] = {facts.kind: facts for facts in OPS}

REFUSED: Final[Mapping[int, str]] = {
    7: "EMBEDDING_LOOKUP", 10: "HASHTABLE_LOOKUP", 13: "LOCAL_RESPONSE_NORMALIZATION",
    15: "LSH_PROJECTION", 29: "CONCAT_EMBEDDINGS", 30: "SKIP_GRAM", 31: "CALL",
    33: "EMBEDDING_LOOKUP_SPARSE", 46: "BIDIRECTIONAL_SEQUENCE_RNN", 51: "DELEGATE",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM", 68: "SPARSE_TO_DENSE", 80: "FAKE_QUANT", 103: "UNIQUE",
    109: "WHERE", 113: "MATRIX_DIAG", 115: "MATRIX_SET_DIAG",
    120: "NON_MAX_SUPPRESSION_V4", 121: "NON_MAX_SUPPRESSION_V5", 124: "DENSIFY",
    129: "CALL_ONCE", 131: "RFFT2D", 132: "CONV_3D", 133: "IMAG", 134: "REAL",
    135: "COMPLEX_ABS", 136: "HASHTABLE", 137: "HASHTABLE_FIND", 138: "HASHTABLE_IMPORT",
    139: "HASHTABLE_SIZE", 141: "CONV_3D_TRANSPOSE", 142: "VAR_HANDLE", 143: "READ_VARIABLE",
    144: "ASSIGN_VARIABLE", 146: "RANDOM_STANDARD_NORMAL", 147: "BUCKETIZE",
    148: "RANDOM_UNIFORM", 149: "MULTINOMIAL", 203: "DILATE",
}  # fmt: skip
"""Builtin operators that are refused by name: resources, strings, dynamic shapes."""

CUSTOM: Final = 32
"""The builtin code that stands for an operator named in the file."""
