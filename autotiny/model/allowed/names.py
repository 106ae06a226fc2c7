"""What a model file may name: classes, functions and ops that compute and do nothing else.

A name that is not here is refused. None of these runs code that a file brings, none reads or writes
a file, none opens a connection.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODELS = _words("Sequential Functional Model")

LAYERS = _words("""
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
    AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
    AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    BatchNormalizationV1 Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose
    Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D
    Cropping3D CuDNNGRU CuDNNLSTM CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot
    Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GRUV1 GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention
    Identity InputLayer LSTM LSTMCell LSTMV1 LayerNormalization LeakyReLU Masking MaxPool1D
    MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
    RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight
    RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
    RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling
    Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
    SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax Solarization
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells
    Subtract SyncBatchNormalization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""")

OPTIMIZED = _words("""
    PruneLowMagnitude ClusterWeights QuantizeAnnotate QuantizeWrapper QuantizeWrapperV2
    QuantizeLayer
""")
"""Layers of TensorFlow's model optimization toolkit: those that wrap another, and its quantizer."""

OPTIMIZERS_PARTS = _words("""
    ConstantSparsity PolynomialDecay QuantizeAwareActivation NoOpActivation OutputOnlyConfig
    FixedQuantizeConfig Default8BitQuantizeConfig Default8BitQuantizeConfigRNN
    Default8BitActivationQuantizeConfig Default8BitConvQuantizeConfig NoOpQuantizeConfig
    Default8BitOutputQuantizeConfig Default8BitConvTransposeQuantizeConfig DefaultNBitQuantizeConfig
    DefaultNBitQuantizeConfigRNN DefaultNBitActivationQuantizeConfig DefaultNBitConvQuantizeConfig
    DefaultNBitOutputQuantizeConfig DefaultNBitConvTransposeQuantizeConfig AllValuesQuantizer
    LastValueQuantizer MovingAverageQuantizer FixedQuantizer NoQuantizer
""")
"""What those layers hold: schedules, quantizers, and what is quantized of a layer."""

INITIALIZERS = _words("""
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT
    STFTInitializer TruncatedNormal VarianceScaling Zeros constant glorot_normal glorot_uniform
    he_normal he_uniform identity lecun_normal lecun_uniform normal one ones orthogonal
    random_normal random_uniform truncated_normal uniform variance_scaling zero zeros
""")
REGULARIZERS = _words("L1 L2 L1L2 OrthogonalRegularizer l1 l2 l1_l2 l1l2 orthogonal_regularizer")
CONSTRAINTS = _words("""
    MaxNorm MinMaxNorm NonNeg UnitNorm RadialConstraint max_norm min_max_norm non_neg unit_norm
    radial_constraint maxnorm nonneg unitnorm
""")
ACTIVATIONS = _words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
""")
ACTIVATION_LAYERS = _words("LeakyReLU ReLU Softmax PReLU ELU ThresholdedReLU")
POLICIES = _words("DTypePolicy Policy FloatDTypePolicy")
DTYPES = _words("""
    bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 bfloat16 float16 float32 float64
    mixed_float16 mixed_bfloat16
