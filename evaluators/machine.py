"""What the numbers were measured on: a latency without its machine cannot be compared."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """This machine and the versions that run on it.

    `logical_cores` counts the hardware threads of the machine, `usable_cores` those that this
    process may be scheduled on (its affinity); a container's CPU time quota is not looked at.
    """

    cpu: str
    logical_cores: int
    usable_cores: int
    gpus: tuple[str, ...]
    platform: str
    python: str
    onnxruntime: str


def describe() -> Machine:
    """Describe this machine. Loads ONNX Runtime for its version."""
    import onnxruntime  # here, not above: counting cores must not cost the load of a runtime

    return Machine(
        cpu=cpu_model(),
        logical_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        gpus=gpu_models(),
        platform=platform.platform(),
        python=platform.python_version(),
        onnxruntime=str(onnxruntime.__version__),
    )


def usable_cores() -> int:
    """Cores this process may be scheduled on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name from `cpuinfo`; the architecture where the file does not tell (Arm, macOS)."""
    return value_of("model name", cpuinfo) or platform.processor() or platform.machine() or "unknown"


def gpu_models(folder: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[str, ...]:
    """Names of the NVIDIA GPUs whose driver is loaded, in bus order; empty where there is none."""
    names = (value_of("Model", file) for file in sorted(folder.glob("*/information")))
    return tuple(name for name in names if name)


def value_of(key: str, file: Path) -> str | None:
    """First value of `key` in a file of `key : value` lines; None if the file or the key is missing."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), None)
