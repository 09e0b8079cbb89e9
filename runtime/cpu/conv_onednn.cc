// Convolution by oneDNN.
#include <algorithm>
#include <dnnl.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "runtime/cpu/conv.h"
#include "runtime/cpu/epilogue.h"
#include "runtime/cpu/parallel.h"

namespace pluto::cpu {
namespace {

// A short list of oneDNN primitives over operands and workspace: reorder in, compute, reorder out.
// Built once, run often. Nothing is allocated in run() except the argument map oneDNN builds per
// primitive (a few dozen bytes per operand). Creating and running must happen under the same
// ThreadCount.
class OnednnProgram {
 public:
  OnednnProgram();
  const dnnl::engine& engine() const { return engine_; }

  // An operand whose address is given to run(); slots are numbered in the order of these calls.
  int operand(const dnnl::memory::desc& desc);
  // Memory in the workspace.
  int temporary(const dnnl::memory::desc& desc);
  // `slot` in the layout `desc`: itself, or a temporary filled by a reorder appended now.
  int in_layout(int slot, const dnnl::memory::desc& desc);
  // A slot of layout `desc` to compute into, and, by deliver(), its way back to operand `slot`.
  int staging_for(int slot, const dnnl::memory::desc& desc);
  void deliver(int staging, int slot);

  struct Argument {
    int name;  // DNNL_ARG_...
    int slot;
  };
  // The primitive's scratchpad (mode user) becomes part of the workspace; all primitives share
  // one.
  void append(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
              const std::vector<Argument>& arguments);

  Bytes workspace() const { return Bytes(temporaries_ + scratchpad_); }
  // `operands` in the order of operand(). Blocks until done.
  void run(const std::vector<void*>& operands, void* workspace);

  // For primitives whose scratchpad is ours.
  static dnnl::primitive_attr attributes();

