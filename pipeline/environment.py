"""Versions and hardware, for the manifest and for `doctor`."""

import importlib.metadata
import os
import platform
from typing import Any

from recycle_pipeline.evaluators.machine import cpu_model
from recycle_pipeline.pipeline.version import VERSION

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime-gpu",
    "safetensors",
    "scikit-learn",
    "pillow",
    "click",
    "rich",
    "tomli-w",
    "jinja2",
    "matplotlib",
)


def installed_version(package: str) -> str | None:
    """A distribution's version, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_environment() -> dict[str, Any]:
    """Python, packages, platform, CPU threads and GPU; plain types."""
    import torch

    versions = {name: version for name in PACKAGES if (version := installed_version(name))}
    return {
        "recycle-pipeline": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": versions,
    }
