#!/usr/bin/env python3
"""Draws the pictures of docs/results.md from the records: the newest record of each kind, by its name.

    python benchmarks/plots.py
    python benchmarks/plots.py --folder SOMEWHERE --records SOMEWHERE

Nothing is said by colour alone.
"""

import argparse
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only: no display is needed
import plots_confound
from common.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, newest, tidy
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recycle_pipeline.pipeline.published_figures import conv_figures, resnet18_figures

HERE = Path(__file__).resolve().parent
Rows = list[dict[str, Any]]

# The first that is found in a kernel's name says what the kernel does.
KERNELS = (
    (r"fprop", "convolution: forward", BLUE),
    (r"dgrad", "convolution: gradient of its input", BLUE),
    (r"wgrad", "convolution: gradient of its weights", BLUE),
    (r"cudnn|convolve|ImplicitGemm", "convolution: direction not in the name", BLUE),
    (r"gt_index_lt", "scores: update, counts at the thresholds", ORANGE),
    (r"(?i)sort", "scores: sorts of the small layers", ORANGE),
    (r"triton_", "batch norm and element-wise, fused", GREEN),
    (r"", "other kernels", GREY),
)
REST = "gaps between kernels"

CHANGES = {
    "no-reuse": "no reuse",
    "rerandomize": "re-randomize, not recycle",
    "signed-scores": "signed scores",
    "global": "global scope",
    "continuous": "continuous weights",
    "signed-constant": "draws: signed constants",
    "learned-norm": "learned batch norm",
    "smoothing": "label smoothing 0.1",
    "decay-0": "weight decay 0",
    "decay-x4": "weight decay times 4",
    "rate-half": "learning rate times 0.5",
    "rate-x2": "learning rate times 2",
    "rate-x5": "learning rate times 5",
    "rate-x10": "learning rate times 10",
    "batch-128": "batch 128, not 256",
}
NETWORKS = (
    ("resnet18-0.95-30-", "ResNet-18, 95 % removed\n30 epochs, weight decay 5e-4", 84),
    ("conv6-0.9-60-", "Conv6, 90 % removed\n60 epochs, weight decay 5e-4", 40),
    ("conv2-0.9-60-", "Conv2, 90 % removed\n60 epochs, weight decay 5e-4", 40),
)


def by_category(kernels: Rows, step_us: float) -> list[tuple[str, str, float]]:
    """Microseconds of a step by what takes them, as (category, colour, us); last what no kernel explains."""
    totals = {name: 0.0 for _, name, _ in KERNELS}
    for kernel in kernels:
        totals[next(name for part, name, _ in KERNELS if re.search(part, kernel["kernel"]))] += kernel["us"]
    bars = [(name, colour, totals[name]) for _, name, colour in KERNELS if totals[name]]
    return [*bars, (REST, GREY, step_us - sum(totals.values()))]


def step(records: Path) -> Figure | None:
    """Where the time of a step goes."""
    text = newest(records, "search-speed-profile")
    if text is None:
        return None
    row = json.loads(text)["rows"][0]
    step_us = 1e6 * row["batch_size"] / row["images_per_second"]
    bars = by_category(row["kernels"], step_us)
    figure, axes = plt.subplots(figsize=(7.6, 3.3))
    names, colours, lengths = zip(*bars, strict=True)
    drawn = axes.barh(names, lengths, color=colours, height=0.72)
    labels = [f" {us:,.0f} µs, {us / step_us:.0%}" for us in lengths]
    axes.bar_label(drawn, labels, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(lengths))
    axes.set_xlabel("µs per step")
    size = f"ResNet-18, {row['batch_size']} images of 32 px, engine {row['arm']}"
    axes.set_title(f"A step of {step_us:,.0f} µs: {size}", loc="right")
    axes.tick_params(axis="y", length=0)
    tidy(axes)
    return figure