 private:
  struct Slot {
    dnnl::memory memory;
    int operand = -1;         // index, or
    std::int64_t offset = 0;  // in the workspace
    void* address = nullptr;
  };
  struct Step {
    dnnl::primitive primitive;
    std::vector<dnnl_exec_arg_t> arguments;
  };
  int add_slot(const dnnl::memory::desc& desc, int operand, std::int64_t offset);

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::vector<Slot> slots_;
  std::vector<Slot> scratchpads_;
  std::vector<Step> steps_;
  int operands_ = 0;
  std::int64_t temporaries_ = 0, scratchpad_ = 0;
};

void rebind(dnnl::memory& memory, void*& bound, void* address) {
  if (bound == address) return;  // setting a handle may write the padding of a blocked layout
  memory.set_data_handle(address);
  bound = address;
}

OnednnProgram::OnednnProgram() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

dnnl::primitive_attr OnednnProgram::attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

int OnednnProgram::add_slot(const dnnl::memory::desc& desc, int operand, std::int64_t offset) {
  slots_.push_back({dnnl::memory(desc, engine_, DNNL_MEMORY_NONE), operand, offset, nullptr});
  return static_cast<int>(slots_.size()) - 1;
}

int OnednnProgram::operand(const dnnl::memory::desc& desc) {
  return add_slot(desc, operands_++, 0);
}

int OnednnProgram::temporary(const dnnl::memory::desc& desc) {
  const int slot = add_slot(desc, -1, temporaries_);
  temporaries_ += aligned(static_cast<std::int64_t>(desc.get_size()));
  return slot;
}

int OnednnProgram::in_layout(int slot, const dnnl::memory::desc& desc) {
  if (slots_[slot].memory.get_desc() == desc) return slot;
  const int target = temporary(desc);
  deliver(slot, target);
  return target;
}

int OnednnProgram::staging_for(int slot, const dnnl::memory::desc& desc) {
  return slots_[slot].memory.get_desc() == desc ? slot : temporary(desc);
}

void OnednnProgram::deliver(int staging, int slot) {
  if (staging == slot) return;
  const dnnl::reorder::primitive_desc desc(engine_, slots_[staging].memory.get_desc(), engine_,
                                           slots_[slot].memory.get_desc(), attributes());
  append(dnnl::reorder(desc), desc.scratchpad_desc(),
         {{DNNL_ARG_FROM, staging}, {DNNL_ARG_TO, slot}});
}

void OnednnProgram::append(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
                           const std::vector<Argument>& arguments) {
  Step step{primitive, {}};
  for (const Argument& argument : arguments) {
    step.arguments.push_back({argument.name, slots_[argument.slot].memory.get()});
  }
  if (scratchpad.get_size() > 0) {
    scratchpads_.push_back({dnnl::memory(scratchpad, engine_, DNNL_MEMORY_NONE), -1, 0, nullptr});
    step.arguments.push_back({DNNL_ARG_SCRATCHPAD, scratchpads_.back().memory.get()});
    scratchpad_ = std::max(scratchpad_, aligned(static_cast<std::int64_t>(scratchpad.get_size())));
  }
  steps_.push_back(std::move(step));
}

void OnednnProgram::run(const std::vector<void*>& operands, void* workspace) {
  char* base = static_cast<char*>(workspace);
  for (Slot& slot : slots_) {
    rebind(slot.memory, slot.address,
           slot.operand >= 0 ? operands[slot.operand] : base + slot.offset);
  }
  for (Slot& slot : scratchpads_) rebind(slot.memory, slot.address, base + temporaries_);
  for (const Step& step : steps_) {
    const dnnl_status_t status =
        dnnl_primitive_execute(step.primitive.get(), stream_.get(),
                               static_cast<int>(step.arguments.size()), step.arguments.data());
    PLUTO_CHECK(status == dnnl_success, "oneDNN refuses to run a primitive it has made");
  }
}

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Dims = dnnl::memory::dims;

struct Geometry {
  Dims x, w, y, b, stride, dilation, pad_before, pad_after;
  Tag weight_tag;
};

Geometry geometry(const ConvSize& size) {
  const ConvAttrs& a = size.attrs;
  Geometry g;
  g.x = {size.batch, size.channels, size.height, size.width};
  g.y = {size.batch, a.out_channels, size.out_height, size.out_width};
  g.w = {a.out_channels, size.channels, a.kernel_h, a.kernel_w};
  g.weight_tag = Tag::oihw;
  if (a.groups > 1) {
    g.w = {a.groups, size.group_outputs(), size.group_channels(), a.kernel_h, a.kernel_w};
    g.weight_tag = Tag::goihw;
  }
  g.b = {a.out_channels};
  g.stride = {a.stride_h, a.stride_w};
  g.dilation = {a.dilation_h - 1, a.dilation_w - 1};  // oneDNN counts the gaps
  g.pad_before = {a.pad_top, a.pad_left};
  g.pad_after = {a.pad_bottom, a.pad_right};
  return g;
}

Desc of(const Dims& dims, Tag tag) { return {dims, dnnl::memory::data_type::f32, tag}; }

class OnednnConv final : public Kernel {
 public:
  OnednnConv(OpPass pass, const Geometry& g, const ConvAttrs& attrs, const Context& context)
      : threads_(context.threads) {
    const ThreadCount scope(threads_);
    const bool bias = attrs.bias;
    const Desc x = of(g.x, Tag::any), y = of(g.y, Tag::any), w = of(g.w, Tag::any);
    const Desc b = bias ? of(g.b, Tag::x) : Desc();
    const auto algorithm = dnnl::algorithm::convolution_direct;
    dnnl::primitive_attr attributes = OnednnProgram::attributes();
    if (pass == OpPass::kForward) add_epilogue(g, attrs, context, attributes);
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, algorithm, x, w, pass == OpPass::kForward ? b : Desc(),
         y, g.stride, g.dilation, g.pad_before, g.pad_after},
        attributes, program_.engine());
    switch (pass) {
      case OpPass::kForward:
        build_forward(forward, g, bias);
        break;
      case OpPass::kBackwardData:
        build_data({{algorithm, x, w, y, g.stride, g.dilation, g.pad_before, g.pad_after},
                    attributes,
                    program_.engine(),
                    forward},
                   g);
        break;
      default:
        build_weight({{algorithm, x, w, b, y, g.stride, g.dilation, g.pad_before, g.pad_after},
                      attributes,
                      program_.engine(),
                      forward},
                     g, bias);
    }
  }

  void run(const KernelArguments& arguments) override {
    const ThreadCount scope(threads_);
    std::size_t n = 0;
    for (const void* in : arguments.inputs) operands_[n++] = const_cast<void*>(in);
    for (void* out : arguments.outputs) operands_[n++] = out;
    if (epilogue_ && epilogue_->operand() == 1) std::swap(operands_[n - 2], operands_[n - 1]);
    program_.run(operands_, arguments.workspace);
    if (epilogue_) epilogue_->planes(arguments, planes_, plane_, planes_);
  }
  Bytes workspace() const override { return program_.workspace(); }
  std::string implementation() const override { return implementation_; }

