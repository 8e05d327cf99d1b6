"""Which versions of onnxruntime read a model: by opset, IR version and the operators of a form.

Every form was run under 17 versions from 1.15.1 to 1.32.0
(benchmarks/records/2026-11-30-onnx-forms-runtimes-2-cores.json); tests/exporters/onnx/test_runtimes.py runs
them under the oldest that each names.
"""

import re
from dataclasses import dataclass

from recycle_pipeline.models.errors import UsageFault

OPTION = "--ort-target"
VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


@dataclass(frozen=True)
class Versions:
    """What a model is written in.

    Attributes:
        opset: of ONNX's own operators.
        ir_version: of the file.
        runtime: the oldest onnxruntime that reads both.
    """

    opset: int
    ir_version: int
    runtime: str


# What torch's exporter writes before it converts. In a newer opset models have the same operators, and no
# form but one is faster for it (benchmarks/records/2026-11-30-onnx-forms-runtimes-2-cores.json).
USUAL = Versions(18, 8, "1.15")
# In float16. Of an older opset onnxruntime takes ReLU apart on the CPU, and no longer fuses it.
NEWEST = {"onnx-fp16": Versions(20, 10, "1.18")}

# Forms that need more: arithmetic on uint64, 2-bit integers, and custom operators that can say what is wrong.
NEWER = {"onnx-seed": "1.21", "onnx-int2": "1.24", "onnx-kernel": "1.16", "onnx-kernel-fp32": "1.16"}


def versions_for(target: str | None, form: str = "onnx") -> Versions:
    """What a form is written in so that a version of onnxruntime reads it.

    Args:
        target: "X.Y"; None for the usual.
        form: its name.

    Raises:
        UsageFault: older than any form reaches back.
    """
    if target is not None and parsed(target) < parsed(USUAL.runtime):
        raise UsageFault(f"{OPTION} {target}: expected {USUAL.runtime} or later, which run some forms")
    newest = NEWEST.get(form, USUAL)
    return newest if target is None or parsed(target) >= parsed(newest.runtime) else USUAL


def oldest_for(form: str, versions: Versions = USUAL) -> str:
    """The oldest onnxruntime that runs a form written in these versions."""
    return max(versions.runtime, NEWER.get(form, versions.runtime), key=parsed)


def require_runs_on(form: str, target: str | None) -> None:
    """Refuses a form that needs a newer onnxruntime than the target.

    Raises:
        UsageFault: it does, or the target is none.
    """
    needed = oldest_for(form, versions_for(target, form))
    if target is not None and parsed(needed) > parsed(target):
        raise UsageFault(
            f"{form} needs onnxruntime {needed} and {OPTION} is {target}: expected another form, a newer "
            f"{OPTION}, or --export all, which leaves out what does not run there"
        )


def parsed(version: str) -> tuple[int, int]:
    """(major, minor) of "X.Y".

    Raises:
        UsageFault: it is not of that kind.
    """
    found = VERSION.fullmatch(version)
    if not found:
        raise UsageFault(f"{OPTION} {version!r}: expected a version X.Y of onnxruntime, such as 1.18")
    return int(found[1]), int(found[2])
