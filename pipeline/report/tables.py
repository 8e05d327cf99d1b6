"""The tables of a run, as cells of text: the same on the page and in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from recycle_pipeline.exporters.model_card import KINDS, MAX_CLASSES, SCOPES
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.report.estimate import Estimate
from recycle_pipeline.pipeline.report.facts import FormAccuracy, Gate, Ratio, RunFacts, named_classes
from recycle_pipeline.pipeline.report.sizes import BOUND, DENSE_WEIGHTS
from recycle_pipeline.pipeline.report.verdict import outcome_of
from recycle_pipeline.pipeline.report.words import bought, digits, factor, percent, speed, speed_by

Rows = Sequence[Sequence[str]]
GATE_HEADINGS = ("form", "gate", "outcome", "what was found")
FORM_HEADINGS = (
    *("form", "promise", "top-1", "95% interval", "top-5", "compared with", "same top-1"),
    "largest logit difference",
)
BOUGHT_HEADINGS = ("form", "smaller?", "faster?", "exact?", "needs")
SIZE_HEADINGS = ("what", "bytes", "of dense weights", "of the bound")
CLASS_HEADINGS = ("class", "images", "right", "top-1", "95% interval")
TIMED_HEADINGS = ("model", "rounds", "median", "p90", "p95", "p99")
RATIO_HEADINGS = ("pair", "ratio", "95% interval", "n", "said")
FURTHER_HEADINGS = ("batch", "threads", "pair", "median ms", "ratio", "95% interval", "n", "said")
MANY = 24  # rows of a table that stands open on the page
NONE = "\u2013"  # a cell that has nothing to say


def tables_of(facts: RunFacts) -> dict[str, Rows]:
    """All of them, by the names that templates know."""
    return {
        "form_rows": form_rows(facts),
        "bought_rows": bought_rows(facts),
        "class_rows": class_rows(facts),
        "network_rows": network_rows(facts),
        "size_rows": size_rows(facts),
        "timed_rows": timed_rows(facts),
        "ratio_rows": ratio_rows(facts),
        "further_rows": further_rows(facts),
        "setting_rows": [(name, setting(value)) for name, value in facts.settings.items()],
        "file_rows": [(file.name, file.sha256) for file in facts.files],
        "stage_rows": [
            (stage.stage, stage.started.removesuffix("+00:00").replace("T", " "), f"{stage.seconds:,.1f}")
            for stage in facts.stages
        ],
    }


def gate_rows(facts: RunFacts) -> Rows:
    """Gates that were asked for."""
    return [gate_row(gate) for gate in facts.verdict.gates]


def gate_row(gate: Gate) -> tuple[str, ...]:
    """A gate, as `GATE_HEADINGS` say."""
    return (gate.form, gate.name, gate.outcome, gate.sentence)


def form_rows(facts: RunFacts) -> Rows:
    """Accuracy and parity of each form."""
    if facts.verified is None:
        return []
    gates = facts.verdict.gates
    return [
        (
            form.form,
            outcome_of([gate for gate in gates if gate.form == form.form]),
            percent(form.top1.value),
            interval(form.top1, percent),
            f"{percent(form.top5.value)} ({interval(form.top5, percent)})" if form.top5 else NONE,
            form.compared_with,
            percent(form.top1_agreement),
            "0, exactly" if form.max_difference == 0 else f"{form.max_difference:.1e}",
        )
        for form in facts.verified.forms
    ]


def bought_rows(facts: RunFacts) -> Rows:
    """What each form buys beside `onnx`, and what it needs; nothing where there is no other form."""
    if facts.verified is None or len(facts.verified.forms) < 2:
        return []
    latency = facts.verified.latency
    ratios = {row.form: row for row in latency.ratios if row.baseline == DENSE} if latency else {}
    return [
        (
            form.form,
            _smaller(form.form, facts),
            _faster(ratios[form.form], facts) if form.form in ratios else NONE,
            _exact(form),
            "; ".join(form.needs) or NONE,
        )
        for form in facts.verified.forms
        if not form.rejected
    ]


def _smaller(form: str, facts: RunFacts) -> str:
    own, dense = facts.size(form), facts.size(DENSE)
    return f"{_part(own.bytes, dense.bytes)} of {DENSE}" if own and dense and form != DENSE else NONE


def _faster(row: Ratio, facts: RunFacts) -> str:
    own, dense = facts.size(row.form), facts.size(DENSE)
    word = said = speed(row.ratio)
    if own and dense:
        said = bought(own.bytes / dense.bytes, word, word)
    return f"{said}: {factor(row.ratio.value)} ({interval(row.ratio, factor)})"


def _exact(form: FormAccuracy) -> str:
    if form.max_difference == 0:
        return f"the logits of {form.compared_with}"
    same = f"within {form.max_difference:.1e} of {form.compared_with}"
    return f"{same}; the logits of {DENSE} with {form.exact_told}" if form.exact_told else same


def class_rows(facts: RunFacts) -> Rows:
    """Accuracy of `onnx` on the images of each class, in the order of the classes."""
    if facts.verified is None:
        return []
    return [
        (name, "0", NONE, NONE, NONE)
        if found is None
        else (
            name,
            f"{found.n:,}",
            f"{round(found.value * found.n):,}",
            percent(found.value),
            interval(found, percent),
        )
        for name, found in named_classes(facts.verified)
    ]


def network_rows(facts: RunFacts) -> Rows:
    """What the network is, takes and tells apart."""
    network = facts.network
    if network is None:
        return []
    side, named = network.image_size, ", ".join(network.classes[:MAX_CLASSES])
    more = f", and {len(network.classes) - MAX_CLASSES} more" if len(network.classes) > MAX_CLASSES else ""
    return [
        ("architecture", network.arch),
        ("kept weights", KINDS[network.kind]),
        ("removed", f"{network.prune * 100:g}% asked for {SCOPES[network.scope]}"),
        ("seed", str(network.seed)),
        ("takes", f"images of {network.channels} x {side} x {side}"),
        ("tells apart", f"{len(network.classes)} classes: {named}{more}"),
    ]


def size_rows(facts: RunFacts) -> Rows:
    """Bytes of each form, in parts of the dense weights and of the bound."""
    dense, bound = (facts.size(name) for name in (DENSE_WEIGHTS, BOUND))
    return [
        (
            row.name,
            f"{row.bytes:,}",
            _part(row.bytes, dense.bytes if dense else 0),
            _part(row.bytes, bound.bytes if bound else 0),
        )
        for row in facts.sizes
    ]


def timed_rows(facts: RunFacts) -> Rows:
    """Percentiles of the times of each model, ms."""
    latency = facts.verified.latency if facts.verified else None
    return [
        (
            f"{model.name}{'' if model.settled else ' (still drifting)'}",
            f"{model.rounds:,} in {model.median.n} sessions"
            if model.median.of == "sessions"
            else f"{model.rounds:,}",
            *(with_ends(tail) for tail in (model.median, model.p90, model.p95, model.p99)),
        )
        for model in (latency.models if latency else ())
    ]


def ratio_rows(facts: RunFacts) -> Rows:
    """Ratios of latencies, and what they allow to be said."""
    latency = facts.verified.latency if facts.verified else None
    return [
        (
            f"{row.form} / {row.baseline}",
            factor(row.ratio.value),
            interval(row.ratio, factor),
            f"{row.ratio.n:,} {row.ratio.of}",
            _said(row, facts),
        )
        for row in (latency.ratios if latency else ())
    ]


def further_rows(facts: RunFacts) -> Rows:
    """Ratios at other batch sizes and thread counts."""
    latency = facts.verified.latency if facts.verified else None
    return [
        (
            f"{found.batch:,}",
            str(found.threads),
            f"{found.ratio.form} / {found.ratio.baseline}",
            digits(found.ratio.median_ms),
            factor(found.ratio.ratio.value),
            interval(found.ratio.ratio, factor),
            f"{found.ratio.ratio.n:,} {found.ratio.ratio.of}",
            _said(found.ratio, facts),
        )
        for found in (latency.further if latency else ())
    ]


def _said(row: Ratio, facts: RunFacts) -> str:
    """What its ratio allows to be said; of a form beside `onnx`, what is left of its promise."""
    own, dense = facts.size(row.form), facts.size(DENSE)
    if row.baseline != DENSE or not own or not dense:
        return speed_by(row.ratio)
    return bought(own.bytes / dense.bytes, speed(row.ratio), speed_by(row.ratio))


def interval(estimate: Estimate, say: Any) -> str:
    """Its 95 % interval, or that there is none."""
    if estimate.interval is None:
        return "none: single run" if estimate.n == 1 else "none"
    low, high = estimate.interval
    return f"{say(low)} to {say(high)}"


def with_ends(ms: Estimate) -> str:
    """A percentile that its n supports."""
    return NONE if ms.interval is None else f"{digits(ms.value)} ({interval(ms, digits)})"


def setting(value: Any) -> str:
    """A setting's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def differing(settings: list[Mapping[str, Any]]) -> list[str]:
    """Names of settings in which runs differ, in the order of the first that has them."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if len({setting(one.get(name)) for one in settings}) > 1]


def _part(count: int, whole: int) -> str:
    if not whole:
        return NONE
    share = count / whole
    return f"{share:.2%}" if share < 10 else f"{share:,.0f} times"
