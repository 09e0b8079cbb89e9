"""Exports torchvision models to ONNX, imports them, and compares with torchvision's published sizes.

usage: torchvision_export.py <onnx_sizes program> [model ...]

Every export is read as it is and, where the batch is a number, again after the input's batch was changed. A model gives
its published sizes each time, or is refused each time at a node of the kind noted here. Needs the packages python3-torch
and python3-torchvision; without them it exits 77 (skipped).
"""
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    import torchvision
    from torch.onnx import TrainingMode
except ImportError as error:
    print(f"SKIPPED, nothing was checked: {error}; install python3-torch and python3-torchvision")
    sys.exit(77)

warnings.filterwarnings("ignore")

# How a model is exported. EVAL folds batch norms away, so a model that has them needs another one; with TRAINING there are
# auxiliary classifiers, but torch 1.13 cannot export every model that way; PRESERVE leaves the model as it is.
EVAL, TRAINING, PRESERVE = TrainingMode.EVAL, TrainingMode.TRAINING, TrainingMode.PRESERVE
# Name, image size, export, 10^9 multiply-adds per sample in products (published for the architecture; inception_v3: with
# the auxiliary classifier), and for models with operators that are not supported the kind of node that is refused.
MODELS = [
    ("alexnet", 224, EVAL, 0.714, None),
    ("vgg16", 224, EVAL, 15.470, None),
    ("squeezenet1_1", 224, EVAL, 0.349, None),
    ("resnet18", 224, TRAINING, 1.814, None),
    ("resnet50", 224, TRAINING, 4.089, None),
    ("densenet121", 224, TRAINING, 2.834, None),
    ("shufflenet_v2_x1_0", 224, TRAINING, 0.145, None),
    ("inception_v3", 299, TRAINING, 5.719, None),
    ("googlenet", 224, PRESERVE, 1.498, None),
    ("convnext_tiny", 224, EVAL, 4.456, None),
    ("vit_b_16", 224, EVAL, 17.564, None),
    ("mobilenet_v2", 224, PRESERVE, 0.301, "Clip"),  # min(max(0, x), 6)
    ("mobilenet_v3_large", 224, PRESERVE, 0.217, "HardSigmoid"),
    ("efficientnet_b0", 224, PRESERVE, 0.386, "Mul"),  # one factor per channel and sample
    ("regnet_y_400mf", 224, PRESERVE, 0.402, "Mul"),
    ("swin_t", 224, EVAL, 4.491, "Mod"),  # shapes computed by remainders, biases gathered by position
]
BATCHES = [1, 2, None]  # None: symbolic
CHANGED = [7, 32]
OPTIONS = {"inception_v3": {"init_weights": False}, "googlenet": {"init_weights": False, "aux_logits": False}}


def export(model, size, mode, batch, path):
    model.train(mode == TRAINING)
    axes = {"input": {0: "batch"}} if batch is None else None
    # A batch norm in training needs more than one sample where the image has shrunk to a point.
    example = torch.zeros(batch or 2, 3, size, size)
    torch.onnx.export(model, example, path, input_names=["input"], training=mode, dynamic_axes=axes, opset_version=13,
                      do_constant_folding=mode == EVAL)


def message(field, content):
    return bytes([field << 3 | 2]) + varint(len(content)) + content


def varint(number):
    result = b""
    while number >= 0x80:
        result += bytes([number & 0x7F | 0x80])
        number >>= 7
    return result + bytes([number])


def with_batch(content, size, old, new):
    """The file with another batch in the shape of its input, and nowhere else."""
    def shape(batch):
        return b"".join(message(1, b"\x08" + varint(dim)) for dim in (batch, 3, size, size))
    at = content.find(shape(old), content.find(message(1, b"input") + b"\x12"))
    assert at >= 0
    return content[:at] + shape(new) + content[at + len(shape(old)):]


def check(line, parameters, gmac, refused):
    if line.startswith("refused:"):
        return refused is not None and "node '" in line and f"({refused})" in line, line
    found, products, trained = line.split()
    tolerance = 0.0005 + 0.0005 * gmac  # the last published digit, and convnext's factors per channel
    good = int(found) == parameters and abs(int(products) / 1e9 - gmac) < tolerance and trained == "true"
    return good, f"{found} of {parameters} parameters, {int(products) / 1e9:.3f} of {gmac} GMAC, trained {trained}"


def main():
    failures = 0
    for name, size, mode, gmac, refused in MODELS:
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        model = getattr(torchvision.models, name)(weights=None, **OPTIONS.get(name, {}))
        parameters = sum(p.numel() for p in model.parameters())
        published = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
        if parameters != published:
            print(f"FAIL {name}: built with {parameters} parameters, published with {published}")
            failures += 1
        for batch in BATCHES:
            if batch == 1 and mode == TRAINING and name == "inception_v3":
                continue  # its auxiliary classifier normalises over one point per sample
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/{name}.onnx"
                export(model, size, mode, batch, path)
                read = [(batch or "symbolic", path)]
                for other in CHANGED if batch else []:
                    read.append((f"{batch} changed to {other}", f"{folder}/{name}_{other}.onnx"))
                    with open(path, "rb") as old, open(read[-1][1], "wb") as new:
                        new.write(with_batch(old.read(), size, batch, other))
                lines = subprocess.run([sys.argv[1]] + [file for _, file in read], capture_output=True, text=True,
                                       check=True).stdout.splitlines()
            for (what, _), line in zip(read, lines, strict=True):
                good, text = check(line, parameters, gmac, refused)
                print(f"{'ok  ' if good else 'FAIL'} {name} batch {what}: {text}", flush=True)
                failures += not good
    return 1 if failures else 0


sys.exit(main())
