"""What a gate is asked: how to measure, and what passes."""

from dataclasses import dataclass, field

from recycle_pipeline.evaluators.blocks import Isolation
from recycle_pipeline.evaluators.setting import Setting
from recycle_pipeline.models.errors import UsageFault


@dataclass(frozen=True)
class Increases:
    """The largest increase that passes, a fraction of the baseline's; None leaves a gate out.

    Latency is always judged: it is what the time is spent on.

    Raises:
        UsageFault: an increase of -1 or less, or no finite number.
    """

    slowdown: float = 0.05
    load: float | None = None
    size: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not -1 < value < float("inf"):
                raise UsageFault(f"the limit of {name}, {value:g}, is no increase; expected such as 0.05.")


@dataclass(frozen=True)
class Plan:
    """How a gate measures.

    Attributes:
        setting: how the models are run.
        isolation: see `Blocks`.
        core: the one core to use, None for any.
        alpha: chance of a wrong verdict about one quantity.
        seconds: time budget of the timing.
        seed: of all orders.
    """

    setting: Setting = field(default_factory=Setting)
    isolation: Isolation = "block"
    core: int | None = None
    alpha: float = 0.01
    seconds: float = 60.0
    seed: int = 0
