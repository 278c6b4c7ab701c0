// cuDNN's C backend API as far as it is used here, in our own words: cuDNN is opened at run time, so that building needs no headers
// of it. test/cuda/cudnn_api_check.cc compares every value and signature with the real headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct cudnnContext;
struct CUstream_st;

namespace partialconv::cudnn {

using Handle = cudnnContext*;
using Descriptor = void*;
using Stream = CUstream_st*;
using Status = int;  // 0: success; the thousands are the category

inline constexpr Status kSuccess = 0;
inline constexpr Status kNotSupported = 3000;  // up to 3999

enum DescriptorType : int {
  kPointwise = 0,
  kConvolution = 1,
  kEngine = 2,
  kEngineConfig = 3,
  kEngineHeuristics = 4,
  kExecutionPlan = 5,
  kOperationForward = 10,
  kOperationBackwardFilter = 11,
  kOperationBackwardData = 12,
  kOperationPointwise = 13,
  kOperationGraph = 15,
  kVariantPack = 16,
  kTensor = 17,
  kDeviceProperties = 38,
};

enum AttributeType : int {
  kTypeHandle = 0,
  kTypeDataType = 1,
  kTypeBoolean = 2,
  kTypeInt64 = 3,
  kTypeFloat = 4,
  kTypeDouble = 5,
  kTypePointer = 6,
  kTypeConvolutionMode = 7,
  kTypeHeuristicsMode = 8,
  kTypeNumericalNote = 11,
  kTypePointwiseMode = 14,
  kTypeDescriptor = 15,
  kTypeBehaviorNote = 19,
  kTypeInt32 = 23,
  kTypeChar = 24,
};

enum Attribute : int {
  kPointwiseMode = 0,
  kPointwiseComputeType = 1,
  kConvolutionComputeType = 100,
  kConvolutionMode = 101,
  kConvolutionDilations = 102,
  kConvolutionStrides = 103,
  kConvolutionPostPaddings = 104,
  kConvolutionPrePaddings = 105,
  kConvolutionSpatialDims = 106,
  kHeuristicsMode = 200,
  kHeuristicsGraph = 201,
  kHeuristicsResults = 202,
  kHeuristicsDeviceProperties = 204,
  kEngineConfigEngine = 300,
  kPlanHandle = 400,
  kPlanEngineConfig = 401,
  kPlanWorkspaceSize = 402,
  kPlanJson = 405,
  kPlanDeviceProperties = 407,
  kForwardAlpha = 700,
  kForwardBeta = 701,
  kForwardConvolution = 702,
  kForwardWeight = 703,
  kForwardX = 704,
  kForwardY = 705,
  kBackwardDataAlpha = 706,
  kBackwardDataBeta = 707,
  kBackwardDataConvolution = 708,
  kBackwardDataWeight = 709,
  kBackwardDataDx = 710,
  kBackwardDataDy = 711,
  kBackwardFilterAlpha = 712,
  kBackwardFilterBeta = 713,
  kBackwardFilterConvolution = 714,
  kBackwardFilterDw = 715,
  kBackwardFilterX = 716,
  kBackwardFilterDy = 717,
  kOperationPointwiseDescriptor = 750,
  kOperationPointwiseX = 751,
  kOperationPointwiseB = 752,
  kOperationPointwiseY = 753,
  kOperationPointwiseT = 758,
  kGraphHandle = 800,
  kGraphOperations = 801,
  kTensorAlignment = 900,
  kTensorDataType = 901,
  kTensorDimensions = 902,
  kTensorStrides = 903,
  kTensorId = 906,
  kTensorIsVirtual = 907,
  kTensorIsByValue = 908,
  kVariantPackIds = 1000,
  kVariantPackPointers = 1001,
  kVariantPackWorkspace = 1003,
  kEngineGraph = 1300,
  kEngineGlobalIndex = 1301,
  kEngineNumericalNotes = 1303,
  kEngineBehaviorNotes = 1305,
  kDevicePropertiesHandle = 2701,
  kDevicePropertiesJson = 2702,
};

enum DataType : int { kFloat = 0, kDouble = 1, kHalf = 2, kBFloat16 = 9, kBoolean = 11 };
enum ConvolutionMode : int { kCrossCorrelation = 1 };
enum PointwiseMode : int { kAdd = 0, kMul = 1, kReluForward = 100, kNotEqual = 301, kSelect = 601 };
enum HeuristicsMode : int { kModeB = 1, kModeFallback = 2, kModeA = 3 };
enum NumericalNote : int {
  kNoteTensorCore = 0,
  kNoteDownConvertInputs = 1,
  kNoteReducedPrecisionReduction = 2,
  kNoteFft = 3,
  kNoteNondeterministic = 4,
  kNoteWinograd = 5,
  kNoteTypes = 16,  // room for the notes of later versions
};
enum BehaviorNote : int { kNoteRuntimeCompilation = 0, kBehaviorTypes = 16 };

// The function table. A test fills it with a fake.
struct Api {
  std::size_t (*get_version)() = nullptr;
  const char* (*get_error_string)(Status) = nullptr;
  void (*get_last_error_string)(char* message, std::size_t size) = nullptr;
  Status (*create)(Handle*) = nullptr;
  Status (*destroy)(Handle) = nullptr;
  Status (*set_stream)(Handle, Stream) = nullptr;
  Status (*create_descriptor)(DescriptorType, Descriptor*) = nullptr;
  Status (*destroy_descriptor)(Descriptor) = nullptr;
  Status (*finalize)(Descriptor) = nullptr;
  Status (*set_attribute)(Descriptor, Attribute, AttributeType, int64_t count, const void* values) = nullptr;
  Status (*get_attribute)(Descriptor, Attribute, AttributeType, int64_t room, int64_t* count, void* values) = nullptr;
  Status (*execute)(Handle, Descriptor plan, Descriptor variant_pack) = nullptr;
};

inline constexpr std::size_t kOldestVersion = 90800;  // 9.8: device properties as JSON

// 92400 -> "9.24.0"
inline std::string version_text(std::size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

// The installed cuDNN, opened at the first call: from the loader's path, CUDNN_PATH, or where conda and pip put it. Null where there is
// none that will do; then cudnn_absence() says what was tried and what to do.
const Api* installed();
const std::string& absence();
const std::string& library_path();

// The table in use: the installed one, unless a test has put another in its place (null: the installed one again).
const Api& api();
void use_api(const Api* table);

}  // namespace partialconv::cudnn
