#include "costmodel/efficiency.h"

#include <fmt/format.h>

#include "base/document.h"

namespace pluto {

namespace {

Result<double> positive(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0)) return reader.error(key, "must be positive");
  return number;
}

Result<double> not_negative(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number >= 0)) return reader.error(key, "must not be negative");
  return number;
}

Result<double> fraction(ObjectReader& reader, std::string_view key) {
  PLUTO_ASSIGN(const double number, reader.number(key));
  if (!(number > 0 && number <= 2)) {
    return reader.error(key, "is a fraction of a datasheet figure: above 0, at most 2");
  }
  return number;
}

Result<ClassEfficiency> read_class(ObjectReader& parent, std::string_view key) {
  PLUTO_ASSIGN(const Value* value, parent.object(key));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(*value, parent.place(key)));
  ClassEfficiency result;
  PLUTO_ASSIGN(result.flops, fraction(reader, "flops"));
  PLUTO_ASSIGN(result.bandwidth, fraction(reader, "bandwidth"));
  PLUTO_ASSIGN(const double floor, not_negative(reader, "floor_s"));
  result.floor = Seconds(floor);
  PLUTO_ASSIGN(result.relative_spread, not_negative(reader, "spread"));
  PLUTO_ASSIGN(result.fitted, reader.boolean("fitted"));
  PLUTO_TRY(reader.string("source"));
  PLUTO_TRY(reader.finish());
  return result;
}

Result<KindEfficiency> read_kind(ObjectReader& parent, std::string_view key) {
  PLUTO_ASSIGN(const Value* value, parent.object(key));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(*value, parent.place(key)));
  KindEfficiency result;
  PLUTO_ASSIGN(result.bandwidth_contention, not_negative(reader, "bandwidth_contention"));
  PLUTO_ASSIGN(const double peak, positive(reader, "assumed_peak_flops"));
  result.assumed_peak = FlopsPerSecond(peak);
  PLUTO_ASSIGN(const double bandwidth, positive(reader, "assumed_bytes_per_second"));
  result.assumed_bandwidth = BytesPerSecond(bandwidth);
  PLUTO_ASSIGN(const Value* classes, reader.object("classes"));
  PLUTO_ASSIGN(auto class_reader, ObjectReader::open(*classes, reader.place("classes")));
  for (std::size_t i = 0; i < kOpClassCount; ++i) {
    PLUTO_ASSIGN(result.classes[i], read_class(class_reader, to_text(static_cast<OpClass>(i))));
  }
  PLUTO_TRY(class_reader.finish());
  PLUTO_TRY(reader.finish());
  return result;
}

}  // namespace

const char* to_text(OpClass op_class) {
  switch (op_class) {
    case OpClass::kGemm:
      return "gemm";
    case OpClass::kConv:
      return "conv";
    case OpClass::kRecurrent:
      return "recurrent";
    case OpClass::kAttention:
      return "attention";
    case OpClass::kNormalization:
      return "normalization";
    case OpClass::kSoftmax:
      return "softmax";
    case OpClass::kPooling:
      return "pooling";
    case OpClass::kElementwise:
      return "elementwise";
    case OpClass::kCopy:
      return "copy";
    case OpClass::kLookup:
      return "lookup";
    case OpClass::kLoss:
      return "loss";
    case OpClass::kUpdate:
      return "update";
  }
  return "?";
}

OpClass class_of(OpKind kind) {
  switch (kind) {
    case OpKind::kLinear:
    case OpKind::kMatMul:
    case OpKind::kMoeFfn:
      return OpClass::kGemm;
    case OpKind::kConv2d:
      return OpClass::kConv;
    case OpKind::kLstm:
    case OpKind::kGru:
      return OpClass::kRecurrent;
    case OpKind::kAttention:
      return OpClass::kAttention;
    case OpKind::kBatchNorm:
    case OpKind::kLrn:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
      return OpClass::kNormalization;
    case OpKind::kSoftmax:
      return OpClass::kSoftmax;
    case OpKind::kMaxPool:
    case OpKind::kAvgPool:
    case OpKind::kGlobalAvgPool:
      return OpClass::kPooling;
    case OpKind::kRelu:
    case OpKind::kGelu:
    case OpKind::kSilu:
    case OpKind::kSigmoid:
    case OpKind::kTanh:
    case OpKind::kDropout:
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kPositionAdd:
    case OpKind::kRotary:
    case OpKind::kCast:
    case OpKind::kAccumulate:
    case OpKind::kPack:
    case OpKind::kUnpack:
      return OpClass::kElementwise;
    case OpKind::kConcat:
    case OpKind::kSplit:
    case OpKind::kSlice:
    case OpKind::kReshape:
    case OpKind::kTranspose:
    case OpKind::kAllReduce:
    case OpKind::kServerPush:
    case OpKind::kServerPull:
    case OpKind::kFactorGather:
    case OpKind::kFactorPush:
    case OpKind::kReduceScatter:
    case OpKind::kParameterGather:
    case OpKind::kSend:
    case OpKind::kReceive:
    case OpKind::kStageReduce:
    case OpKind::kGroupCopy:
    case OpKind::kGroupAllReduce:
    case OpKind::kGroupAllGather:
    case OpKind::kGroupReduceScatter:
    case OpKind::kGroupAllToAll:
    case OpKind::kGroupPart:
    case OpKind::kGroupPlace:
    case OpKind::kGroupFirst:
      return OpClass::kCopy;
    case OpKind::kEmbedding:
    case OpKind::kEmbeddingBag:
      return OpClass::kLookup;
    case OpKind::kCosineSimilarity:
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBceWithLogits:
    case OpKind::kMse:
    case OpKind::kSoftmaxTerms:
    case OpKind::kSplitCrossEntropy:
      return OpClass::kLoss;
    case OpKind::kSgd:
    case OpKind::kAdam:
    case OpKind::kAverage:
      return OpClass::kUpdate;
  }
  return OpClass::kElementwise;
}

Result<EfficiencyTable> load_efficiency(const std::string& path) {
  PLUTO_ASSIGN(const Value document, read_document(path));
  PLUTO_ASSIGN(auto reader, ObjectReader::open(document, path));
  PLUTO_ASSIGN(const auto schema, reader.integer("schema"));
  if (schema != 1) return reader.error("schema", fmt::format("{} is not supported", schema));
  PLUTO_TRY(reader.string("about"));
  EfficiencyTable table;
  PLUTO_ASSIGN(table.cpu, read_kind(reader, "cpu"));
  PLUTO_ASSIGN(table.gpu, read_kind(reader, "gpu"));
  PLUTO_ASSIGN(const Value* inputs, reader.object("inputs"));
  PLUTO_ASSIGN(auto input_reader, ObjectReader::open(*inputs, reader.place("inputs")));
  for (const auto& [name, unused] : inputs->as_object()) {
    PLUTO_ASSIGN(const Value* value, input_reader.object(name));
    PLUTO_ASSIGN(auto one, ObjectReader::open(*value, input_reader.place(name)));
    PLUTO_ASSIGN(const double per_sample, not_negative(one, "seconds_per_sample"));
    PLUTO_ASSIGN(const double rate, positive(one, "bytes_per_second"));
    PLUTO_TRY(one.string("source"));
    PLUTO_TRY(one.finish());
    table.inputs[name] = {Seconds(per_sample), BytesPerSecond(rate)};
  }
  if (!table.inputs.contains("other")) {
    return reader.error("inputs", "has no entry \"other\", which stands for every unknown source");
  }
  PLUTO_TRY(reader.finish());
  return table;
}

}  // namespace pluto
