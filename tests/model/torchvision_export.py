"""Exports torchvision models to ONNX, imports them, and compares with PyTorch's own parameter count.

usage: torchvision_export.py <onnx_sizes program>

A model is imported right, at every exported batch size, or refused with the name of a node. Needs the packages
python3-torch and python3-torchvision; without them it exits 77 (skipped).
"""
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {error}; install python3-torch and python3-torchvision")
    sys.exit(77)

warnings.filterwarnings("ignore")

# Name, image size, GMAC per sample (published for the architecture; products only), must be imported.
MODELS = [
    ("resnet50", 224, 4.089, True),
    ("densenet121", 224, 2.834, True),
    ("vgg16", 224, 15.470, True),
    ("inception_v3", 299, 5.719, True),
    ("vit_b_16", 224, 17.564, True),
    ("mobilenet_v3_large", 224, 0.217, False),
    ("efficientnet_b0", 224, 0.386, False),
    ("convnext_tiny", 224, 4.456, False),
    ("swin_t", 224, None, False),
]
# Inception's auxiliary classifier exists in training only; its convolutions count in both columns.
IN_TRAINING = {"resnet50", "densenet121", "inception_v3"}
BATCHES = [2, 3, 8, None]  # None: symbolic


def export(model, name, size, batch, path):
    training = torch.onnx.TrainingMode.TRAINING if name in IN_TRAINING else torch.onnx.TrainingMode.EVAL
    model.train(name in IN_TRAINING)
    axes = {"input": {0: "batch"}} if batch is None else None
    torch.onnx.export(model, torch.zeros(batch or 2, 3, size, size), path, input_names=["input"], training=training,
                      dynamic_axes=axes, opset_version=13, do_constant_folding=name not in IN_TRAINING)


def main():
    failures = 0
    for name, size, gmac, wanted in MODELS:
        options = {"init_weights": False} if name == "inception_v3" else {}
        model = getattr(torchvision.models, name)(weights=None, **options)
        parameters = sum(p.numel() for p in model.parameters())
        for batch in BATCHES:
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/{name}.onnx"
                try:
                    export(model, name, size, batch, path)
                except Exception as error:  # the exporter's own failure is not the importer's
                    print(f"{name} batch {batch}: not exported: {str(error).splitlines()[0]}")
                    continue
                line = subprocess.run([sys.argv[1], path], capture_output=True, text=True, check=True).stdout.strip()
            if line.startswith("refused:"):
                good = not wanted and "node '" in line
            else:
                found, products, loss = line.split()
                good = int(found) == parameters and loss == "true"
                good = good and (gmac is None or abs(int(products) / 1e9 - gmac) < 0.005)
                line = f"{found} of {parameters} parameters, {int(products) / 1e9:.3f} of {gmac} GMAC, loss {loss}"
            print(f"{'ok  ' if good else 'FAIL'} {name} batch {batch or 'symbolic'}: {line}", flush=True)
            failures += not good
    return 1 if failures else 0


sys.exit(main())
