"""The forms that `--export` knows: their files, what they promise, and what they need."""

from dataclasses import dataclass

from recycle_pipeline.exporters.onnx.needs import NEEDS

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
        cpu_only: no other provider runs it: it is compared with `onnx` on the CPU.
        exact_told: what a session is told for the very logits of `onnx`: a key of ONNX Runtime's
            configuration and its value; None where there is no such thing.
        exact_from: the oldest onnxruntime, "X.Y", that then gives them.
    """

    name: str
    file: str
    about: str
    exact: bool = False
    accuracy_drop: float | None = None
    largest: float | None = None
    cpu_only: bool = False
    exact_told: tuple[str, str] | None = None
    exact_from: str = ""

    @property
    def needs(self) -> str:
        """Anything besides a version of onnxruntime, or ""."""
        return NEEDS.get(self.name, "")


FORMS = {
    form.name: form
    for form in (
        Form(DENSE, "model.onnx", "float32, every weight as it is"),
        Form("onnx-compact", "model-compact.onnx", "packed weights, unpacked at load", exact=True),
        Form("onnx-seed", "model-seed.onnx", "packed masks, signs drawn at load", exact=True),
        Form("onnx-int8", "model-int8.onnx", "8-bit weights and activations", accuracy_drop=0.005),
        Form(
            "onnx-kernel",
            "model-kernel.onnx",
            "the integers of onnx-int8, by compiled kernels",
            accuracy_drop=0.005,
            cpu_only=True,
        ),
        Form(
            "onnx-kernel-fp32",
            "model-kernel-fp32.onnx",
            "the numbers of onnx, by compiled kernels",
            cpu_only=True,
        ),
        Form("onnx-compact-int8", "model-compact-int8.onnx", "both", accuracy_drop=0.005),
        Form(
            "onnx-fp16",
            "model-fp16.onnx",
            "16-bit weights and activations",
            accuracy_drop=0.002,
            largest=65504.0,
        ),
        Form("onnx-sparse", "model-sparse.onnx", "weights as sparse tensors", exact=True),
        Form(
            "onnx-int2",
            "model-int2.onnx",
            "2-bit weights, dequantized in every call",
            exact_told=("session.disable_quant_qdq", "1"),
            exact_from="1.25",
        ),
    )
}


def wanted_forms(names: tuple[str, ...]) -> tuple[str, ...]:
    """The forms to write: `onnx` and those named, in the order of `FORMS`.

    Args:
        names: known ones; `all` stands for every form.
    """
    return tuple(name for name in FORMS if ALL in names or name in (DENSE, *names))
