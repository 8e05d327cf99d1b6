"""How a network's weights and scores are drawn, and its masks formed."""

from dataclasses import dataclass

from recycle_pipeline.models.allocation import Allocation
from recycle_pipeline.models.draws import Init
from recycle_pipeline.models.init_scale import ScaleFan, ScoreRule
from recycle_pipeline.models.masked import SubnetworkKind
from recycle_pipeline.models.options import BatchNorm
from recycle_pipeline.models.subnetwork import Scope
from recycle_pipeline.models.topk import Rounding, kept_count


@dataclass(frozen=True)
class Recipe:
    """How weights and scores are drawn and masks are formed.

    Attributes:
        seed: of every draw.
        kind: binary (Biprop) or continuous (edge-popup).
        prune: fraction removed.
        init: distribution of the weights.
        scale_fan: which fan their scale uses.
        scope: rank per layer or over all layers.
        scores: rank by the scores' magnitudes (edge-popup, Biprop) or by the scores (IteRand).
        rounding: of the kept counts, see `topk.kept_count`.
        layer_minimum: global scope, the guard against layer collapse: the share of what a layer would
            keep alone that it keeps at the least, see `topk.layer_minimums`; 0 as published.
        batch_norm: learned: gamma and beta of affine batch norms are trained with the scores; fixed: frozen.
        allocation: layer scope, how what is kept is shared among the layers, see `allocation`.
    """

    seed: int
    kind: SubnetworkKind
    prune: float
    init: Init
    scale_fan: ScaleFan
    scope: Scope
    scores: ScoreRule = "magnitude"
    rounding: Rounding = "edge-popup"
    layer_minimum: float = 0.0
    batch_norm: BatchNorm = "fixed"
    allocation: Allocation = "uniform"

    def kept(self, size: int, prune: float | None = None) -> int:
        """How many of `size` weights stay at a prune rate, the recipe's if None."""
        return kept_count(size, self.prune if prune is None else prune, self.rounding)