def growth(records: Path) -> Figure | None:
    """Images per second over width, and over batch size."""
    text = newest(records, "search-speed-widths")
    if text is None:
        return None
    widths = [row for row in json.loads(text)["rows"] if row["arm"] == "compiled"]
    by_batch = {row["batch_size"]: row for row in widths if row["width"] == 1.0}
    for record in sorted(records.glob("*search-speed-batches*.json")):  # of a batch, the newest record's
        by_batch |= {row["batch_size"]: row for row in json.loads(record.read_text("utf-8"))["rows"]}
    batches = [by_batch[size] for size in sorted(by_batch)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.1), sharey=True)
    line(left, widths, "width", "width (factor on channels), batch 256")
    line(right, batches, "batch_size", "batch size (images), width 1")
    left.set_ylabel("thousand images per second")
    left.set_ylim(0, 130)
    return figure


def line(axes: Axes, rows: Rows, across: str, label: str) -> None:
    """Speed over a size that doubles from point to point, each point with its value."""
    sizes, speeds = [r[across] for r in rows], [r["images_per_second"] / 1e3 for r in rows]
    axes.plot(sizes, speeds, "o-", color=BLUE, markersize=6)
    shift = 10 if speeds[-1] < speeds[0] else -8  # points, off the line
    for size, speed in zip(sizes, speeds, strict=True):
        axes.annotate(f"{speed:.1f}", (size, speed), (shift, 7), textcoords="offset points", ha="center")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    tidy(axes)


def ablation(records: Path) -> Figure | None:
    """Accuracy of one change at a time, around the settings that were changed."""
    text = newest(records, "ablation")
    if text is None:
        return None
    last = {row["key"]: 100 * row["last"] for row in map(json.loads, text.splitlines())}
    figure, panels = plt.subplots(1, 3, figsize=(8.4, 4.9), sharey=True)
    for axes, (start, title, lowest), colour in zip(panels, NETWORKS, (BLUE, GREEN, PURPLE), strict=True):
        base = last[start + "default"]
        dots(axes, [last.get(start + change) for change in CHANGES], base, lowest, colour)
        axes.set_title(f"{title}\nunchanged: {base:.1f} %", fontsize=9)
    panels[0].set_yticks(range(len(CHANGES)), list(CHANGES.values()))
    panels[0].invert_yaxis()
    panels[1].set_xlabel("% of 5,000 held-out images, last epoch, seed 0; line: nothing changed")
    return figure


def dots(axes: Axes, values: Sequence[float | None], base: float, lowest: float, colour: str) -> None:
    """A dot per value; an arrow at the left edge, with the number, where it is below what is shown.

    The band is where two runs of the same accuracy differ by the choice of 5,000 images alone (95 %, were
    their errors independent).
    """
    share = base / 100
    highest = max(base, *(value for value in values if value is not None))
    highest += 0.1 * (highest - lowest)
    edge = lowest + 0.03 * (highest - lowest)
    beside = {"textcoords": "offset points", "va": "center", "fontsize": 8}
    half = 196 * math.sqrt(2 * share * (1 - share) / 5000)
    axes.axvspan(base - half, base + half, color="#e8e8e8", linewidth=0)
    axes.axvline(base, color=INK, linewidth=1)
    for place, value in enumerate(values):
        axes.axhline(place, color="#eeeeee", linewidth=0.7, zorder=0)
        if value is None:
            axes.annotate("not run", (edge, place), (-3, 0), **beside)
        elif value >= lowest:
            axes.plot(value, place, "o", color=colour, markersize=6.5, zorder=3)
        else:
            axes.plot(edge, place, "<", color=colour, markersize=6.5, zorder=3)
            axes.annotate(f"{value:.1f}", (edge, place), (7, 0), **beside)
    axes.set_xlim(lowest, highest)
    axes.set_ylim(-0.7, len(values) - 0.4)
    axes.tick_params(axis="y", length=0)
    tidy(axes)


