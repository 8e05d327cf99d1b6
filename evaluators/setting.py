"""How models are run while they are timed. Loads nothing, so that who only starts processes stays light."""

from dataclasses import dataclass
from typing import Literal

Transfers = Literal["included", "excluded"]

TRANSFERS: dict[Transfers, str] = {
    "included": "from images in host memory to logits in host memory",
    "excluded": "images and logits stay in the device's memory, and each call waits for the device",
}


@dataclass(frozen=True)
class Setting:
    """Under a provider, with `threads` within an operator, `batch` images a call, copies timed or not."""

    provider: str = "cpu"
    threads: int = 1
    batch: int = 1
    transfers: Transfers = "included"

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"batch {self.batch}, {threads}, provider {self.provider}, transfers {self.transfers}"
