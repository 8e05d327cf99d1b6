"""What besides the machine decides a latency: instruction sets, clocks, limits of a container, other load."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from recycle_pipeline.evaluators.machine import value_of

# Instruction sets that ONNX Runtime's kernels are chosen by, and what says that the machine is virtual.
FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "hypervisor"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
GPU_QUERY = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,persistence_mode"


@dataclass(frozen=True)
class Conditions:
    """The conditions of a measurement; None or empty where the system does not tell.

    Attributes:
        cpu_flags: of `FLAGS`, those that the processor has.
        governor: of the first core's frequency.
        boost: whether clocks may rise above the nominal one.
        cpu_quota: cores' worth of time that the container may use.
        memory_limit: bytes that it may use.
        load_average: processes that wanted a core, over the last minute.
        gpus: a line each, of `GPU_QUERY`.
        variables: of the environment, those that change how many threads run.
    """

    cpu_flags: tuple[str, ...]
    governor: str | None
    boost: bool | None
    cpu_quota: float | None
    memory_limit: int | None
    load_average: float | None
    gpus: tuple[str, ...]
    variables: dict[str, str]


def conditions(root: Path = Path("/")) -> Conditions:
    """The conditions now; `root` is where `proc` and `sys` are."""
    flags = (
        value_of("flags", root / "proc/cpuinfo") or value_of("Features", root / "proc/cpuinfo") or ""
    ).split()
    cpufreq = root / "sys/devices/system/cpu"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return Conditions(
        cpu_flags=tuple(flag for flag in FLAGS if flag in flags),
        governor=_text(cpufreq / "cpu0/cpufreq/scaling_governor"),
        boost=_boost(cpufreq),
        cpu_quota=_quota(root / "sys/fs/cgroup"),
        memory_limit=_number(_text(root / "sys/fs/cgroup/memory.max")),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        gpus=_gpus(),
        variables={name: os.environ[name] for name in names if name in os.environ},
    )


def _boost(cpufreq: Path) -> bool | None:
    if (off := _text(cpufreq / "intel_pstate/no_turbo")) is not None:
        return off == "0"
    on = _text(cpufreq / "cpufreq/boost")
    return None if on is None else on == "1"


def _quota(cgroup: Path) -> float | None:
    """Of version 2 of control groups: `cpu.max` is a time and the period that it is for, in us."""
    words = (_text(cgroup / "cpu.max") or "max").split()
    return None if words[0] == "max" or len(words) < 2 else int(words[0]) / int(words[1])


def _gpus() -> tuple[str, ...]:
    if not shutil.which("nvidia-smi"):
        return ()
    command = ["nvidia-smi", f"--query-gpu={GPU_QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(done.stdout.splitlines()) if done.returncode == 0 else ()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return None
