#include "plan/strategy_document.h"

#include <fmt/format.h>

#include "plan/document_parts.h"

namespace pluto {
namespace {

template <class T>
void set_unless(Value& value, const char* key, const T& field, const T& usual) {
  if (field != usual) value.set(key, field);
}

Value names_value(const std::vector<std::string>& names) {
  Value list = Value::array();
  for (const std::string& name : names) list.push_back(name);
  return list;
}

Result<void> read_names(ObjectReader& reader, const char* key, std::vector<std::string>& names) {
  PLUTO_ASSIGN(const Value::Array* list, reader.array(key));
  for (const Value& name : *list) {
    if (!name.is_string()) return reader.error(key, "expected a list of names");
    names.push_back(name.as_string());
  }
  return {};
}

bool has(ObjectReader& reader, const char* key) { return reader.optional(key) != nullptr; }

Result<void> read_int_if(ObjectReader& reader, const char* key, int& field) {
  if (!has(reader, key)) return {};
  PLUTO_ASSIGN(field, read_int(reader, key));
  return {};
}

Result<void> read_flag_if(ObjectReader& reader, const char* key, bool& field) {
  if (!has(reader, key)) return {};
  PLUTO_ASSIGN(field, reader.boolean(key));
  return {};
}

template <class Word>
Result<void> read_word_if(ObjectReader& reader, const char* key,
                          Result<Word> (*parse)(std::string_view), Word& field) {
  if (!has(reader, key)) return {};
  PLUTO_ASSIGN(const std::string text, reader.string(key));
  PLUTO_ASSIGN_AT(reader.place(key), field, parse(text));
  return {};
}

/// Opens the member `key`, if it is there, lets `read` take what it knows and refuses the rest.
template <class Read>
Result<void> read_object_if(ObjectReader& outer, const char* key, Read read) {
  if (!has(outer, key)) return {};
  PLUTO_ASSIGN(const Value* value, outer.object(key));
  PLUTO_ASSIGN(ObjectReader reader, ObjectReader::open(*value, outer.place(key)));
  PLUTO_TRY(read(reader));
  return reader.finish();
}

Value pipeline_value(const PipelinePlan& pipeline) {
  Value value = Value::object();
  if (!pipeline.cuts.empty()) value.set("cuts", names_value(pipeline.cuts));
  set_unless(value, "interleave", pipeline.interleave, 1);
  return value;
}

Value local_value(const LocalSteps& local) {
  Value value = Value::object();
  value.set("steps", local.steps);
  set_unless(value, "block_momentum", local.block_momentum, 0.0);
  set_unless(value, "synchronous_samples", local.synchronous_samples, std::int64_t{0});
  return value;
}

Value bucket_value(const BucketPlan& bucket) {
  Value value = Value::object();
  value.set("method", to_text(bucket.method)).set("parameters", names_value(bucket.parameters));
  const BucketPlan usual;
  if (bucket.algorithm != usual.algorithm) value.set("algorithm", to_text(bucket.algorithm));
  if (bucket.wire != usual.wire) value.set("wire", to_text(bucket.wire));
  set_unless(value, "chunks", bucket.chunks, usual.chunks);
  return value;
}

Result<BucketPlan> read_bucket(ObjectReader& reader) {
  BucketPlan bucket;
  PLUTO_ASSIGN(const std::string method, reader.string("method"));
  PLUTO_ASSIGN_AT(reader.place("method"), bucket.method, parse_sync_method(method));
  PLUTO_TRY(read_names(reader, "parameters", bucket.parameters));
  PLUTO_TRY(read_word_if(reader, "algorithm", parse_collective_algorithm, bucket.algorithm));
  PLUTO_TRY(read_word_if(reader, "wire", parse_dtype, bucket.wire));
  PLUTO_TRY(read_int_if(reader, "chunks", bucket.chunks));
  PLUTO_TRY(reader.finish());
  return bucket;
}

}  // namespace

void set_strategies(Value& document, const Plan& plan) {
  const Plan usual;
  Value layout = Value::object();
  layout.set("data", plan.layout.data)
      .set("tensor", plan.layout.tensor)
      .set("pipeline", plan.layout.pipeline);
  set_unless(layout, "context", plan.layout.context, 1);
  document.set("layout", std::move(layout));
  if (plan.pipeline != usual.pipeline) document.set("pipeline", pipeline_value(plan.pipeline));
  set_unless(document, "sequence_parallel", plan.sequence_parallel, false);
  set_unless(document, "expert", plan.expert, 1);
  if (!plan.sharded.empty()) document.set("sharded", names_value(plan.sharded));
  set_unless(document, "shard", plan.shard, 0);
  if (plan.recompute != usual.recompute) document.set("recompute", to_text(plan.recompute));
  if (plan.precision != usual.precision) document.set("precision", to_text(plan.precision));
  if (plan.attention != usual.attention) document.set("attention", to_text(plan.attention));
  if (plan.local != usual.local) document.set("local", local_value(plan.local));
}

void set_synchronization(Value& document, const Plan& plan) {
  Value buckets = Value::array(), servers = Value::array();
  for (const BucketPlan& bucket : plan.buckets) buckets.push_back(bucket_value(bucket));
  for (const int rank : plan.servers) servers.push_back(rank);
  document.set("buckets", std::move(buckets)).set("servers", std::move(servers));
  set_unless(document, "server_nodes", plan.server_nodes, 0);
  set_unless(document, "priority", plan.priority, false);
}

Result<void> read_strategies(ObjectReader& root, Plan& plan) {
  PLUTO_TRY(root.object("layout"));
  PLUTO_TRY(read_object_if(root, "layout", [&](ObjectReader& reader) -> Result<void> {
    PLUTO_ASSIGN(plan.layout.data, read_int(reader, "data"));
    PLUTO_ASSIGN(plan.layout.tensor, read_int(reader, "tensor"));
    PLUTO_ASSIGN(plan.layout.pipeline, read_int(reader, "pipeline"));
    return read_int_if(reader, "context", plan.layout.context);
  }));
  PLUTO_TRY(read_object_if(root, "pipeline", [&](ObjectReader& reader) -> Result<void> {
    if (has(reader, "cuts")) PLUTO_TRY(read_names(reader, "cuts", plan.pipeline.cuts));
    return read_int_if(reader, "interleave", plan.pipeline.interleave);
  }));
  PLUTO_TRY(read_flag_if(root, "sequence_parallel", plan.sequence_parallel));
  PLUTO_TRY(read_int_if(root, "expert", plan.expert));
  if (has(root, "sharded")) PLUTO_TRY(read_names(root, "sharded", plan.sharded));
  PLUTO_TRY(read_int_if(root, "shard", plan.shard));
  PLUTO_TRY(read_word_if(root, "recompute", parse_recompute, plan.recompute));
  PLUTO_TRY(read_word_if(root, "precision", parse_train_precision, plan.precision));
  PLUTO_TRY(read_word_if(root, "attention", parse_attention_kernel, plan.attention));
  return read_object_if(root, "local", [&](ObjectReader& reader) -> Result<void> {
    PLUTO_ASSIGN(plan.local.steps, read_int(reader, "steps"));
    PLUTO_ASSIGN(const auto momentum, reader.optional_number("block_momentum"));
    PLUTO_ASSIGN(const auto samples, reader.optional_integer("synchronous_samples"));
    plan.local.block_momentum = momentum.value_or(0);
    plan.local.synchronous_samples = samples.value_or(0);
    return {};
  });
}

Result<void> read_synchronization(ObjectReader& root, Plan& plan) {
  PLUTO_ASSIGN(const Value::Array* buckets, root.array("buckets"));
  for (std::size_t i = 0; i < buckets->size(); ++i) {
    PLUTO_ASSIGN(
        ObjectReader reader,
        ObjectReader::open((*buckets)[i], fmt::format("{}[{}]", root.place("buckets"), i)));
    PLUTO_ASSIGN(BucketPlan bucket, read_bucket(reader));
    plan.buckets.push_back(std::move(bucket));
  }
  PLUTO_ASSIGN(const Value::Array* servers, root.array("servers"));
  for (const Value& rank : *servers) {
    // validate() refuses what is no rank; here the number only has to fit.
    if (!rank.is_integer() || rank.as_integer() != static_cast<int>(rank.as_integer())) {
      return root.error("servers", "expected a list of ranks");
    }
    plan.servers.push_back(static_cast<int>(rank.as_integer()));
  }
  PLUTO_TRY(read_int_if(root, "server_nodes", plan.server_nodes));
  return read_flag_if(root, "priority", plan.priority);
}

}  // namespace pluto
