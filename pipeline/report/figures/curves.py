"""Accuracy and loss of a search by epoch, with the epochs after which weights were reused."""

from typing import TYPE_CHECKING

from recycle_pipeline.pipeline.report.facts import Search
from recycle_pipeline.pipeline.report.figures.figure import Figure, Table
from recycle_pipeline.pipeline.report.figures.plot import FONT, MUTED, A, B, C, drawn, percent_axis, spread
from recycle_pipeline.pipeline.report.words import full, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 210.0
ROOM = 1.28  # of the epochs' width, for names at the ends of the lines


def accuracy_curve(search: Search) -> Figure:
    """Accuracy on training batches and after each epoch."""
    epochs, on = search.epochs, search.measured_on
    first, last = epochs[0], epochs[-1]
    series = {
        on: [epoch.accuracy for epoch in epochs],
        "train": [epoch.train_accuracy for epoch in epochs],
    }

    def draw(axes: "Axes") -> None:
        _lines(axes, search, series)
        percent_axis(axes.yaxis)
        if search.accuracy and search.accuracy.interval:
            low, high = search.accuracy.interval
            axes.vlines(last.epoch, low, high, color=A, linewidth=1)

    best = max(epochs, key=lambda epoch: epoch.accuracy)
    ends = full(search.accuracy, percent) if search.accuracy else percent(last.accuracy)
    return Figure(
        "accuracy",
        "Accuracy by epoch",
        drawn("accuracy", HEIGHT, draw),
        f"Line chart over {len(epochs)} epochs. Accuracy on {on} images goes from {percent(first.accuracy)} "
        f"after epoch {first.epoch} to {percent(last.accuracy)} after epoch {last.epoch}; the highest is "
        f"{percent(best.accuracy)} after epoch {best.epoch}. Accuracy in training goes from "
        f"{percent(first.train_accuracy)} to {percent(last.train_accuracy)}.",
        f"Top-1 on {on} images after each epoch, and in training as it went. A single run. Last epoch, "
        f"{on}: {ends}. {_events(search)}",
        Table(
            ("epoch", f"{on} accuracy", "train accuracy", "loss", "reused", "changed"),
            [
                (
                    str(epoch.epoch),
                    percent(epoch.accuracy),
                    percent(epoch.train_accuracy),
                    f"{epoch.loss:.4f}",
                    f"{epoch.written:,}",
                    f"{epoch.changed:,}",
                )
                for epoch in epochs
            ],
        ),
    )


def loss_curve(search: Search) -> Figure:
    """Loss in training."""
    epochs = search.epochs

    def draw(axes: "Axes") -> None:
        _lines(axes, search, {"loss": [epoch.loss for epoch in epochs]})

    return Figure(
        "loss",
        "Loss by epoch",
        drawn("loss", HEIGHT, draw),
        f"Line chart over {len(epochs)} epochs. The mean loss of an epoch goes from {epochs[0].loss:.3f} to "
        f"{epochs[-1].loss:.3f}; the lowest is {min(epoch.loss for epoch in epochs):.3f}.",
        f"Mean loss over an epoch's batches, in training, label smoothing included. A single run. "
        f"{_events(search)}",
    )


def _events(search: Search) -> str:
    after = [epoch.epoch for epoch in search.epochs if epoch.written]
    if not after:
        return "No weights were reused."
    return f"Triangles mark the {len(after)} epochs after which weights were reused."


def _lines(axes: "Axes", search: Search, series: dict[str, list[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch.epoch for epoch in search.epochs]
    marker = "o" if len(epochs) < 16 else None
    for (_, values), colour, dashes in zip(series.items(), (A, B), ("-", (0, (4, 1.5))), strict=False):
        axes.plot(epochs, values, color=colour, linestyle=dashes, marker=marker, markersize=3)
    low, high = axes.get_ylim()
    wanted = spread([values[-1] for values in series.values()], (high - low) * FONT * 1.4 / HEIGHT)
    for (name, _), colour, place in zip(series.items(), (A, B), wanted, strict=False):
        axes.annotate(
            name,
            (epochs[-1], place),
            (7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )
    after = [epoch.epoch for epoch in search.epochs if epoch.written]
    if after:
        bottom = low - (high - low) * 0.06
        axes.plot(after, [bottom] * len(after), linestyle="none", marker="^", markersize=4, color=C)
    width = max(epochs[-1] - epochs[0], 1)
    axes.set_xlim(epochs[0] - 0.04 * width, epochs[0] + ROOM * width)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xticks([tick for tick in axes.get_xticks() if epochs[0] - 0.5 <= tick <= epochs[-1]])
    axes.set_xlabel("epoch", color=MUTED)
    axes.grid(axis="y")
