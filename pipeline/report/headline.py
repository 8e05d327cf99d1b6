"""The few numbers that come first, each with what it rests on."""

from collections.abc import Iterator
from dataclasses import dataclass

from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.report.sizes import DENSE_WEIGHTS, TICKET
from recycle_pipeline.pipeline.report.words import basis, factor, percent, speed_by
from recycle_pipeline.pipeline.wording import size


@dataclass(frozen=True)
class Key:
    """A number in large type: what it is, the number, a remark, and its n and interval."""

    label: str
    value: str
    remark: str
    basis: str


def headline(facts: RunFacts) -> list[Key]:
    """Accuracy, latency, size, kept weights: those that are known."""
    return [key for part in (_accuracy, _latency, _size, _kept) for key in part(facts)]


def _accuracy(facts: RunFacts) -> Iterator[Key]:
    verified, search = facts.verified, facts.search
    if verified:
        top1 = verified.forms[0].top1
        yield Key(
            "accuracy in ONNX Runtime",
            percent(top1.value),
            f"{percent(verified.torch.value)} in torch, on the same images; one search",
            basis(top1, percent),
        )
    elif search and search.accuracy:
        accuracy = search.accuracy
        on = f"accuracy in torch, {search.measured_on}"
        yield Key(on, percent(accuracy.value), "after the last epoch; one search", basis(accuracy, percent))


def _latency(facts: RunFacts) -> Iterator[Key]:
    latency = facts.verified.latency if facts.verified else None
    if latency and latency.ratios:
        first = latency.ratios[0]
        yield Key(
            f"latency of {first.form} over its {first.baseline}",
            factor(first.ratio.value),
            speed_by(first.ratio),
            basis(first.ratio, factor),
        )


def _size(facts: RunFacts) -> Iterator[Key]:
    ticket, dense = facts.size(TICKET), facts.size(DENSE_WEIGHTS)
    if ticket and dense and ticket.bytes:
        smaller = f"{dense.bytes / ticket.bytes:,.0f} times smaller than the dense weights"
        yield Key("ticket", size(ticket.bytes), smaller, f"{ticket.bytes:,} bytes, counted")


def _kept(facts: RunFacts) -> Iterator[Key]:
    network = facts.network
    if network:
        yield Key(
            "weights kept",
            percent(network.density),
            f"{network.kept:,} of {network.weights:,}",
            f"counted in the mask; {network.prune * 100:g}% removed was asked for",
        )
