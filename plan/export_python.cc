#include "base/fingerprint.h"
#include "plan/export_trainers.h"

namespace pluto {
namespace {

constexpr const char* kModule = R"PY("""The knobs of a plan for a training script in PyTorch.

    import pluto_plan
    model = pluto_plan.wrap(model, blocks=model.layers)
    optimizer = pluto_plan.optimizer(model)
    schedule = pluto_plan.schedule(optimizer)
    for _ in range(pluto_plan.SETTINGS["steps"]):
        loss = pluto_plan.step(model, optimizer, batches, loss_of)
        schedule.step()

`batches` yields micro-batches of SETTINGS["micro_batch"] samples; loss_of(model, batch) is their mean
loss. All values are in settings.json beside this file.
"""

import contextlib
import json
import math
import os

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "settings.json")) as _file:
    SETTINGS = json.load(_file)


def learning_rate(samples):
    """Rate of the step that begins when so many samples have been seen."""
    rate = SETTINGS["learning_rate"]
    warmup, total = rate["warmup_samples"], SETTINGS["steps"] * SETTINGS["global_batch"]
    ramp = samples / warmup if samples < warmup else 1.0
    if rate["schedule"] == "step":
        passed = sum(1 for boundary in rate["boundaries"] if boundary <= samples)
        return rate["rates"][passed] * ramp
    if samples < warmup:
        return rate["peak"] * ramp
    x = min(1.0, (samples - warmup) / (total - warmup)) if total > warmup else 1.0
    if rate["schedule"] == "cosine":
        return rate["peak"] * (1 + math.cos(math.pi * x)) / 2
    if rate["schedule"] == "linear":
        return rate["peak"] * (1 - x)
    return rate["peak"]


def schedule(optimizer):
    """A scheduler to step once after every step of the optimizer."""
    from torch.optim.lr_scheduler import LambdaLR

    peak = SETTINGS["learning_rate"]["peak"]
    return LambdaLR(optimizer, lambda n: learning_rate(n * SETTINGS["global_batch"]) / peak)


def optimizer(model):
    """The plan's optimizer over the parameters of the (wrapped) model."""
    import torch

    kind = dict(SETTINGS["optimizer"])
    made = getattr(torch.optim, kind.pop("name"))(
        model.parameters(), lr=SETTINGS["learning_rate"]["peak"], **kind
    )
    if SETTINGS["trainer"] == "horovod":
        import horovod.torch as hvd

        fp16 = SETTINGS["wire"] == "f16"
        made = hvd.DistributedOptimizer(
            made,
            named_parameters=model.named_parameters(),
            compression=hvd.Compression.fp16 if fp16 else hvd.Compression.none,
            backward_passes_per_step=SETTINGS["accumulation"],
        )
        hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    return made


def recompute(model, blocks):
    """Runs each of the blocks again in backward where the plan says so."""
    if SETTINGS["recompute"] == "none":
        return
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        apply_activation_checkpointing,
    )

    if not blocks:
        raise ValueError("the plan recomputes: pass the blocks of the model")
    chosen = {id(block) for block in blocks}
    apply_activation_checkpointing(model, check_fn=lambda module: id(module) in chosen)


def precision():
    """Sets how matrix products round; returns the context of forward passes."""
    import torch

    kind = SETTINGS["precision"]
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    torch.backends.cudnn.allow_tf32 = kind == "tf32"
    types = {"fp16": torch.float16, "bf16": torch.bfloat16}
    if kind not in types or SETTINGS["trainer"] == "deepspeed":
        return contextlib.nullcontext()
    return torch.autocast("cuda" if SETTINGS["gpus"] else "cpu", dtype=types[kind])


def wrap(model, blocks=(), **arguments):
    """The model as the plan's trainer runs it. `blocks`: its repeated layers, in order."""
    blocks = list(blocks)
    trainer = SETTINGS["trainer"]
    if trainer == "accelerate" and SETTINGS["shard"] >= 2:
        return model  # accelerator.prepare() does it, recomputing too
    recompute(model, blocks)
    if trainer == "fsdp":
        return _sharded(model, blocks, **arguments)
    if trainer == "torchrun":
        return _replicated(model, **arguments)
    return model


def _replicated(model, **arguments):
    from torch.nn.parallel import DistributedDataParallel

