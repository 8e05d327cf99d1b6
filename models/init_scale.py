"""How large a drawn weight is: Kaiming's rule (He et al. 2015) on a fan that knows the density.

Removing weights shrinks a layer's output, so the fan that counts is the kept one. Three rules exist:
    keep       fan_in * density: the intended correction of Ramanujan et al. 2020, and the default here
    none       fan_in
    published  fan_in * prune rate: what the published code of edge-popup and Biprop computes, because
               its flag means the fraction kept and its scale treats it as the fraction removed; equal
               to `keep` only at 0.5. Choose it to reproduce published numbers.
"""

import math
from typing import Literal, get_args

import numpy as np

from recycle_pipeline.models.draws import Init

ScaleFan = Literal["keep", "none", "published"]
SCALE_FANS: tuple[ScaleFan, ...] = get_args(ScaleFan)
ScoreRule = Literal["magnitude", "signed"]
SCORE_RULES: tuple[ScoreRule, ...] = get_args(ScoreRule)


def init_scale(shape: tuple[int, ...], init: Init, rule: ScaleFan, prune: float) -> np.float32:
    """Standard deviation, bound or magnitude of a layer's draw, for ReLU.

    Args:
        shape: the weight's shape; fan_in is the product of all but the first entry.
        init: kaiming_normal and signed_constant have standard deviation sqrt(2 / fan), kaiming_uniform
            the bound sqrt(6 / fan).
        rule: which fan, see the module.
        prune: fraction removed, 0 < prune < 1.
    """
    share = {"keep": 1.0 - prune, "none": 1.0, "published": prune}[rule]
    fan = math.prod(shape[1:]) * share
    return np.float32(math.sqrt((6.0 if init == "kaiming_uniform" else 2.0) / fan))


def score_bound(shape: tuple[int, ...], rule: ScoreRule = "magnitude") -> np.float32:
    """Bound of a layer's uniform score init.

    Args:
        shape: the weight's shape; fan_in is the product of all but the first entry.
        rule: magnitude has 1 / sqrt(fan_in), Kaiming uniform with a = sqrt(5), as edge-popup and Biprop;
            signed has sqrt(6 / fan_in), Kaiming uniform with the gain of ReLU, as IteRand.
    """
    return np.float32(math.sqrt((1.0 if rule == "magnitude" else 6.0) / math.prod(shape[1:])))
