// Compiled against NVIDIA's own headers where they are found: every enumerator and signature of native/cuda/cudnn_api.h is theirs.
#include <cudnn_graph.h>

#include <type_traits>

#include "cuda/cudnn_api.h"

namespace ours = partialconv::cudnn;

#define SAME(name, real) static_assert(static_cast<int>(ours::name) == static_cast<int>(real), #name)

SAME(kSuccess, CUDNN_STATUS_SUCCESS);
SAME(kNotSupported, CUDNN_STATUS_NOT_SUPPORTED);
SAME(kPointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
SAME(kConvolution, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
SAME(kEngine, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
SAME(kEngineConfig, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
SAME(kEngineHeuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
SAME(kExecutionPlan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
SAME(kOperationForward, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
SAME(kOperationBackwardFilter, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
SAME(kOperationBackwardData, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
SAME(kOperationPointwise, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
SAME(kOperationGraph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
SAME(kVariantPack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
SAME(kTensor, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
SAME(kDeviceProperties, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
SAME(kTypeHandle, CUDNN_TYPE_HANDLE);
SAME(kTypeDataType, CUDNN_TYPE_DATA_TYPE);
SAME(kTypeBoolean, CUDNN_TYPE_BOOLEAN);
SAME(kTypeInt64, CUDNN_TYPE_INT64);
SAME(kTypeFloat, CUDNN_TYPE_FLOAT);
SAME(kTypeDouble, CUDNN_TYPE_DOUBLE);
SAME(kTypePointer, CUDNN_TYPE_VOID_PTR);
SAME(kTypeConvolutionMode, CUDNN_TYPE_CONVOLUTION_MODE);
SAME(kTypeHeuristicsMode, CUDNN_TYPE_HEUR_MODE);
SAME(kTypeNumericalNote, CUDNN_TYPE_NUMERICAL_NOTE);
SAME(kTypePointwiseMode, CUDNN_TYPE_POINTWISE_MODE);
SAME(kTypeDescriptor, CUDNN_TYPE_BACKEND_DESCRIPTOR);
SAME(kTypeBehaviorNote, CUDNN_TYPE_BEHAVIOR_NOTE);
SAME(kTypeInt32, CUDNN_TYPE_INT32);
SAME(kTypeChar, CUDNN_TYPE_CHAR);
SAME(kPointwiseMode, CUDNN_ATTR_POINTWISE_MODE);
SAME(kPointwiseComputeType, CUDNN_ATTR_POINTWISE_MATH_PREC);
SAME(kConvolutionComputeType, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
SAME(kConvolutionMode, CUDNN_ATTR_CONVOLUTION_CONV_MODE);
SAME(kConvolutionDilations, CUDNN_ATTR_CONVOLUTION_DILATIONS);
SAME(kConvolutionStrides, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
SAME(kConvolutionPostPaddings, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
SAME(kConvolutionPrePaddings, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
SAME(kConvolutionSpatialDims, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
SAME(kHeuristicsMode, CUDNN_ATTR_ENGINEHEUR_MODE);
SAME(kHeuristicsGraph, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
SAME(kHeuristicsResults, CUDNN_ATTR_ENGINEHEUR_RESULTS);
SAME(kHeuristicsDeviceProperties, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
SAME(kEngineConfigEngine, CUDNN_ATTR_ENGINECFG_ENGINE);
SAME(kPlanHandle, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
SAME(kPlanEngineConfig, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
SAME(kPlanWorkspaceSize, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
SAME(kPlanJson, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
SAME(kPlanDeviceProperties, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
SAME(kForwardAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA);
SAME(kForwardBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
SAME(kForwardConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
SAME(kForwardWeight, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W);
SAME(kForwardX, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
SAME(kForwardY, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
SAME(kBackwardDataAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA);
SAME(kBackwardDataBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
SAME(kBackwardDataConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC);
SAME(kBackwardDataWeight, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W);
SAME(kBackwardDataDx, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX);
SAME(kBackwardDataDy, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY);
SAME(kBackwardFilterAlpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA);
SAME(kBackwardFilterBeta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
SAME(kBackwardFilterConvolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC);
SAME(kBackwardFilterDw, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW);
SAME(kBackwardFilterX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X);
SAME(kBackwardFilterDy, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY);
SAME(kOperationPointwiseDescriptor, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
SAME(kOperationPointwiseX, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
SAME(kOperationPointwiseB, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
SAME(kOperationPointwiseY, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
SAME(kOperationPointwiseT, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
SAME(kGraphHandle, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
SAME(kGraphOperations, CUDNN_ATTR_OPERATIONGRAPH_OPS);
SAME(kTensorAlignment, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
SAME(kTensorDataType, CUDNN_ATTR_TENSOR_DATA_TYPE);
SAME(kTensorDimensions, CUDNN_ATTR_TENSOR_DIMENSIONS);
SAME(kTensorStrides, CUDNN_ATTR_TENSOR_STRIDES);
SAME(kTensorId, CUDNN_ATTR_TENSOR_UNIQUE_ID);
SAME(kTensorIsVirtual, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
SAME(kTensorIsByValue, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
SAME(kVariantPackIds, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
SAME(kVariantPackPointers, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
SAME(kVariantPackWorkspace, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
SAME(kEngineGraph, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
SAME(kEngineGlobalIndex, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
SAME(kEngineNumericalNotes, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
SAME(kEngineBehaviorNotes, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE);
SAME(kDevicePropertiesHandle, CUDNN_ATTR_DEVICEPROP_HANDLE);
SAME(kDevicePropertiesJson, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
SAME(kNoteTensorCore, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
SAME(kNoteDownConvertInputs, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
SAME(kNoteReducedPrecisionReduction, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
SAME(kNoteFft, CUDNN_NUMERICAL_NOTE_FFT);
SAME(kNoteNondeterministic, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
SAME(kNoteWinograd, CUDNN_NUMERICAL_NOTE_WINOGRAD);
SAME(kFloat, CUDNN_DATA_FLOAT);
SAME(kDouble, CUDNN_DATA_DOUBLE);
SAME(kHalf, CUDNN_DATA_HALF);
SAME(kBFloat16, CUDNN_DATA_BFLOAT16);
SAME(kBoolean, CUDNN_DATA_BOOLEAN);
SAME(kCrossCorrelation, CUDNN_CROSS_CORRELATION);
SAME(kAdd, CUDNN_POINTWISE_ADD);
SAME(kMul, CUDNN_POINTWISE_MUL);
SAME(kReluForward, CUDNN_POINTWISE_RELU_FWD);
SAME(kNotEqual, CUDNN_POINTWISE_CMP_NEQ);
SAME(kSelect, CUDNN_POINTWISE_BINARY_SELECT);
SAME(kModeB, CUDNN_HEUR_MODE_B);
SAME(kModeFallback, CUDNN_HEUR_MODE_FALLBACK);
SAME(kModeA, CUDNN_HEUR_MODE_A);
SAME(kNoteRuntimeCompilation, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);

static_assert(CUDNN_NUMERICAL_NOTE_TYPE_COUNT <= static_cast<int>(ours::kNoteTypes));
static_assert(CUDNN_BEHAVIOR_NOTE_TYPE_COUNT <= static_cast<int>(ours::kBehaviorTypes));

// The same to a caller: the same type, or an enum or int of the same size where the other has an int or enum.
template <class A, class B>
constexpr bool kSame = [] {
  if constexpr (std::is_enum_v<A> || std::is_enum_v<B>) return sizeof(A) == sizeof(B);
  else return std::is_same_v<std::remove_cv_t<A>, std::remove_cv_t<B>>;
}();

template <class A, class B>
constexpr bool kSameCall = false;
template <class R, class... A, class S, class... B>
constexpr bool kSameCall<R (*)(A...), S (*)(B...)> = [] {
  if constexpr (sizeof...(A) != sizeof...(B)) return false;
  else return kSame<R, S> && (kSame<A, B> && ...);
}();

#define SAME_CALL(member, function) static_assert(kSameCall<decltype(ours::Api::member), decltype(&function)>, #function)

SAME_CALL(get_version, cudnnGetVersion);
SAME_CALL(get_error_string, cudnnGetErrorString);
SAME_CALL(get_last_error_string, cudnnGetLastErrorString);
SAME_CALL(create, cudnnCreate);
SAME_CALL(destroy, cudnnDestroy);
SAME_CALL(set_stream, cudnnSetStream);
SAME_CALL(create_descriptor, cudnnBackendCreateDescriptor);
SAME_CALL(destroy_descriptor, cudnnBackendDestroyDescriptor);
SAME_CALL(finalize, cudnnBackendFinalize);
SAME_CALL(set_attribute, cudnnBackendSetAttribute);
SAME_CALL(get_attribute, cudnnBackendGetAttribute);
SAME_CALL(execute, cudnnBackendExecute);

// A function that cuDNN changes is noticed: fewer arguments are not the same call.
static_assert(!kSameCall<decltype(ours::Api::execute), decltype(&cudnnBackendFinalize)>);

int main() {}
