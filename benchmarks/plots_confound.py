"""The scale confound, for plots.py: where each pair of scale and reuse ends, and how it gets there."""

import json
import statistics
from pathlib import Path
from typing import Any

from common.drawing import BLUE, INK, ORANGE, newest, tidy
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

KINDS = {"continuous": "Edge-popup", "binary": "Biprop"}
SCALES = {"none": "none", "keep": "keep", "published": "published"}
REUSES = {
    "none": ("no reuse", INK, "s"),
    "recycle": ("recycling", BLUE, "o"),
    "rerandomize": ("re-randomizing", ORANGE, "^"),
}
Rows = list[dict[str, Any]]


def confound(records: Path) -> Figure | None:
    """Every seed of Conv6, and means: scales down, kinds of reuse by colour and marker."""
    rows = _rows(records)
    if not rows:
        return None
    figure, panels = plt.subplots(1, 2, figsize=(8.2, 2.9), sharey=True, sharex=True)
    for axes, (kind, title) in zip(panels, KINDS.items(), strict=True):
        for place, scale in enumerate(SCALES):
            for shift, (reuse, (_, colour, marker)) in enumerate(REUSES.items(), -1):
                found = [100 * r["last"] for r in rows if r["key"] == f"conv6-{kind}-{scale}-{reuse}"]
                at = place + 0.24 * shift
                axes.plot(found, [at] * len(found), "|", color=colour, markersize=8)
                axes.plot(statistics.mean(found), at, marker, color=colour, markersize=6.5)
        axes.set_title(title)
        axes.grid(axis="x", color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        tidy(axes)
    panels[0].set_yticks(range(len(SCALES)), list(SCALES.values()))
    panels[0].invert_yaxis()
    panels[0].set_ylabel("fan of the weights' scale")
    _named(panels[0], marks=True)
    figure.supxlabel(
        "% of CIFAR-10's test images, Conv6, 90 % removed, 100 epochs; 3 seeds each, and their mean"
    )
    return figure


def epochs(records: Path) -> Figure | None:
    """Accuracy over epochs of one seed: what an event costs, and what comes of it, under two scales."""
    rows = [row for row in _rows(records) if "accuracies" in row and row["options"]["seed"] == 2]
    if not rows:
        return None
    figure, panels = plt.subplots(2, 2, figsize=(7.6, 4.2), sharex=True, sharey=True)
    for down, (kind, title) in enumerate(KINDS.items()):
        for across, scale in enumerate(("keep", "published")):
            axes = panels[down, across]
            for reuse, (_, colour, _) in REUSES.items():
                found = [row for row in rows if row["key"] == f"conv6-{kind}-{scale}-{reuse}"]
                for row in found:
                    accuracy = [100 * share for share in row["accuracies"]]
                    axes.plot(range(1, len(accuracy) + 1), accuracy, color=colour, linewidth=1.1)
            axes.set_title(f"{title}, scale {scale}")
            axes.grid(axis="y", color="#dddddd", linewidth=0.7)
            tidy(axes)
    panels[0, 0].set_ylim(20, 88)
    _named(panels[0, 0], marks=False)
    figure.supxlabel("epoch, Conv6, 90 % removed, seed 2")
    figure.supylabel("% of test images")
    return figure


def _named(axes: Axes, *, marks: bool) -> None:
    for label, colour, marker in REUSES.values():
        style = {"marker": marker, "linestyle": ""} if marks else {"linewidth": 1.5}
        axes.plot([], [], color=colour, label=label, **style)
    axes.legend(loc="lower left" if marks else "lower right", fontsize=8, frameon=False)


def _rows(records: Path) -> Rows:
    text = newest(records, "confound") or ""
    return [row for row in map(json.loads, text.splitlines()) if row["key"].startswith("conv6-")]
