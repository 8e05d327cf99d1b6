"""A report as Markdown, fit for a pull request: the verdict and key numbers first, tables folded away."""

from collections.abc import Iterator, Sequence

from recycle_pipeline.exporters.quoting import code_block, markdown_text
from recycle_pipeline.pipeline.report.comparison import compare
from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.report.headline import headline
from recycle_pipeline.pipeline.report.tables import (
    BOUGHT_HEADINGS,
    CLASS_HEADINGS,
    FORM_HEADINGS,
    FURTHER_HEADINGS,
    GATE_HEADINGS,
    RATIO_HEADINGS,
    SIZE_HEADINGS,
    TIMED_HEADINGS,
    Rows,
    bought_rows,
    class_rows,
    form_rows,
    further_rows,
    gate_rows,
    ratio_rows,
    size_rows,
    timed_rows,
)
from recycle_pipeline.pipeline.report.together import (
    POINT_HEADINGS,
    REPEATED_HEADINGS,
    RUN_HEADINGS,
    point_rows,
    repeated_rows,
    run_rows,
)

SIGNS = {"passed": "\u2705", "failed": "\u274c"}  # beside the word, never in its place
OTHER = "\u26a0\ufe0f"


def to_markdown(runs: Sequence[RunFacts]) -> str:
    """One run, or several beside each other."""
    parts = _run(runs[0]) if len(runs) == 1 else _several(runs)
    return "\n\n".join(parts) + "\n"


def _run(run: RunFacts) -> Iterator[str]:
    verdict = run.verdict
    yield f"### {SIGNS.get(verdict.outcome, OTHER)} {verdict.outcome.capitalize()}: {markdown_text(run.name)}"
    yield markdown_text(verdict.sentence)
    keys = [(key.label, f"**{markdown_text(key.value)}**", key.remark, key.basis) for key in headline(run)]
    if keys:
        yield _table(("", "value", "", "n and interval"), keys, ready=1)
    missing = [f"- {markdown_text(one.what)} Next: `{one.command}`" for one in run.missing]
    missing += [f"- {markdown_text(note)}" for note in run.notes]
    if missing:
        yield "\n".join(missing)
    if run.verified:
        n, latency = run.verified.torch.n, run.verified.latency
        yield from _folded("Gates", GATE_HEADINGS, gate_rows(run))
        yield from _folded("What each form buys beside onnx", BOUGHT_HEADINGS, bought_rows(run))
        title = (
            f"Accuracy and parity in ONNX Runtime, provider {run.verified.provider}, n = {n:,} test images"
        )
        yield from _folded(title, FORM_HEADINGS, form_rows(run))
        title = f"Accuracy by class: {len(run.verified.classes)} classes, in ONNX Runtime; Wilson's intervals"
        yield from _folded(title, CLASS_HEADINGS, class_rows(run))
        if latency:
            title = f"Latency: batch {latency.batch}, threads {latency.threads}, {latency.machine}"
            yield from _folded(title, RATIO_HEADINGS, ratio_rows(run))
            title = (
                "Times of a call, in ms, with 95% intervals: the median's over sessions, others' over rounds"
            )
            yield from _folded(title, TIMED_HEADINGS, timed_rows(run))
            title = "At other batch sizes and thread counts, which no gate judges"
            yield from _folded(title, FURTHER_HEADINGS, further_rows(run))
    yield from _folded("Size: counted bytes, no interval", SIZE_HEADINGS, size_rows(run))
    for command in run.commands:
        yield code_block(command, "sh")


def _several(runs: Sequence[RunFacts]) -> Iterator[str]:
    found, names = compare(runs), [run.name for run in runs]
    yield f"### {len(runs)} runs compared"
    yield _table(RUN_HEADINGS, run_rows(runs))
    for group in found.groups:
        yield f"#### Pareto front on {markdown_text(group.data or 'unnamed data')}"
        yield f"Forms than which none is as good in everything and better in something. {group.note}"
        rows = point_rows(group, names)
        on_front = [row for row, point in zip(rows, group.points, strict=True) if point.better is None]
        yield _table(POINT_HEADINGS, on_front)
        rest = [row for row, point in zip(rows, group.points, strict=True) if point.better is not None]
        yield from _folded(f"{len(rest)} forms that are not on the front", POINT_HEADINGS, rest)
    if found.repeated:
        yield "#### Repeated over seeds"
        yield _table(REPEATED_HEADINGS, repeated_rows(found))


def _folded(title: str, headings: Sequence[str], rows: Rows) -> Iterator[str]:
    if rows:
        yield f"<details><summary>{markdown_text(title)}</summary>"
        yield _table(headings, rows)
        yield "</details>"


def _table(headings: Sequence[str], rows: Rows, ready: int | None = None) -> str:
    """A table; the cells of column `ready` are Markdown already."""
    lines = [headings, ["---"] * len(headings)]
    lines += [[cell if i == ready else markdown_text(cell) for i, cell in enumerate(row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