""")

_MAPS = "Abs Absolute Add Subtract Multiply Divide DivideNoNan TrueDivide FloorDivide Mod Power "
OPERATIONS = {
    "keras.src.ops.numpy": _words(
        _MAPS
        + """
        All Any Amax Amin Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort
        Average BroadcastTo Ceil Clip Concatenate Conjugate Copy Cos Cosh CountNonzero Cross Cumprod
        Cumsum Diagonal Diff Dot Einsum Equal Exp Exp2 ExpandDims Expm1 Flip Floor FullLike GetItem
        Greater GreaterEqual Hstack Hypot Inner Isfinite Isinf Isnan Less LessEqual Log Log10 Log1p
        Log2 Logaddexp LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max Maximum Mean Median Min
        Minimum Moveaxis NanToNum Negative NotEqual OnesLike Outer Pad Prod Ravel Reciprocal Repeat
        Reshape Roll Rot90 Round Sign Sin Sinh Sort Split Sqrt Square Squeeze Stack Std Sum Swapaxes
        Take TakeAlongAxis Tan Tanh Tensordot Tile Transpose Tril Triu Trunc Var Vstack Where
        ZerosLike
        """
    ),
    "keras.src.ops.nn": _words("""
        Relu Relu6 Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu Squareplus
        LogSigmoid LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu Glu TanhShrink HardTanh
        HardShrink Threshold Softmax LogSoftmax Sparsemax MaxPool AdaptiveMaxPool AveragePool
        AdaptiveAveragePool Conv DepthwiseConv SeparableConv ConvTranspose OneHot Moments BatchNorm
        Normalize DotProductAttention RMSNorm LayerNorm DepthToSpace SpaceToDepth
    """),
    "keras.src.ops.math": _words("Logsumexp Rsqrt Erf Erfc TopK FFT RFFT STFT ExtractSequences"),
    "keras.src.ops.core": _words("Cast SaturateCast Slice StopGradient Unstack ConvertToTensor"),
    "keras.src.ops.image": _words("RGBToGrayscale Resize ExtractPatches PadImages CropImages"),
    "keras.src.ops.linalg": _words("Norm"),
}
"""Operators and functions of Keras 3, by the module that a file names with them."""

FUNCTIONS = _words("""
    __operators__.add __operators__.getitem __operators__.eq __operators__.ne abs argmax argmin
    broadcast_to cast clip_by_value concat cos cumsum einsum exp expand_dims gather greater
    greater_equal identity less less_equal linalg.matmul linalg.l2_normalize linalg.norm
    linalg.matrix_transpose log logical_and logical_not logical_or matmul maximum minimum multiply
    add subtract divide negative norm not_equal equal one_hot ones_like zeros_like pad pow realdiv
    repeat reshape reverse round rsqrt shape sigmoid sign sin slice split sqrt square squeeze stack
    stop_gradient strided_slice tanh tile transpose truediv unstack where tensordot
    reduce_max reduce_mean reduce_min reduce_prod reduce_sum reduce_all reduce_any
    image.resize image.resize_bilinear image.resize_nearest_neighbor image.resize_images
    image.rgb_to_grayscale image.per_image_standardization
    math.abs math.add math.add_n math.argmax math.argmin math.ceil math.cos math.cumsum math.divide
    math.divide_no_nan math.equal math.erf math.exp math.expm1 math.floor math.floordiv
    math.floormod math.greater math.greater_equal math.l2_normalize math.less math.less_equal
    math.log math.log1p math.log_sigmoid math.log_softmax math.logical_and math.logical_not
    math.logical_or math.logical_xor math.maximum math.minimum math.mod math.multiply
    math.multiply_no_nan math.negative math.not_equal math.pow math.reciprocal math.reduce_all
    math.reduce_any math.reduce_euclidean_norm math.reduce_logsumexp math.reduce_max
    math.reduce_mean math.reduce_min math.reduce_prod math.reduce_std math.reduce_sum
    math.reduce_variance math.round math.rsqrt math.sigmoid math.sign math.sin math.sinh
    math.softmax math.softplus math.softsign math.sqrt math.square math.squared_difference
    math.subtract math.tan math.tanh math.top_k math.truediv math.xdivy
    nn.avg_pool nn.avg_pool1d nn.avg_pool2d nn.batch_normalization nn.bias_add nn.conv1d nn.conv2d
    nn.conv2d_transpose nn.convolution nn.depth_to_space nn.depthwise_conv2d nn.elu nn.gelu
    nn.l2_normalize nn.leaky_relu nn.local_response_normalization nn.log_softmax nn.max_pool
    nn.max_pool1d nn.max_pool2d nn.moments nn.relu nn.relu6 nn.selu nn.separable_conv2d nn.sigmoid
    nn.silu nn.softmax nn.softplus nn.softsign nn.space_to_depth nn.swish nn.tanh space_to_batch_nd
    batch_to_space depth_to_space space_to_depth squared_difference reciprocal
    keras.activations.elu keras.activations.exponential keras.activations.gelu
    keras.activations.hard_sigmoid keras.activations.linear keras.activations.relu
    keras.activations.selu keras.activations.sigmoid keras.activations.softmax
    keras.activations.softplus keras.activations.softsign keras.activations.swish
    keras.activations.tanh
    keras.backend.abs keras.backend.batch_flatten keras.backend.cast keras.backend.clip
    keras.backend.concatenate keras.backend.expand_dims keras.backend.flatten
    keras.backend.l2_normalize keras.backend.max keras.backend.mean keras.backend.min
    keras.backend.permute_dimensions keras.backend.relu keras.backend.reshape
    keras.backend.sigmoid keras.backend.softmax keras.backend.sqrt keras.backend.square
    keras.backend.squeeze keras.backend.stack keras.backend.sum keras.backend.tanh
    keras.backend.repeat_elements keras.backend.pow keras.backend.exp keras.backend.log