ROWS = {  # key in the record of the default recipe: label, network, fraction removed, published otherwise
    "conv2-0.9": ("Conv2, 90 %", "conv2", 0.9, {}),
    "conv4-0.9": ("Conv4, 90 %", "conv4", 0.9, {}),
    "conv6-0.9": ("Conv6, 90 %", "conv6", 0.9, {}),
    "conv8-0.9": ("Conv8, 90 %", "conv8", 0.9, {}),
    "resnet18-0.8-200": ("ResNet-18, 80 %,\n200 epochs", "", 0.8, {"biprop": 94.8}),
    "resnet18-0.95": ("ResNet-18, 95 %", "resnet18", 0.95, {}),
    "resnet18-0.98": ("ResNet-18, 98 %", "resnet18", 0.98, {}),
    "resnet18-0.99": ("ResNet-18, 99 %", "resnet18", 0.99, {}),
    "vgg_small-0.95": ("VGG-Small, 95 %", "", 0.95, {"biprop": 91.48}),
    "vgg_small_bn-0.95": ("VGG-Small, 95 %,\nall batch norms", "", 0.95, {"biprop": 91.48}),
}
SYSTEMS = {  # name of the published figures: label, marker
    "edge-popup": ("edge-popup", "s"),
    "iterand": ("IteRand", "^"),
    "biprop": ("Biprop", "D"),
    "edge-popup + recycle": ("edge-popup + recycling", "P"),
    "biprop + recycle": ("Biprop + recycling", "X"),
}


def beyond(records: Path) -> Figure | None:
    """The default recipe's test accuracies beside what was published."""
    text = newest(records, "beyond")
    if text is None:
        return None
    ours: dict[str, list[float]] = {}
    longer = (newest(records, "beyond-200-epochs") or "").splitlines()  # the default where much is kept
    conv = (newest(records, "conv-reuse-test") or "").splitlines()  # what conv networks recycle since
    since = [row | {"key": row["key"].removesuffix("-next-lowest")} for row in map(json.loads, conv)]
    before = [row for row in map(json.loads, text.splitlines()) if not (since and "conv" in row["key"])]
    for row in [*before, *map(json.loads, longer), *since]:
        key = f"{row['key']}-200" if row["epochs"] == 200 else row["key"]
        ours.setdefault(key, []).append(100 * row["last"])
    keys = [key for key in ROWS if key in ours]
    figure, axes = plt.subplots(figsize=(7.6, 0.42 * len(keys) + 1.2))
    for place, key in enumerate(keys):
        _, network, prune, others = ROWS[key]
        axes.axhline(place, color="#eeeeee", linewidth=0.7, zorder=0)
        for system, (_, marker) in SYSTEMS.items():
            published = others.get(system) or published_at(network, system, prune)
            if published:
                axes.plot(published, place, marker, color=GREY, markersize=5.5, zorder=2)
        axes.plot(ours[key], [place] * len(ours[key]), "|", color=BLUE, markersize=9, zorder=3)
        mean = sum(ours[key]) / len(ours[key])
        axes.plot(mean, place, "o", color=BLUE, markersize=6.5, zorder=4)
        axes.annotate(f"{mean:.1f}", (mean, place), (12, 0), textcoords="offset points", va="center")
    for label, marker in SYSTEMS.values():
        axes.plot([], [], marker, color=GREY, linestyle="", label=f"{label}, published")
    axes.plot([], [], "o", color=BLUE, linestyle="", label="default recipe: mean, and each seed")
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    axes.set_yticks(range(len(keys)), [ROWS[key][0] for key in keys])
    axes.invert_yaxis()
    axes.set_xlim(63, 98)
    axes.set_xlabel(
        "% of CIFAR-10's 10,000 test images, last epoch; published: up to 250 epochs, ours: 100 or as said"
    )
    axes.tick_params(axis="y", length=0)
    tidy(axes)
    return figure


def published_at(network: str, system: str, prune: float) -> float | None:
    """In percent; None where there is no figure."""
    if network == "resnet18":
        return resnet18_figures(system).get(prune, (None, None))[0]
    return conv_figures(system, network).get(prune, (None, None))[0] if network else None


PICTURES: dict[str, Callable[[Path], Figure | None]] = {
    "step.png": step,
    "growth.png": growth,
    "ablation.png": ablation,
    "beyond.png": beyond,
    "confound.png": plots_confound.confound,
    "confound-epochs.png": plots_confound.epochs,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=HERE.parent / "docs" / "images")
    parser.add_argument("--records", type=Path, default=HERE / "records")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9.5, "axes.edgecolor": "#888888"})
    plt.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "figure.constrained_layout.use": True})
    for name, draw in PICTURES.items():
        figure = draw(args.records)
        if figure is None:
            print(f"{name}: there is no record of it")
            continue
        path = args.folder / name
        figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})
        plt.close(figure)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