 private:
  // oneDNN applies relu, which is exact, to what it has in registers; others follow its result.
  void add_epilogue(const Geometry& g, const ConvAttrs& attrs, const Context& context,
                    dnnl::primitive_attr& attributes) {
    if (attrs.activation == Activation::kRelu) {
      dnnl::post_ops operations;
      operations.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
      attributes.set_post_ops(operations);
    } else if (attrs.activation != Activation::kNone) {
      epilogue_.emplace(context, attrs.activation, false);  // oneDNN has added the bias
      planes_ = g.y[0] * g.y[1];
      plane_ = g.y[2] * g.y[3];
    }
  }

  // Operands are declared in the order of docs/operators.md: inputs, then outputs.
  void build_forward(const dnnl::convolution_forward::primitive_desc& desc, const Geometry& g,
                     bool bias) {
    const int x = program_.operand(of(g.x, Tag::nchw)), w = program_.operand(of(g.w, g.weight_tag));
    const int b = bias ? program_.operand(of(g.b, Tag::x)) : -1;
    const int y = program_.operand(of(g.y, Tag::nchw));
    const int to = program_.staging_for(y, desc.dst_desc());
    std::vector<OnednnProgram::Argument> arguments = {
        {DNNL_ARG_SRC, program_.in_layout(x, desc.src_desc())},
        {DNNL_ARG_WEIGHTS, program_.in_layout(w, desc.weights_desc())},
        {DNNL_ARG_DST, to}};
    if (bias) arguments.push_back({DNNL_ARG_BIAS, b});
    program_.append(dnnl::convolution_forward(desc), desc.scratchpad_desc(), arguments);
    program_.deliver(to, y);
    const bool two = epilogue_ && epilogue_->operand() == 1;  // the last is not oneDNN's
    finish(desc.impl_info_str(), (bias ? 4U : 3U) + (two ? 1U : 0U));
  }

  void build_data(const dnnl::convolution_backward_data::primitive_desc& desc, const Geometry& g) {
    const int dy = program_.operand(of(g.y, Tag::nchw)),
              w = program_.operand(of(g.w, g.weight_tag));
    const int dx = program_.operand(of(g.x, Tag::nchw));
    const int to = program_.staging_for(dx, desc.diff_src_desc());
    program_.append(dnnl::convolution_backward_data(desc), desc.scratchpad_desc(),
                    {{DNNL_ARG_DIFF_DST, program_.in_layout(dy, desc.diff_dst_desc())},
                     {DNNL_ARG_WEIGHTS, program_.in_layout(w, desc.weights_desc())},
                     {DNNL_ARG_DIFF_SRC, to}});
    program_.deliver(to, dx);
    finish(desc.impl_info_str(), 3);
  }

  void build_weight(const dnnl::convolution_backward_weights::primitive_desc& desc,
                    const Geometry& g, bool bias) {
    const int dy = program_.operand(of(g.y, Tag::nchw)), x = program_.operand(of(g.x, Tag::nchw));
    const int dw = program_.operand(of(g.w, g.weight_tag));
    const int db = bias ? program_.operand(of(g.b, Tag::x)) : -1;
    const int to = program_.staging_for(dw, desc.diff_weights_desc());
    std::vector<OnednnProgram::Argument> arguments = {
        {DNNL_ARG_DIFF_DST, program_.in_layout(dy, desc.diff_dst_desc())},
        {DNNL_ARG_SRC, program_.in_layout(x, desc.src_desc())},
        {DNNL_ARG_DIFF_WEIGHTS, to}};
    if (bias) arguments.push_back({DNNL_ARG_DIFF_BIAS, db});
    program_.append(dnnl::convolution_backward_weights(desc), desc.scratchpad_desc(), arguments);
    program_.deliver(to, dw);
    finish(desc.impl_info_str(), bias ? 4 : 3);
  }

  void finish(const char* implementation, std::size_t operands) {
    implementation_ = implementation;
    operands_.resize(operands);
  }

  int threads_;
  OnednnProgram program_;
  std::vector<void*> operands_;
  std::optional<Epilogue> epilogue_;
  std::int64_t planes_ = 0, plane_ = 0;
  std::string implementation_;
};

}  // namespace

Result<std::unique_ptr<Kernel>> make_onednn_conv(OpPass pass, const ConvSize& size,
                                                 const Context& context) {
  try {
    auto kernel = std::make_unique<OnednnConv>(pass, geometry(size), size.attrs, context);
    if (kernel->implementation().rfind("jit", 0) == 0)
      return std::unique_ptr<Kernel>(std::move(kernel));
    return unsupported("oneDNN has only " + kernel->implementation() + " for these sizes");
  } catch (const dnnl::error& error) {
    return unsupported(std::string("oneDNN: ") + error.what());
  }
}

}  // namespace pluto::cpu
