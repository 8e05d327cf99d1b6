"""What may be asked of a registered architecture: its width, its activations, its batch norm.

It needs no torch, so that a ticket can be read with numpy alone.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from recycle_pipeline.models.errors import UsageFault

Activations = Literal["relu", "binary"]
BatchNorm = Literal["fixed", "learned"]
ACTIVATIONS: tuple[Activations, ...] = get_args(Activations)
BATCH_NORMS: tuple[BatchNorm, ...] = get_args(BatchNorm)
# Of the images, this share must have the logits of another runtime where activations are signs: rounding
# may flip the sign of a sum that is close to 0, and with it logits by far more than rounding. No flip in
# 1,500 images of 32 px was seen; an image has about 1e5 sums of pixels.
SIGN_AGREEMENT = 0.99
MAX_WIDTH = 64.0  # a ResNet-18 of 4.6e10 weights: beyond any use, below what overflows a shape


@dataclass(frozen=True)
class ArchOptions:
    """Options of an architecture; the defaults are the published networks.

    Attributes:
        width: factor on channels and hidden units, cut to an integer; above 0.
        activations: relu, or binary: the sign of what comes in (MPT-1/1).
        batch_norm: fixed has no gamma and beta; learned trains them with the scores.

    Raises:
        UsageFault: a value is out of range or not one of its choices.
    """

    width: float = 1.0
    activations: Activations = "relu"
    batch_norm: BatchNorm = "fixed"

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", float(self.width))  # 2 and 2.0 are one option, spelled one way
        if not 0 < self.width <= MAX_WIDTH:
            raise UsageFault(f"--width {self.width:g}: expected more than 0 and at most {MAX_WIDTH:g}")
        for name, value, choices in (
            ("activations", self.activations, ACTIVATIONS),
            ("batch-norm", self.batch_norm, BATCH_NORMS),
        ):
            if value not in choices:
                raise UsageFault(f"--{name} {value!r}: expected one of {', '.join(choices)}")

    @property
    def binary(self) -> bool:
        """Whether activations are signs."""
        return self.activations == "binary"

    @property
    def affine(self) -> bool:
        """Whether batch norms have gamma and beta."""
        return self.batch_norm == "learned"

    def changed(self) -> dict[str, str | float]:
        """The options that differ from their defaults, by name: all that is ever stored."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    def described(self) -> str:
        """The same for people, behind the architecture's name; nothing where nothing differs."""
        return "".join(f", {name.replace('_', ' ')} {value}" for name, value in self.changed().items())

    def scaled(self, channels: int) -> int:
        """`channels` times the width, cut to an integer as published.

        Raises:
            UsageFault: nothing is left.
        """
        count = int(channels * self.width)
        if count == 0:
            raise UsageFault(
                f"--width {self.width:g} leaves nothing of a layer of {channels} channels; "
                f"expected at least {1 / channels:g}"
            )
        return count


DEFAULT_OPTIONS = ArchOptions()
