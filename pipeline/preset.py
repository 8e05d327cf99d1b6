"""What a preset is: a published search, its figures, and what a changed one still shares with them.

A preset is a base of settings: defaults < preset < file < options. Its name stays in config.toml and in the
manifest, beside the names of the settings that were changed after all. Its figure is that of a kind of
subnetwork: where `FOUND` says that another kind is searched, no figure stands beside the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Trust = Literal["high", "low"]
Settings = dict[str, Any]
# What is searched for: data, network, what a kept weight is, and how many of each layer are kept (`prune`,
# by which figures are looked up, is the rest of that). A figure is of no other. All else is how it is
# searched for: such a change is named beside the figure, for that is what one compares.
FOUND = ("data", "arch", "width", "activations", "batch_norm", "subnetwork", "scope", "allocation")


@dataclass(frozen=True)
class Figure:
    """A published accuracy.

    Attributes:
        prune: fraction removed.
        top1: fraction of the CIFAR-10 test images.
        trust: high for what a README or abstract states, low for plot arrays and second-hand figures.
        origin: where it stands.
        spread: the +- given with it, a fraction; None if there is none.
    """

    prune: float
    top1: float
    trust: Trust
    origin: str
    spread: float | None = None


@dataclass(frozen=True)
class Preset:
    """A published search.

    Attributes:
        name: on the command line.
        source: of the settings: system, code and version.
        settings: of `RunConfig`, by name.
        expected: figures, by rising fraction removed; may be empty.
        differs: what is knowingly done otherwise here.
    """

    name: str
    source: str
    settings: Mapping[str, Any]
    expected: tuple[Figure, ...]
    differs: tuple[str, ...]

    def expected_at(self, prune: float) -> Figure | None:
        """The figure for a fraction removed, or None where none was published; high trust first."""
        matching = [figure for figure in self.expected if abs(figure.prune - prune) < 1e-9]
        return min(matching, key=lambda figure: figure.trust == "low") if matching else None

    def account(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """For the manifest: name, source, the figure for these settings' prune rate, and what was changed.

        Args:
            settings: resolved, by name.

        Returns:
            Plain values; no figure where something else is searched for (`FOUND`), or none was published.
        """
        changed = [name for name, value in self.settings.items() if settings.get(name) != value]
        same = not set(FOUND) & set(changed)
        figure = self.expected_at(settings["prune"]) if same else None
        return {
            "name": self.name,
            "source": self.source,
            "expected_top1": figure.top1 if figure else None,
            "expected_trust": figure.trust if figure else None,
            "changed": [name for name in changed if name != "prune"],
            "differs": list(self.differs),
        }