    if SETTINGS["data_ranks"] == 1:
        return model
    wrapped = DistributedDataParallel(
        model,
        bucket_cap_mb=SETTINGS["bucket_elements"] * 4 / 2**20,
        gradient_as_bucket_view=True,
        **arguments,
    )
    if SETTINGS["wire"] != "f32":
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        hooks = {"f16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}
        wrapped.register_comm_hook(None, hooks[SETTINGS["wire"]])
    return wrapped


def _sharded(model, blocks, **arguments):
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    types = {"fp16": torch.float16, "bf16": torch.bfloat16}
    wires = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    policy = MixedPrecisionPolicy(
        param_dtype=types.get(SETTINGS["precision"]), reduce_dtype=wires[SETTINGS["wire"]]
    )
    options = dict(mp_policy=policy, reshard_after_forward=SETTINGS["shard"] == 3, **arguments)
    # Blocks that share a message: as many as fill a bucket.
    group, elements = [], 0
    for block in blocks:
        more = sum(parameter.numel() for parameter in block.parameters())
        if group and elements + more > SETTINGS["bucket_elements"]:
            fully_shard(group, **options)
            group, elements = [], 0
        group.append(block)
        elements += more
    if group:
        fully_shard(group, **options)
    return fully_shard(model, **options)


_scaler = None


def _gradient_scaler():
    """Loss scaling, which 16-bit floats of a small exponent need; none for the others."""
    global _scaler
    if _scaler is None:
        import torch

        on = SETTINGS["precision"] == "fp16" and SETTINGS["gpus"]
        _scaler = torch.cuda.amp.GradScaler(enabled=on)
    return _scaler


def step(model, optimizer, batches, loss_of):
    """One step: the micro-batches, gradients exchanged with the last of them (sharded ones with
    each), and the update.

    Returns the sum of their losses over `accumulation`. Not for deepspeed and accelerate, which have
    steps of their own.
    """
    parts, scaler = SETTINGS["accumulation"], _gradient_scaler()
    optimizer.zero_grad()
    total = 0.0
    for index in range(parts):
        last = index == parts - 1
        hold = contextlib.nullcontext()
        if not last and hasattr(model, "no_sync"):
            hold = model.no_sync()
        with hold:
            with precision():
                loss = loss_of(model, next(batches)) / parts
            scaler.scale(loss).backward()
        total += float(loss.detach())
    scaler.step(optimizer)
    scaler.update()
    return total
)PY";

Value optimizer_value(const Plan& plan) {
  Value value = Value::object();
  if (const auto* sgd = std::get_if<SgdAttrs>(&plan.optimizer)) {
    value.set("name", "SGD").set("momentum", sgd->momentum);
    value.set("weight_decay", sgd->weight_decay).set("nesterov", sgd->nesterov);
    return value;
  }
  const auto& adam = std::get<AdamAttrs>(plan.optimizer);
  Value betas = Value::array();
  betas.push_back(adam.beta1);
  betas.push_back(adam.beta2);
  value.set("name", adam.decoupled ? "AdamW" : "Adam").set("betas", std::move(betas));
  value.set("eps", adam.epsilon).set("weight_decay", adam.weight_decay);
  return value;
}

template <class T>
Value list_of(const std::vector<T>& values) {
  Value list = Value::array();
  for (const T& value : values) list.push_back(value);
  return list;
}

Value rate_value(const LearningRate& rate) {
  Value value = Value::object();
  value.set("peak", rate.peak).set("schedule", to_text(rate.schedule));
  value.set("warmup_samples", rate.warmup_samples);
  value.set("rates", list_of(rate.rates)).set("boundaries", list_of(rate.boundaries));
  return value;
}

}  // namespace

Value settings_value(const Exported& e) {
  const Plan& plan = e.plan();
  Value value = Value::object();
  value.set("about", list_of(about(e, "pluto_plan.py")));
  value.set("plan", to_hex(e.facts.planned)).set("job", plan.job);
  value.set("trainer", to_text(e.target.trainer)).set("gpus", on_gpus(plan));
  value.set("ranks", plan.layout.ranks()).set("data_ranks", plan.layout.data);
  value.set("global_batch", plan.global_batch).set("micro_batch", plan.micro_batch);
  value.set("accumulation", plan.accumulation).set("steps", plan.steps);
  value.set("dataset_samples", plan.dataset_samples).set("readers", plan.data.readers);
  value.set("shard", plan.shard).set("recompute", to_text(plan.recompute));
  value.set("precision", to_text(plan.precision)).set("wire", wire_of(plan));
  value.set("bucket_elements", bucket_elements(e.projection));
  value.set("checkpoint_every", plan.checkpoint_every);
  value.set("optimizer", optimizer_value(plan));
  value.set("learning_rate", rate_value(plan.learning_rate));
  value.set("seed", static_cast<std::int64_t>(plan.seed));
  return value;
}

Files python_module(const Exported& e) {
  const auto lines = about(e, "Python 3.8 and PyTorch 1.13 on; fsdp PyTorch 2.6 on");
  return {{"pluto_plan.py", comments(lines) + kModule, false},
          {"settings.json", to_json(settings_value(e)) + "\n", false}};
}

}  // namespace pluto
