"""Every component, as a list to read, in the order of the levels at which they stand."""

from autotiny.components.base import Component, Work
from autotiny.components.block_gemm import BlockGemm
from autotiny.components.cluster_weights import ClusterWeights
from autotiny.components.dynamic_range import DynamicRange
from autotiny.components.execute_in_place import ExecuteInPlace
from autotiny.components.execute_patchwise import ExecutePatchwise
from autotiny.components.expand_weights import ExpandWeights
from autotiny.components.factorize_low_rank import FactorizeLowRank
from autotiny.components.factorize_spatial import FactorizeSpatial
from autotiny.components.float16 import Float16
from autotiny.components.float32 import Float32
from autotiny.components.fold_constants import FoldConstants
from autotiny.components.fuse_operators import FuseOperators
from autotiny.components.fuse_recurrent import FuseRecurrent
from autotiny.components.huffman_code import HuffmanCode
from autotiny.components.int8 import Int8
from autotiny.components.int8_float_fallback import Int8FloatFallback
from autotiny.components.int16x8 import Int16x8
from autotiny.components.merge_duplicates import MergeDuplicates
from autotiny.components.pair_products import PairProducts
from autotiny.components.partition_cores import PartitionCores
from autotiny.components.place_weights import PlaceWeights
from autotiny.components.prune_channels import PruneChannels
from autotiny.components.prune_magnitude import PruneMagnitude
from autotiny.components.quantize_aware import QuantizeAware
from autotiny.components.reduce_control_edges import ReduceControlEdges
from autotiny.components.reduce_input import ReduceInput
from autotiny.components.remove_dead_branches import RemoveDeadBranches
from autotiny.components.remove_identities import RemoveIdentities
from autotiny.components.remove_loop_invariants import RemoveLoopInvariants
from autotiny.components.select_subnetwork import SelectSubnetwork
from autotiny.components.separate_convolutions import SeparateConvolutions
from autotiny.components.share_weights import ShareWeights
from autotiny.components.simplify_arithmetic import SimplifyArithmetic
from autotiny.components.skip_zeros import SkipZeros
from autotiny.components.strassen import Strassen
from autotiny.components.use_winograd import UseWinograd

COMPONENTS: dict[str, type[Component]] = {
    component.name: component
    for component in (
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
        SimplifyArithmetic,
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
        FoldConstants,
        RemoveIdentities,
        MergeDuplicates,
        FuseRecurrent,
        # program
        ExecutePatchwise,
        FuseOperators,
        BlockGemm,
        PairProducts,
        ExpandWeights,
        UseWinograd,
        Strassen,
        SkipZeros,
        ShareWeights,
        HuffmanCode,
        ExecuteInPlace,
        PartitionCores,
        PlaceWeights,
    )
}

__all__ = ["COMPONENTS", "Component", "Work"]
