"""The forms that `--export` knows: their files, what they promise, and what they need."""

from dataclasses import dataclass

DENSE = "onnx"  # always written: the others are compared with it
ALL = "all"


@dataclass(frozen=True)
class Form:
    """A form of the exported model.

    Attributes:
        name: for `--export`.
        file: its name in the run folder's `onnx/`.
        about: what it is, for people.
        exact: it promises the very logits of `onnx`.
        accuracy_drop: top-1 that it may lose against `onnx`, a fraction of the images; None where logits
            are judged.
        largest: magnitude that its numbers can hold, where logits are narrower than float32.
        needs: anything else, or "".
        cpu_only: no other provider runs it: it is compared with `onnx` on the CPU.
    """

    name: str
    file: str
    about: str
    exact: bool = False
    accuracy_drop: float | None = None
    largest: float | None = None
    needs: str = ""
    cpu_only: bool = False


FORMS = {
    form.name: form
    for form in (
        Form(DENSE, "model.onnx", "float32, every weight as it is"),
        Form("onnx-compact", "model-compact.onnx", "packed weights, unpacked at load", exact=True),
        Form(
            "onnx-seed",
            "model-seed.onnx",
            "packed masks, signs drawn at load",
            exact=True,
            needs="no OpenVINO, which gives wrong logits of it without a word",
        ),
        Form("onnx-int8", "model-int8.onnx", "8-bit weights and activations", accuracy_drop=0.005),
        Form(
            "onnx-kernel",
            "model-kernel.onnx",
            "the integers of onnx-int8, by compiled kernels",
            accuracy_drop=0.005,
            needs="the library of recycle_pipeline.exporters.kernel",
            cpu_only=True,
        ),
        Form(
            "onnx-kernel-fp32",
            "model-kernel-fp32.onnx",
            "the numbers of onnx, by compiled kernels",
            needs="the library of recycle_pipeline.exporters.kernel",
            cpu_only=True,
        ),
        Form("onnx-compact-int8", "model-compact-int8.onnx", "both", accuracy_drop=0.005),
        Form(
            "onnx-fp16",
            "model-fp16.onnx",
            "16-bit weights and activations",
            accuracy_drop=0.002,
            largest=65504.0,
            needs="a GPU to be faster",
        ),
        Form("onnx-sparse", "model-sparse.onnx", "weights as sparse tensors", exact=True),
        Form(
            "onnx-int2",
            "model-int2.onnx",
            "2-bit weights, dequantized in every call",
            needs="session.disable_quant_qdq = 1 and onnxruntime 1.25 for the logits of onnx to the bit",
        ),
    )
}


def wanted_forms(names: tuple[str, ...]) -> tuple[str, ...]:
    """The forms to write: `onnx` and those named, in the order of `FORMS`.

    Args:
        names: known ones; `all` stands for every form.
    """
    return tuple(name for name in FORMS if ALL in names or name in (DENSE, *names))
