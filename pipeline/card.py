"""README.md of a run folder: the model card, made with the ticket, and renewed with what is found of it."""

from typing import Any

from recycle_pipeline.exporters.atomic import write_bytes, write_text
from recycle_pipeline.pipeline.command_line import search_command, without_path
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.forms import DENSE
from recycle_pipeline.pipeline.manifest import (
    Manifest,
    StageEntry,
    digest_if_there,
    file_digest,
    read_manifest,
)
from recycle_pipeline.pipeline.report.facts import FormAccuracy, Latency, Ratio, Verified
from recycle_pipeline.pipeline.report.tables import interval
from recycle_pipeline.pipeline.report.verified import read_verify, verified_of
from recycle_pipeline.pipeline.report.words import (
    bought,
    factor,
    full,
    milliseconds,
    percent,
    speed,
    speed_by,
)
from recycle_pipeline.pipeline.reporter import Reporter
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.search import SEARCH
from recycle_pipeline.pipeline.standing import standing
from recycle_pipeline.pipeline.wording import size

HUB_NAMES = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
}


def refresh_card(folder: RunFolder, reporter: Reporter) -> None:
    """Makes the card say what the folder holds now; one that the user rewrote without its regions stays.

    Where there is no ticket any more, the card goes too, or, if the user wrote into it, says so.

    Raises:
        CorruptArtefact: the ticket or the manifest is damaged.
        OSError: the card cannot be written.
    """
    from recycle_pipeline.exporters.model_card import new_card, updated_card

    facts = _facts(folder) if folder.ticket.is_file() else None
    before = folder.card.read_text("utf-8", errors="surrogateescape") if folder.card.is_file() else None
    if before is None:
        if facts is not None:
            write_text(folder.card, new_card(facts))
        return
    now = updated_card(before, facts)
    if now is None:
        reporter.stage(
            "card", f"note: {folder.card.name} has lost the marks of what is ours in it; left as it is"
        )
    elif facts is None and now == new_card(None):
        folder.card.unlink()
    elif now != before:
        write_bytes(folder.card, now.encode("utf-8", "surrogateescape"))


def _facts(folder: RunFolder) -> Any:
    from recycle_pipeline.exporters.model_card import CardFacts
    from recycle_pipeline.exporters.ticket.reader import load_ticket

    manifest, digest = read_manifest(folder.manifest), file_digest(folder.ticket)
    search, pack = manifest.stages.get("search"), manifest.stages.get("pack")
    data = _data(folder, search)
    model = folder.model(DENSE)
    return CardFacts(
        subnetwork=load_ticket(folder.ticket),
        ticket=folder.relative(folder.ticket),
        ticket_bytes=folder.ticket.stat().st_size,
        ticket_sha256=digest,
        command=_command(search, pack),
        made_with=_made_with(search or pack),
        data=data,
        hub_data=HUB_NAMES.get(data or ""),
        searched=search is not None,
        model=folder.relative(model) if model.is_file() else None,
        **_measured(folder, _verified(folder, manifest, digest)),
    )


def _data(folder: RunFolder, search: StageEntry | None) -> str | None:
    """The data set's name; of a folder its last part, as where it lies is nobody's business."""
    settings = search.config if search else read_run_config(folder.config)
    data = settings.get("data")
    return without_path(data) if isinstance(data, str) else None


def _command(search: StageEntry | None, pack: StageEntry | None) -> str | None:
    if search:
        return search_command({**SEARCH.unsaid, **search.config})
    said = pack.facts.get("command") if pack else None
    return said if isinstance(said, str) else None


def _made_with(entry: StageEntry | None) -> str:
    environment = entry.environment if entry else {}
    packages = environment.get("packages")
    torch = packages.get("torch") if isinstance(packages, dict) else None
    parts = {"recycle-pipeline": environment.get("recycle-pipeline"), "torch": torch}
    words = [f"{name} {version}" for name, version in parts.items() if isinstance(version, str)]
    return ", ".join(words) or "recycle-pipeline"


def _verified(folder: RunFolder, manifest: Manifest, ticket: str) -> Verified | None:
    """What `verify` found, if it was of this very ticket and model; of forms that are still those files."""
    entry, model = manifest.stages.get("verify"), folder.model(DENSE)
    if entry is None or not model.is_file():
        return None
    if (entry.inputs.get("ticket"), entry.inputs.get("model")) != (ticket, file_digest(model)):
        return None
    if entry.outputs.get(folder.relative(folder.verify)) != digest_if_there(folder.verify):
        return None  # another file than was written then, or none
    content = read_verify(folder.verify)
    held = content and standing(folder, content, entry).holds(content)
    return verified_of(folder.verify, held) if held else None


def _measured(folder: RunFolder, verified: Verified | None) -> dict[str, Any]:
    """Of the card's facts those that were measured: the same numbers as in the report."""
    from recycle_pipeline.exporters.model_card import Accuracy

    if verified is None:
        return {"accuracy": None}
    top1, latency = verified.forms[0].top1, verified.latency
    low, high = top1.interval or (0.0, 1.0)
    accuracy = Accuracy(top1.value, verified.torch.value, top1.n, verified.provider, low, high)
    ratios = {row.form: row for row in reversed(latency.ratios)} if latency else {}
    return {
        "accuracy": accuracy,
        "latency": _latency(latency, ratios[DENSE]) if latency and DENSE in ratios else None,
        "forms": [_form(folder, form, ratios.get(form.form)) for form in verified.forms if not form.rejected],
    }


def _latency(latency: Latency, own: Ratio) -> str:
    median = next(model.median for model in latency.models if model.name == own.form)
    return (
        f"{full(median, milliseconds)}; {full(own.ratio, factor)} of its {own.baseline}: "
        f"{speed_by(own.ratio)}. Batch {latency.batch}, threads {latency.threads}, {latency.machine}"
    )


def _form(folder: RunFolder, form: FormAccuracy, ratio: Ratio | None) -> tuple[str, ...]:
    path = folder.model(form.form)
    return (
        folder.relative(path),
        size(path.stat().st_size) if path.is_file() else "",
        percent(form.top1.value),
        interval(form.top1, percent),
        f"{full(ratio.ratio, factor)}: {_bought(folder, ratio)}" if ratio and ratio.baseline == DENSE else "",
        "; ".join(form.needs),
    )


def _bought(folder: RunFolder, ratio: Ratio) -> str:
    """What a form buys beside `onnx`, in the report's words."""
    said, files = speed_by(ratio.ratio), [folder.model(form) for form in (ratio.form, DENSE)]
    if not all(path.is_file() for path in files):
        return said
    own, dense = (path.stat().st_size for path in files)
    return bought(own / dense, speed(ratio.ratio), said)
