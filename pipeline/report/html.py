"""A report as one HTML file: no script, nothing from a network, legible in light, in dark and on paper."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from recycle_pipeline.pipeline.report import tables, together, words
from recycle_pipeline.pipeline.report.collect import Run
from recycle_pipeline.pipeline.report.comparison import compare
from recycle_pipeline.pipeline.report.facts import RunFacts
from recycle_pipeline.pipeline.report.figures.classes import classes_chart
from recycle_pipeline.pipeline.report.figures.curves import accuracy_curve, loss_curve
from recycle_pipeline.pipeline.report.figures.density import density_by_layer
from recycle_pipeline.pipeline.report.figures.figure import Figure
from recycle_pipeline.pipeline.report.figures.flow import flow_by_epoch, moved_by_layer
from recycle_pipeline.pipeline.report.figures.fronts import curves, fronts
from recycle_pipeline.pipeline.report.figures.latency import distributions, ratios_chart
from recycle_pipeline.pipeline.report.figures.masks import mask_pictures
from recycle_pipeline.pipeline.report.figures.sizes import sizes_chart
from recycle_pipeline.pipeline.report.headline import headline
from recycle_pipeline.pipeline.report.tables import tables_of
from recycle_pipeline.pipeline.report.together import point_rows, repeated_rows, run_rows
from recycle_pipeline.pipeline.report.together import setting_rows as differing_rows
from recycle_pipeline.pipeline.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"


def run_page(run: Run) -> str:
    """The page of one run."""
    facts = run.facts
    return _page(
        "run.html.j2",
        run=facts,
        key=headline(facts),
        masks=mask_pictures(run.subnetwork) if run.subnetwork else [],
        **tables_of(facts),
        **_figures(facts),
    )


def comparison_page(runs: Sequence[Run]) -> str:
    """The page of several runs."""
    facts = [run.facts for run in runs]
    found, names = compare(facts), [run.name for run in facts]
    return _page(
        "comparison.html.j2",
        runs=facts,
        comparison=found,
        run_rows=run_rows(facts),
        groups=[
            (group, fronts(group, f"front{i}"), point_rows(group, names))
            for i, group in enumerate(found.groups)
        ],
        repeated_rows=repeated_rows(found),
        curves=[figure for figure in [curves(facts)] if figure],
        setting_rows=differing_rows(facts, found),
        run_names=[f"run {number}" for number in range(1, len(runs) + 1)],
    )


def _figures(facts: RunFacts) -> dict[str, Sequence[Figure]]:
    found: dict[str, Sequence[Figure | None]] = {"sizes": [sizes_chart(facts.sizes)], "flows": []}
    if search := facts.search:
        found["curves"] = [accuracy_curve(search), loss_curve(search)]
        found["flows"] = [flow_by_epoch(search, facts.settings)]
    if network := facts.network:
        found["densities"] = [density_by_layer(network)]
        found["flows"] = [*found["flows"], moved_by_layer(network)]
    if facts.verified:
        found["classes"] = [classes_chart(facts.verified)]
    if facts.verified and (latency := facts.verified.latency):
        found["latencies"] = [distributions(latency), ratios_chart(latency.ratios)]
    there = {name: [figure for figure in figures if figure] for name, figures in found.items()}
    return {"curves": [], "densities": [], "classes": [], "latencies": [], **there}


def _page(template: str, **facts: Any) -> str:
    page: str = environment().get_template(template).render(version=VERSION, **facts)
    return page


@cache
def environment() -> Any:
    """Jinja's, with every value escaped and every name that is not there an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "percent": words.percent,
        "percent_plain": lambda fraction: f"{fraction * 100:g}%",
        "gate_row": tables.gate_row,
        "percent_basis": lambda estimate: words.basis(estimate, words.percent),
    }
    found.filters |= filters
    found.tests["on_front"] = lambda row: row[-1] == together.ON_FRONT
    found.globals["style"] = Markup((TEMPLATES / "style.css").read_text("utf-8"))
    found.globals |= {name: value for name, value in vars(tables).items() if name.endswith("_HEADINGS")}
    found.globals |= {name: value for name, value in vars(together).items() if name.endswith("_HEADINGS")}
    found.globals["MANY"] = tables.MANY
    found.globals["svg"] = Markup  # of `Figure.svg` and `MaskPicture.svg`, whose texts are escaped there
    return found
