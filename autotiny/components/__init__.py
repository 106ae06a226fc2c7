"""Every component, as a list to read, in the order of the levels at which they stand."""

from autotiny.components.base import PARAMETERS, Component, Work, work_for
from autotiny.components.frozen.reduce_control_edges import ReduceControlEdges
from autotiny.components.frozen.remove_dead_branches import RemoveDeadBranches
from autotiny.components.frozen.remove_loop_invariants import RemoveLoopInvariants
from autotiny.components.keras.cluster_weights import ClusterWeights
from autotiny.components.keras.factorize_low_rank import FactorizeLowRank
from autotiny.components.keras.factorize_spatial import FactorizeSpatial
from autotiny.components.keras.prune_channels import PruneChannels
from autotiny.components.keras.prune_magnitude import PruneMagnitude
from autotiny.components.keras.quantize_aware import QuantizeAware
from autotiny.components.keras.reduce_input import ReduceInput
from autotiny.components.keras.select_subnetwork import SelectSubnetwork
from autotiny.components.keras.separate_convolutions import SeparateConvolutions
from autotiny.components.order import (
    LEVELS,
    commute,
    is_calibrated,
    is_lowering,
    misplaced,
    objection,
)
from autotiny.components.program.block_gemm import BlockGemm
from autotiny.components.program.execute_in_place import ExecuteInPlace
from autotiny.components.program.execute_patchwise import ExecutePatchwise
from autotiny.components.program.expand_weights import ExpandWeights
from autotiny.components.program.fuse_operators import FuseOperators
from autotiny.components.program.huffman_code import HuffmanCode
from autotiny.components.program.pair_products import PairProducts
from autotiny.components.program.partition_cores import PartitionCores
from autotiny.components.program.place_weights import PlaceWeights
from autotiny.components.program.share_weights import ShareWeights
from autotiny.components.program.skip_zeros import SkipZeros
from autotiny.components.program.solve_schedule import SolveSchedule
from autotiny.components.program.spend_sram import SpendSram
from autotiny.components.program.strassen import Strassen
from autotiny.components.program.use_winograd import UseWinograd
from autotiny.components.signal.band_filter import BandFilter
from autotiny.components.signal.decimate import Decimate
from autotiny.components.signal.log_mel import LogMel
from autotiny.components.signal.mfcc import Mfcc
from autotiny.components.signal.spectrogram import Spectrogram
from autotiny.components.signal.statistics import Statistics
from autotiny.components.tflite._gru import with_grus
from autotiny.components.tflite.dynamic_range import DynamicRange
from autotiny.components.tflite.float16 import Float16
from autotiny.components.tflite.float32 import Float32
from autotiny.components.tflite.fold_constants import FoldConstants
from autotiny.components.tflite.fuse_recurrent import FuseRecurrent
from autotiny.components.tflite.int8 import Int8
from autotiny.components.tflite.int8_float_fallback import Int8FloatFallback
from autotiny.components.tflite.int16x8 import Int16x8
from autotiny.components.tflite.merge_duplicates import MergeDuplicates
from autotiny.components.tflite.remove_constant_channels import RemoveConstantChannels
from autotiny.components.tflite.remove_identities import RemoveIdentities
from autotiny.components.tflite.simplify_arithmetic import SimplifyArithmetic

COMPONENTS: dict[str, type[Component]] = {
    component.name: component
    for component in (
        # signal: what stands before the network
        Decimate,
        BandFilter,
        Mfcc,
        LogMel,
        Spectrogram,
        Statistics,
        # keras: trainable
        ReduceInput,
        PruneChannels,
        SelectSubnetwork,
        SeparateConvolutions,
        FactorizeSpatial,
        FactorizeLowRank,
        PruneMagnitude,
        ClusterWeights,
        QuantizeAware,
        # graph: frozen
        RemoveLoopInvariants,
        RemoveDeadBranches,
        ReduceControlEdges,
        # graph → tflite: exactly one of these
        Float32,
        Float16,
        DynamicRange,
        Int8FloatFallback,
        Int8,
        Int16x8,
        # graph and tflite
        SimplifyArithmetic,
        FoldConstants,
        RemoveIdentities,
        MergeDuplicates,
        FuseRecurrent,
        RemoveConstantChannels,
        # program
        ExecutePatchwise,
        FuseOperators,
        BlockGemm,
        PairProducts,
        ExpandWeights,
        UseWinograd,
        Strassen,
        SpendSram,
        SkipZeros,
        SolveSchedule,
        ShareWeights,
        HuffmanCode,
        ExecuteInPlace,
        PartitionCores,
        PlaceWeights,
    )
}

__all__ = [
    "COMPONENTS",
    "LEVELS",
    "PARAMETERS",
    "Component",
    "LogMel",
    "Mfcc",
    "Work",
    "commute",
    "is_calibrated",
    "is_lowering",
    "misplaced",
    "objection",
    "with_grus",
    "work_for",
]
