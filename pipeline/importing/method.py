"""What a file with scores does not say: how they are used. Apart from what uses them, which takes torch."""

from dataclasses import dataclass
from typing import Literal

from recycle_pipeline.models.subnetwork import Scope

Method = Literal["edge-popup", "biprop"]
METHODS: tuple[Method, ...] = ("edge-popup", "biprop")


@dataclass(frozen=True)
class Search:
    """The search that a file's scores come from.

    Attributes:
        method: edge-popup keeps weights, Biprop their signs times a gain.
        keep: fraction kept, 0 to 1.
        scope: whether the fraction holds per layer or over all; over all is published for Biprop alone.
    """

    method: Method
    keep: float
    scope: Scope = "layer"
