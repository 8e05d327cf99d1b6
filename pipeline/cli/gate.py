"""`gate`: is a model slower than its baseline? The answer is an exit code."""

import json
from typing import TYPE_CHECKING, Any

import click

from recycle_pipeline.pipeline.cli import options as opt
from recycle_pipeline.pipeline.cli.percent import PERCENT
from recycle_pipeline.pipeline.cli.sections import Sectioned, options, section
from recycle_pipeline.pipeline.cli.timing_options import HOW

if TYPE_CHECKING:
    from recycle_pipeline.evaluators.gate_plan import Plan

MODELS = section(
    "Models",
    click.option("--candidate", type=opt.PATH, required=True, help="ONNX file to judge."),
    click.option(
        "--baseline", type=opt.PATH, help="ONNX file to compare with, or what --save wrote elsewhere."
    ),
    click.option(
        "--save",
        type=opt.PATH,
        metavar="FILE.json",
        help="In place of --baseline: store what CANDIDATE takes beside a reference model.",
    ),
    click.option(
        "--reference",
        type=opt.PATH,
        help="ONNX file that stored baselines are compared through, best one much like the model. "
        "[a small one of the tool's own]",
    ),
)
LIMITS = section(
    "Limits: increases over the baseline, and accuracy",
    click.option("--max-slowdown", type=PERCENT, default=0.05, help="Of the median latency. [5%]"),
    click.option("--max-size-increase", type=PERCENT, help="Of the file. [none]"),
    click.option("--max-load-increase", type=PERCENT, help="Of the time to open a session. [none]"),
    click.option("--max-memory-increase", type=PERCENT, help="Of peak memory. [none]"),
    click.option("--max-accuracy-drop", type=PERCENT, help="Of top-1; needs --data. [none]"),
    click.option("--max-difference", type=float, help="Of logits; needs --data. [none]"),
    click.option("--min-top1", type=PERCENT, help="Lowest top-1; needs --data. [none]"),
    click.option("--data", help="digits, cifar10, ... or folder:PATH, for the accuracy. [none]"),
    click.option("--data-root", type=opt.PATH, help="Where CIFAR and MNIST lie."),
    click.option(
        "--on-inconclusive",
        "policy",
        type=click.Choice(["report", "pass", "fail"]),
        default="report",
        help="What noise too large to decide is: exit code 7, a pass (0), or a failure (5). [report]",
    ),
)
TIMING = section(
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
FILES = section(
    "Files for a CI job",
    click.option("--junit", type=opt.PATH, help="Write the verdicts as JUnit XML."),
    click.option(
        "--markdown",
        type=opt.PATH,
        help="Append a summary, for example to the file $GITHUB_STEP_SUMMARY names.",
    ),
    click.option("--result", type=opt.PATH, help="Write everything, with all samples, as JSON."),
    click.option("--benchmark-json", type=opt.PATH, help="Write what github-action-benchmark reads."),
    click.option("--bencher-json", type=opt.PATH, help="Write what Bencher reads."),
)


@click.command(cls=Sectioned, short_help="Fail if a model is slower than its baseline, and only then.")
@options(MODELS, LIMITS, TIMING, HOW, FILES, opt.OUTPUT)
def gate(**given: Any) -> None:
    """Time CANDIDATE beside its baseline, interleaved in fresh processes, until the answer is clear.

    \b
    Examples:
      recycle-pipeline gate --baseline main.onnx --candidate new.onnx --max-slowdown 5%
      recycle-pipeline gate --candidate main.onnx --save baseline.json
      recycle-pipeline gate --baseline baseline.json --candidate new.onnx

    Exit code 0: not slower than the limit allows. 5: slower, larger, or whatever limit was missed; 3 and 4
    for logits and accuracy. 7: the time budget ended before the answer was clear, or the limit lies below
    the noise floor that was measured in the same blocks.
    """
    from recycle_pipeline.evaluators.gates import raise_for, under
    from recycle_pipeline.pipeline.ci.written import write_files
    from recycle_pipeline.pipeline.cli.gate_lines import GateProgress, show_gate, show_stored
    from recycle_pipeline.pipeline.gating import run_gate, store_baseline

    progress, plan = GateProgress(given["quiet"]), _plan(given)
    if (given["baseline"] is None) == (given["save"] is None):
        raise click.UsageError("Give either --baseline to compare with, or --save to store one.")
    if given["save"] is not None:
        stored = store_baseline(given["candidate"], given["save"], plan, given["reference"], progress.say)
        show_stored(stored, given["save"], given["as_json"])
        return
    report = run_gate(_request(given, plan), progress.say)
    verdicts = under(given["policy"], report.verdicts)
    write_files(report, verdicts, given)
    if given["as_json"]:
        click.echo(json.dumps(report.to_json()))
    else:
        show_gate(report)
    raise_for(verdicts)


def _plan(given: dict[str, Any]) -> "Plan":
    from recycle_pipeline.evaluators.gate_plan import Plan
    from recycle_pipeline.evaluators.setting import Setting

    return Plan(
        setting=Setting(given["provider"], given["threads"], given["batch"], given["transfers"]),
        isolation=given["isolation"],
        core=given["core"],
        alpha=given["error_rate"],
        seconds=given["time_budget"],
        seed=given["seed"],
    )


def _request(given: dict[str, Any], plan: "Plan") -> Any:
    from recycle_pipeline.evaluators.gate_plan import Increases
    from recycle_pipeline.evaluators.gates import Limits
    from recycle_pipeline.pipeline.gating import Request
    from recycle_pipeline.pipeline.scoring import Data

    return Request(
        candidate=given["candidate"],
        baseline=given["baseline"],
        increases=Increases(
            slowdown=given["max_slowdown"],
            load=given["max_load_increase"],
            size=given["max_size_increase"],
            memory=given["max_memory_increase"],
        ),
        plan=plan,
        limits=Limits(
            max_difference=given["max_difference"],
            max_accuracy_drop=given["max_accuracy_drop"],
            min_top1=given["min_top1"],
        ),
        reference=given["reference"],
        data=Data(given["data"], given["data_root"]) if given["data"] else None,
    )
