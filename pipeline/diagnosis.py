"""What `doctor` looks at: packages, data, GPU, ONNX Runtime providers."""

import os
import platform
from dataclasses import dataclass
from typing import Literal

from recycle_pipeline.exporters.ticket.loops import NUMPY, VARIABLE, loops
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.kernel_library import find_library
from recycle_pipeline.pipeline.environment import PACKAGES, installed_version
from recycle_pipeline.pipeline.version import VERSION


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: its name.
        status: ok; note (works without, but you may want it); missing (runs need it).
        text: what was found.
        advice: what to do; "" if nothing.
    """

    what: str
    status: Literal["ok", "note", "missing"]
    text: str
    advice: str = ""


def diagnose() -> list[Finding]:
    """Looks at everything; takes some seconds, because it tries things rather than trust versions."""
    findings = [Finding("recycle-pipeline", "ok", f"{VERSION}, Python {platform.python_version()}")]
    findings += [_package(name) for name in PACKAGES]
    if installed_version("onnxruntime") and installed_version("onnxruntime-gpu"):
        findings.append(
            Finding(
                "onnxruntime",
                "missing",
                "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
                "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
            )
        )
    return [*findings, *_compiled(), _vision(), _gpu(), *_providers(), _data()]


def _package(name: str) -> Finding:
    version = installed_version(name)
    if version is None and name == "onnxruntime-gpu":
        version = installed_version("onnxruntime")
        if version:
            return Finding(
                name,
                "note",
                f"onnxruntime {version} is there instead: CPU only",
                "for the CUDA provider: pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
            )
    if version is None:
        return Finding(name, "missing", "not installed", f"pip install {name}")
    return Finding(name, "ok", version)


def _compiled() -> list[Finding]:
    """The libraries that are built at installation where there is a compiler."""
    kernels = find_library()
    build = "install a C compiler, then python -m recycle_pipeline.exporters.kernel.build"
    return [
        Finding("kernels", "ok", f"compiled: {kernels}")
        if kernels
        else Finding("kernels", "note", "not compiled: no onnx-kernel and onnx-kernel-fp32", build),
        _loops(build),
    ]


def _loops(build: str) -> Finding:
    try:
        found = loops()
    except UsageFault as error:
        return Finding("ticket loops", "missing", str(error), f"unset {VARIABLE}")
    if found:
        return Finding("ticket loops", "ok", "compiled")
    if os.environ.get(VARIABLE) == NUMPY:
        return Finding("ticket loops", "note", f"numpy's, as {VARIABLE} asks for")
    return Finding("ticket loops", "note", "not compiled: numpy's, which take half as long again", build)


def _vision() -> Finding:
    try:
        import torchvision

        return Finding("torch + torchvision", "ok", f"import together ({torchvision.__version__})")
    except Exception as error:  # a mismatched pair fails in many ways, from ImportError to RuntimeError
        return Finding(
            "torch + torchvision",
            "missing",
            f"torchvision does not import: {error}",
            "install the pair together: pip install --force-reinstall torch torchvision",
        )


def _gpu() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways
        return Finding("GPU", "missing", f"torch does not import: {error}", "pip install torch torchvision")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("GPU", "ok", f"{', '.join(names)}; CUDA {torch.version.cuda}")
    built = torch.version.cuda
    why = (
        f"torch is built for CUDA {built} but sees no device" if built else "this torch is built without CUDA"
    )
    return Finding(
        "GPU",
        "note",
        f"none: {why}; the search runs on the CPU",
        "on an NVIDIA GPU with its driver it is used without being asked",
    )


def _providers() -> list[Finding]:
    try:
        from recycle_pipeline.evaluators.provider_names import provider_of, worth_a_look
        from recycle_pipeline.evaluators.providers import why_not
    except Exception as error:  # likewise
        text = f"onnxruntime does not import: {error}"
        return [Finding("providers", "missing", text, "pip install 'onnxruntime-gpu[cuda,cudnn]'")]
    findings = []
    for name in worth_a_look():
        reason, provider = why_not(name), provider_of(name)
        if reason is None:
            findings.append(Finding(f"provider {name}", "ok", f"{provider.ort_name} computes"))
        else:
            status: Literal["note", "missing"] = "missing" if name == "cpu" else "note"
            findings.append(Finding(f"provider {name}", status, f"cannot run: {reason}", provider.remedy))
    return findings


def _data() -> Finding:
    from recycle_pipeline.pipeline.data.vision import default_data_root

    root = default_data_root()
    there = "exists" if root.is_dir() else "not there yet; --download fills it"
    return Finding("data root", "ok", f"{root} ({there}); digits needs none")
