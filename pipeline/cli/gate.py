"""`gate`: is a model slower than its baseline? The answer is an exit code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.percent import PERCENT
from recycle_pipeline.pipeline.cli.timing_options import HOW

if TYPE_CHECKING:
    pass

FILE = click.Path(path_type=Path)

MODELS = opt.section(
    "Models",
    click.option("--baseline", type=FILE, required=True, help="ONNX file to compare with."),
    click.option("--candidate", type=FILE, required=True, help="ONNX file to judge."),
)
LIMITS = opt.section(
    "Limits, as increases over the baseline",
    click.option("--max-slowdown", type=PERCENT, default=0.05, help="Of the median latency. [5%]"),
    click.option("--max-size-increase", type=PERCENT, help="Of the file. [none]"),
    click.option("--max-load-increase", type=PERCENT, help="Of the time to open a session. [none]"),
    click.option("--max-memory-increase", type=PERCENT, help="Of peak memory. [none]"),
    click.option(
        "--on-inconclusive",
        "policy",
        type=click.Choice(["report", "pass", "fail"]),
        default="report",
        help="What noise too large to decide is: exit code 7, a pass (0), or a failure (5). [report]",
    ),
)
TIMING = opt.section(
    "Timing",
    click.option("--time-budget", type=float, default=60.0, help="Seconds at the most. [60]"),
    click.option(
        "--error-rate",
        type=PERCENT,
        default=0.01,
        help="Chance of a wrong verdict, however often it looks before it stops. [1%]",
    ),
    click.option("--threads", type=int, default=1, help="Within an operator. [1]"),
    click.option("--batch", type=int, default=1, help="Images a call. [1]"),
)


@click.command(cls=opt.Sectioned, short_help="Fail if a model is slower than its baseline, and only then.")
@opt.options(MODELS, LIMITS, TIMING, HOW, opt.OUTPUT)
def gate(**given: Any) -> None:
    """Time CANDIDATE beside BASELINE, interleaved in fresh processes, until the answer is clear.

    \b
    Example:
      recycle-pipeline gate --baseline main.onnx --candidate onnx/model.onnx --max-slowdown 5%

    Exit code 0: not slower than the limit allows. 5: slower. 7: the time budget ended before either was
    clear, or the limit lies below the noise floor that was measured in the same minutes.
    """
    from recycle_pipeline.evaluators.gate import Increases, Plan
    from recycle_pipeline.evaluators.gate import gate as measure
    from recycle_pipeline.evaluators.gates import raise_for, under
    from recycle_pipeline.evaluators.setting import Setting
    from recycle_pipeline.pipeline.cli.gate_lines import GateProgress, show_gate

    progress = GateProgress(given["quiet"])
    plan = Plan(
        setting=Setting(given["provider"], given["threads"], given["batch"], given["transfers"]),
        isolation=given["isolation"],
        core=given["core"],
        alpha=given["error_rate"],
        seconds=given["time_budget"],
        seed=given["seed"],
    )
    increases = Increases(
        slowdown=given["max_slowdown"],
        load=given["max_load_increase"],
        size=given["max_size_increase"],
        memory=given["max_memory_increase"],
    )
    report = measure(given["baseline"], given["candidate"], increases, plan, say=progress.say)
    if given["as_json"]:
        click.echo(json.dumps(report.to_json()))
    else:
        show_gate(report)
    raise_for(under(given["policy"], report.verdicts))