""")
"""Functions of TensorFlow that a Keras 2 file may apply to tensors; also under `compat.v1.`."""

GRAPH_OPS = _words("""
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert Atan Atan2 Atanh AvgPool
    AvgPool3D AvgPool3DGrad AvgPoolGrad BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpace
    BatchToSpaceND BiasAdd BiasAddGrad BiasAddV1 Bitcast BitwiseAnd BitwiseOr BitwiseXor
    BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil CheckNumerics ClipByValue
    Complex ComplexAbs Concat ConcatOffset ConcatV2 Conj Const Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2 Conv3DBackpropInputV2 ControlTrigger Cos Cosh
    CropAndResize Cumprod Cumsum DepthToSpace DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dequantize Diag DiagPart
    Dilation2D Div DivNoNan DynamicStitch Einsum Elu EluGrad EnsureShape Equal Erf Erfc Exp
    ExpandDims Expm1 ExtractImagePatches FFT FFT2D FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient
    FakeQuantWithMinMaxVarsPerChannel FakeQuantWithMinMaxVarsPerChannelGradient Fill Floor FloorDiv
    FloorMod FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3
    FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual IFFT IFFT2D
    IRFFT Identity IdentityN Imag InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu
    LeakyReluGrad LeftShift Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr LowerBound MatMul MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2
    MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiagV3 Max MaxPool MaxPool3D MaxPool3DGrad
    MaxPoolGrad MaxPoolGradV2 MaxPoolV2 MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad
    MirrorPadGrad Mod Mul MulNoNan Neg NextIteration NoOp NotEqual OneHot OnesLike Pack Pad PadV2
    ParallelConcat Placeholder PlaceholderWithDefault Pow PreventGradient Prod QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2 RFFT RFFT2D
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank Real RealDiv Reciprocal
    ReciprocalGrad Relu Relu6 Relu6Grad ReluGrad Reshape ResizeArea ResizeBicubic ResizeBilinear
    ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad Reverse ReverseSequence
    ReverseV2 RightShift Rint Roll Round Rsqrt RsqrtGrad ScaleAndTranslate ScatterNd SegmentMax
    SegmentMean SegmentSum Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad Sign Sin
    Sinh Size Slice Snapshot Softmax Softplus SoftplusGrad Softsign SoftsignGrad SpaceToBatch
    SpaceToBatchND SpaceToDepth Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze
    StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformInt
    StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormalV2 StopGradient
    StridedSlice StridedSliceGrad Sub Sum Tan Tanh TanhGrad TensorScatterUpdate Tile TopK TopKV2
    Transpose TruncateDiv TruncateMod TruncatedNormal UnsortedSegmentMax UnsortedSegmentSum Unpack
    UpperBound Where Xdivy Xlog1py Xlogy ZerosLike
    EmptyTensorList TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
    TensorListResize TensorListScatterV2 TensorListSetItem TensorListStack
    Enter Exit LoopCond Switch
    Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
    SymbolicGradient While
    AssignAddVariableOp AssignSubVariableOp AssignVariableOp DisableCopyOnRead ReadVariableOp
    ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterUpdate VarHandleOp
    VarIsInitializedOp VariableShape
    RngReadAndSkip RngSkip StatefulStandardNormalV2 StatefulUniform StatefulUniformInt
""")
"""Ops of TensorFlow that a function of a SavedModel may hold; some call other functions of it."""
