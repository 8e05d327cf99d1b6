"""Results as short tables on stdout."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from recycle_pipeline.models.errors import MissedGate
from recycle_pipeline.pipeline.cli.lines import hanging
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.wording import compact, size

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork
    from recycle_pipeline.pipeline.result import RunResult
    from recycle_pipeline.pipeline.runner import Plan
    from recycle_pipeline.pipeline.stages.stage import Context

SCOPE_WORDS = {"layer": "per layer", "global": "over all layers"}
INDENT = 12  # columns: the name of a row, at the least


def show_after(plan: "Plan", as_json: bool) -> None:
    """Runs a plan and shows its result; also where a gate was missed, before that error goes its way."""
    from recycle_pipeline.pipeline.processes import ranks_here
    from recycle_pipeline.pipeline.result import RunResult
    from recycle_pipeline.pipeline.runner import execute

    if ranks_here().rank:
        execute(plan)
        return
    try:
        execute(plan)
    except MissedGate:
        _show(RunResult.of(plan.context), as_json)
        raise
    _show(RunResult.of(plan.context), as_json)


def show_context(context: "Context", as_json: bool) -> None:
    """Shows what a folder holds now."""
    from recycle_pipeline.pipeline.result import RunResult

    _show(RunResult.of(context), as_json)


def _show(result: "RunResult", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        print_result(result)


def print_result(result: "RunResult") -> None:
    """What a run came to: kept weights, accuracy, parity, latency, and where the files are."""
    out, rows = console(), result_rows(result)
    indent = max(INDENT, *(len(name) + 2 for name, _ in rows))
    for name, text in rows:
        first, *rest = (hanging(line, indent, out) for line in text.split("\n"))
        out.print(Text.assemble((f"{name:{indent}}", "bold"), first), soft_wrap=True)
        for line in rest:
            out.print(Text(" " * indent + line), soft_wrap=True)


def result_rows(result: "RunResult") -> list[tuple[str, str]]:
    """The rows of the table, as plain text."""
    search, pack, export, verify = (result.facts(s) for s in ("search", "pack", "export", "verify"))
    rows = []
    counted = search or pack
    if "kept" in counted:
        kept, weights = counted["kept"], counted["weights"]
        rows.append(("kept", f"{kept:,} of {weights:,} weights ({kept / weights:.2%})"))
    rows += _accuracy_rows(search, verify)
    if preset := search.get("preset"):
        rows.append(("published", _published(preset)))
    if "statistics" in verify:
        rows.append(("batch norm", _statistics(verify["statistics"])))
    if verify:
        rows.append(("latency", _latency(verify)))
        rows += [("", text) for text in _further(verify.get("further_latencies", []))]
        if verify["provider_note"]:
            rows.append(("note", verify["provider_note"]))
    if pack:
        smaller = pack["dense_bytes"] / pack["bytes"]
        text = f"{result.ticket}  {size(pack['bytes'])}, {smaller:.0f}x smaller than the dense weights"
        rows.append(("ticket", text))
    for form, count in export.get("bytes", {}).items():
        found = verify.get("forms", {}).get(form)
        said = ", REJECTED" if result.folder.is_rejected(form) else _form(found, verify["n"]) if found else ""
        rows.append((form, f"{result.folder.lying(form)}  {size(count)}{said}"))
    rows += [(form, f"none: {why}") for form, why in export.get("missing", {}).items()]
    rows += _shrinking_rows(export.get("shrinking"))
    if result.folder.report.is_file():
        rows.append(("report", str(result.folder.report)))
    rows.append(("run folder", str(result.folder.root)))
    return rows


def _accuracy_rows(search: dict[str, Any], verify: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if search and "held_out_accuracy" in search:
        text = _at_the_end(search["held_out_accuracy"], search["held_out_images"])
        rows.append(("held out", f"{text} images held out of training; a single search"))
    elif search and not verify:
        text = _at_the_end(search["test_accuracy"], search["test_images"])
        rows.append(("accuracy", f"{text} test images; a single search"))
    if not verify:
        return rows
    return [
        *rows,
        (
            "accuracy",
            f"{verify['ort_accuracy']:.2%} in ONNX Runtime (95 % interval "
            f"{_proportion(verify['ort_accuracy'], verify['n'])}), {verify['torch_accuracy']:.2%} in torch, "
            f"on {verify['n']:,} test images; a single search",
        ),
        (
            "parity",
            f"logits differ by at most {verify['max_difference']:.1e}, "
            f"same top-1 on {verify['top1_agreement']:.2%} of these images",
        ),
    ]


def _at_the_end(share: float, n: int) -> str:
    return f"{share:.2%} at the end of the search (95 % interval {_proportion(share, n)}), on {n:,}"


def _shrinking_rows(shrinking: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What was removed from the model, where anything was."""
    if not shrinking or shrinking["before"] == shrinking["after"]:
        return []
    before, after = shrinking["before"], shrinking["after"]
    parts = (("filters", "filters"), ("parameters", "parameters"), ("multiply_adds", "multiply-adds"))
    text = ", ".join(f"{compact(after[key])} of {compact(before[key])} {word}" for key, word in parts)
    on = f"on {shrinking['images']:,} images"
    return [("shrunk", f"to {text}; logits within {shrinking['difference']:.1e} {on}")]


def _statistics(found: dict[str, Any]) -> str:
    """What rounding batch norm's numbers did."""
    return (
        f"rounded to {found['bits']} bits of fraction: {found['top1']:.2%} in torch "
        f"({_proportion(found['top1'], found['n'])}), {found['lossless_top1']:.2%} as searched, same top-1 "
        f"on {found['top1_agreement']:.2%} of {found['n']:,} images"
    )


def _proportion(share: float, n: int) -> str:
    """Wilson's 95 % interval of a fraction of n images."""
    from recycle_pipeline.evaluators.accuracy import wilson

    low, high = wilson(round(share * n), n)
    return f"{low:.2%} to {high:.2%}"


def _form(found: dict[str, Any], n: int) -> str:
    """What a form buys, beside `onnx`, on n images."""
    from recycle_pipeline.pipeline.report.words import bought

    top1 = f"{found['top1']:.2%} ({_proportion(found['top1'], n)})"
    exact = "the same logits" if not found["max_difference"] else top1
    ratio = found["latency_ratio"]
    speed = bought(found["share_of_dense"], found["speed"], found["speed"])
    text = f"\n{found['share_of_dense']:.1%} of onnx; {exact}; {speed} "
    text += f"({ratio['ratio']:.2f}, {ratio['low']:.2f} to {ratio['high']:.2f}, n = {_over(ratio)})"
    told = found.get("exact_told")
    if told and not told["max_difference"]:
        text += f"\nthe same logits with {told['told']}"
    needs = [f"onnxruntime {found['runtime']}"] if found.get("runtime") else []
    needs += [found["needs"]] if found.get("needs") else []
    text += f"\nneeds {'; '.join(needs)}" if needs else ""
    return text + (f"\nnote: {found['note']}" if "note" in found else "")


def _published(preset: dict[str, Any]) -> str:
    """What a preset's source says, and which of its settings were changed."""
    top1, trust = preset["expected_top1"], preset["expected_trust"]
    figure = (
        "no figure for this"
        if top1 is None
        else f"{top1:.2%}{'' if trust == 'high' else ', give or take 1 %'}"
    )
    changed = f"; changed here: {', '.join(preset['changed'])}" if preset["changed"] else ""
    return f"{figure} ({preset['name']}, {preset['source'].partition(',')[0]}){changed}"


def _latency(verify: dict[str, Any]) -> str:
    ratio, threads = verify["latency_ratio"], verify["threads"]
    return (
        f"{_ms(verify, 'latency')}, dense twin {_ms(verify, 'dense_twin')}; ratio "
        f"{ratio['ratio']:.2f} (95 % interval {ratio['low']:.2f} to {ratio['high']:.2f})\n"
        f"{_setting(verify.get('batch', 1), threads)}, provider {verify['provider']}, "
        f"{verify['latency_n']:,} rounds{_in_pairs(ratio)}{_shapes(verify)}"
    )


def _further(found: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each setting that was timed beside the one that gates judge."""
    from recycle_pipeline.pipeline.report.words import digits

    for setting in dict.fromkeys((each["batch"], each["threads"]) for each in found):
        rows = [each for each in found if (each["batch"], each["threads"]) == setting]
        lines = [
            f"{each['form']} {digits(each['median_ms'])} ms, {each['ratio']['ratio']:.2f} "
            f"({each['ratio']['low']:.2f} to {each['ratio']['high']:.2f}) of {_named(each['against'])}"
            for each in rows
        ]
        yield "\n".join([f"{_setting(*setting)}:", *lines])


def _named(against: str) -> str:
    return against if against == DENSE else f"the {against}"


def _setting(batch: int, threads: int) -> str:
    return f"batch {batch}, {threads} thread{'s' * (threads != 1)}"


def _ms(verify: dict[str, Any], name: str) -> str:
    """A median with its interval; runs of earlier versions have none."""
    from recycle_pipeline.pipeline.report.words import digits

    ends = [verify[key] for end in ("low", "high") if (key := f"{name}_{end}_ms") in verify]
    interval = f" ({' to '.join(map(digits, ends))})" if ends else ""
    return f"{digits(verify[f'{name}_ms'])} ms{interval}"


def _in_pairs(ratio: dict[str, Any]) -> str:
    """What intervals are over; older runs had one pair, and its rounds."""
    pairs = ratio.get("sessions", 1)
    return f" in {pairs} pairs of sessions, which intervals are over" if pairs > 1 else ""


def _over(ratio: dict[str, Any]) -> str:
    pairs = ratio.get("sessions", 1)
    return f"{pairs} pairs" if pairs > 1 else f"{ratio['n']:,} rounds"


def _shapes(verify: dict[str, Any]) -> str:
    """How much of a shrunk model's speed its shapes are, where it was shrunk."""
    if "same_shapes_ms" not in verify:
        return ""
    from recycle_pipeline.pipeline.report.words import digits

    ends = [verify.get(f"same_shapes_{end}") for end in ("low", "high")]
    interval = "" if None in ends else f" ({ends[0]:.2f} to {ends[1]:.2f})"
    return (
        f"\nthe shrunk shapes with nothing pruned: {digits(verify['same_shapes_ms'])} ms; ratio "
        f"{verify['same_shapes_ratio']:.2f}{interval}"
    )


def described(subnetwork: "Subnetwork") -> str:
    """What a ticket is, in a line."""
    return (
        f"{subnetwork.arch}{subnetwork.options.described()}, {subnetwork.kind}, seed {subnetwork.seed}, "
        f"{subnetwork.prune:g} removed {SCOPE_WORDS[subnetwork.scope]}"
    )


def path_size(path: Path) -> str:
    """A file's size for people."""
    return size(path.stat().st_size)


def console() -> Console:
    """Stdout; lines are not broken where it is not a terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=500)
