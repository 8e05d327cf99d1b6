"""Putting stages together: which folder, which stages, in which order, with what left of a former run."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import CorruptArtefact, MissedGate, RecycleError, UsageFault
from recycle_pipeline.models.registry import check_arch, check_options, find_builder, is_custom
from recycle_pipeline.pipeline import rate_changes
from recycle_pipeline.pipeline.card import refresh_card
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.config_file import read_run_config, write_config, write_settings
from recycle_pipeline.pipeline.device import check_device, check_precision_there
from recycle_pipeline.pipeline.folder_lock import alone_in
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.importing.request import HEADING, without_search
from recycle_pipeline.pipeline.leftovers import holds_nothing, temporary_files_in
from recycle_pipeline.pipeline.manifest import StageEntry, read_manifest
from recycle_pipeline.pipeline.processes import check_processes, ranks_here
from recycle_pipeline.pipeline.reporter import Reporter, Silent
from recycle_pipeline.pipeline.run_folder import RunFolder, existing_run, folder_name
from recycle_pipeline.pipeline.stages.export import EXPORT
from recycle_pipeline.pipeline.stages.pack import PACK, packed_from_file
from recycle_pipeline.pipeline.stages.search import SEARCH, search_along
from recycle_pipeline.pipeline.stages.stage import Context, Stage, run_stage
from recycle_pipeline.pipeline.stages.verify import VERIFY
from recycle_pipeline.pipeline.standing import standing
from recycle_pipeline.pipeline.tensorboard import check_tensorboard, write_missing
from recycle_pipeline.pipeline.together import Together

STAGES: dict[str, Stage] = {stage.name: stage for stage in (SEARCH, PACK, EXPORT, VERIFY)}
RUNS = Path("runs")


@dataclass(frozen=True)
class Plan:
    """A checked request: settings, folder, stages. Nothing has been written yet.

    Attributes:
        context: what the stages share.
        stages: names, in order.
        forced: names of those that run even if nothing changed.
    """

    context: Context
    stages: tuple[str, ...]
    forced: frozenset[str]


def plan_run(
    config: RunConfig,
    reporter: Reporter,
    stages: Collection[str] = tuple(STAGES),
    forced: Iterable[str] = (),
) -> Plan:
    """A plan from settings the user gave, for a new folder or one that holds the same run.

    Raises:
        UsageFault: a setting cannot be met here, or the folder holds something else.
    """
    ranks = ranks_here()
    resolved = dataclasses.replace(config, processes=check_processes(config.processes, ranks)).resolve()
    forced = frozenset(forced)
    for name in forced:
        _known_stage(name)
    if is_custom(resolved.arch):
        find_builder(resolved.arch, import_custom=True)  # the name came from the user
    check_arch(resolved.arch, import_custom=True)
    check_options(resolved.arch, resolved.options)
    check_device(resolved.device)
    if resolved.tensorboard and "search" in stages:
        check_tensorboard()
    if resolved.provider != "auto" and "verify" in stages:
        _check_provider(resolved.provider)
    folder = RunFolder(Path(resolved.output_dir) if resolved.output_dir else default_folder(resolved))
    _check_folder(folder, resolved, forced)
    if "search" in stages and ("search" in forced or not folder.searched.exists()):
        check_precision_there(resolved.precision, resolved.device)  # what is found is the same anywhere
    context = Context(resolved, folder, Silent() if ranks.rank else reporter, import_custom=True)
    return Plan(context, tuple(stages), forced)


def plan_stage(
    root: Path, stage: str, changes: dict[str, Any], reporter: Reporter, *, arch: str | None, force: bool
) -> Plan:
    """A plan for one stage of an existing run, with some of its later settings changed.

    Raises:
        UsageFault: no run there; or the run's arch is custom and `arch` does not repeat it.
    """
    folder = existing_run(root)
    settings = read_run_config(folder.config)
    if stage in ("export", "verify") and "data" not in settings and packed_from_file(folder):
        raise UsageFault(
            f"{root} was packed without --data, and {stage} needs images: pack the file again with --data, "
            f"or `recycle-pipeline reconstruct {root} --output model.onnx`"
        )
    config = config_from(settings | changes)
    if arch is not None and arch != config.arch:
        raise UsageFault(f"--arch {arch} was given, but {root} is a run of {config.arch}")
    if is_custom(config.arch) and stage != "pack":  # pack rebuilds arrays, not the network
        find_builder(config.arch, import_custom=arch is not None)
    context = Context(config, folder, reporter, import_custom=arch is not None)
    return Plan(context, (_known_stage(stage),), frozenset([stage] if force else []))


def execute(plan: Plan) -> dict[str, StageEntry]:
    """Runs a plan's stages in order; returns what each did, by name.

    Of several processes that torchrun started the first does so; the others search with it, wait for its
    end and return nothing.

    Raises:
        RecycleError: a stage failed; the ones before it are kept.
        PeerFailed: this happened in another process; carries its exit code.
    """
    ranks, context = ranks_here(), plan.context
    if ranks.size == 1:
        return _execute(plan)
    if "search" not in plan.stages:  # nothing to do together
        return {} if ranks.rank else _execute(plan)
    with Together(ranks) as together:
        context.together = together
        if ranks.rank == 0:
            return _execute(plan)
        if word := together.next():
            search_along(context, word)
    return {}


def _execute(plan: Plan) -> dict[str, StageEntry]:
    context = plan.context
    searches = "search" in plan.stages
    reported = plan.stages == tuple(STAGES) or context.folder.report.is_file()
    if searches:
        _check_network(context)  # a bad data set or network is found before anything is written
    context.folder.check_inside()
    with alone_in(context.folder.root) as context.check_folder, temporary_files_in(context.folder):
        if searches:
            _clear_another_run(context)
            write_config(context.config, context.folder.config)
        try:
            entries = {name: _run(name, plan) for name in plan.stages}
        except MissedGate:
            refresh_card(context.folder, context.reporter)
            _report(context, wanted=reported)
            raise
        except UsageFault:
            raise  # of a request that is refused, nothing is touched
        except BaseException:
            _withdraw(context)
            raise
        if searches and context.config.tensorboard:
            write_missing(context.folder)
        if not searches and {"pack", "export"} & set(plan.stages):
            _keep_config(context)  # what the ticket and model.onnx now are; gates are not kept
        _report(context, wanted=reported)
    return entries


def _report(context: Context, *, wanted: bool) -> None:
    """Writes the report after a whole run; after a single stage only where there was one.

    A damaged file that the stage itself does not read is no fault of the stage: then there is no report.
    """
    from recycle_pipeline.pipeline.report.write import refresh_report

    if wanted:
        try:
            refresh_report(context.folder)
        except CorruptArtefact as fault:
            context.folder.report.unlink(missing_ok=True)
            context.reporter.stage("report", f"none is written: {fault}")


def _withdraw(context: Context) -> None:
    """After an error or an interruption: neither report nor card go on saying what no longer holds."""
    folder = context.folder
    with contextlib.suppress(RecycleError, OSError):  # what ended the stage is told, not this
        entry = read_manifest(folder.manifest).stages.get("verify")
        stands = standing(folder, {}, entry)
        if stands.gone or stands.unjudged:
            folder.report.unlink(missing_ok=True)
        if folder.card.is_file():
            refresh_card(folder, context.reporter)


def _run(name: str, plan: Plan) -> StageEntry:
    """Runs a stage, and renews the card if it found anything new.

    After the last stage in any case: one that was killed may not have come to it.
    """
    context = plan.context
    before = read_manifest(context.folder.manifest)
    entry = run_stage(STAGES[name], context, force=name in plan.forced)
    if before.stages.get(name) != entry:
        context.folder.report.unlink(missing_ok=True)  # should a later stage fail, none says what was
    if before.stages.get(name) != entry or name == plan.stages[-1]:
        refresh_card(context.folder, context.reporter)
    return entry


def _keep_config(context: Context) -> None:
    folder = context.folder
    if packed_from_file(folder):
        write_settings(without_search(context.config.to_dict(), data=True), folder.config, HEADING)
    else:
        write_config(context.config, folder.config)


def _clear_another_run(context: Context) -> None:
    """Removes the results of a run with other settings, which only --force search lets through.

    Otherwise an interrupted search would leave them beside the new settings, posing as theirs.
    """
    folder = context.folder
    if not folder.config.is_file():
        return
    there, asked = _settings_there(folder), SEARCH.settings(context.config)
    if (there == asked or _goes_on(folder, there, asked)) and not packed_from_file(folder):
        return
    folder.manifest.unlink(missing_ok=True)  # first: without it nothing else counts as finished
    for path in (folder.report, *(path for stage in STAGES for path in folder.made_by(stage))):
        path.unlink(missing_ok=True)
    refresh_card(folder, context.reporter)


def _settings_there(folder: RunFolder) -> dict[str, Any]:
    """The search's settings of the run in `folder`: as it ran, or, where it did not finish, as asked."""
    known = read_manifest(folder.manifest).stages.get("search")
    return known.config if known else SEARCH.settings(config_from(read_run_config(folder.config)))


def _goes_on(folder: RunFolder, there: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether the search asked for is the unfinished one in `folder`, but for a change of its learning rate.

    Whether that lies ahead of what the search has done, its checkpoint shows.
    """
    finished = "search" in read_manifest(folder.manifest).stages
    return not finished and set(SEARCH.differing(there, asked)) == {rate_changes.NAME}


def default_folder(config: RunConfig) -> Path:
    """runs/<arch>-<data>-<prune>-<hash of the search's settings>: the same settings, the same folder.

    Changes of the learning rate are left out: a search that stopped is gone on with where it is.
    """
    settings = SEARCH.settings(config)
    settings.pop(rate_changes.NAME, None)
    text = json.dumps(settings, sort_keys=True)
    short = hashlib.sha256(text.encode()).hexdigest()[:8]
    words = [config.arch, config.data.rsplit("/", 1)[-1], f"{config.prune:g}", short]
    return RUNS / folder_name(words)


def _check_network(context: Context) -> None:
    """Loads the data and builds the network once, so that what cannot work is refused at the start."""
    images = context.searched_images
    from recycle_pipeline.models.maskable import check_network  # torch, which bad data are refused without
    from recycle_pipeline.models.registry import build

    network = build(
        context.config.arch,
        classes=len(images.classes),
        channels=images.channels,
        image_size=images.image_size,
        options=context.config.options,
        import_custom=context.import_custom,
    )
    check_network(network, len(images.classes), images.channels, images.image_size)


def _check_folder(folder: RunFolder, config: RunConfig, forced: frozenset[str]) -> None:
    root = folder.root
    if root.is_symlink() and not root.exists():
        raise UsageFault(
            f"--output-dir {root} is a link to {root.readlink()}, which is not there; make that one"
        )
    if root.exists() and not root.is_dir():
        raise UsageFault(f"--output-dir {root} is a file; expected a folder, or a name that is free")
    if holds_nothing(root):
        return
    if not folder.config.is_file():
        raise UsageFault(f"--output-dir {root} is not empty and holds no run; choose another folder")
    if "search" in forced:
        return
    if packed_from_file(folder):
        raise UsageFault(
            f"--output-dir {root} holds a ticket that was packed from a file; choose another folder, or "
            "--force search to replace it"
        )
    there, asked = _settings_there(folder), SEARCH.settings(config)
    pairs = SEARCH.differing(there, asked)
    differing = [f"{key} {before} there, {now} asked" for key, (before, now) in pairs.items()]
    if differing and not _goes_on(folder, there, asked):
        raise UsageFault(
            f"--output-dir {root} holds another run ({'; '.join(differing[:4])}); choose another folder, "
            "or --force search to replace it"
        )


def _check_provider(provider: str) -> None:
    """Refuses, before a long search, a provider that cannot run here."""
    from recycle_pipeline.evaluators.provider_names import provider_of
    from recycle_pipeline.evaluators.providers import why_not
    from recycle_pipeline.models.errors import ProviderUnavailable

    if reason := why_not(provider):
        raise ProviderUnavailable(
            f"--provider {provider} cannot run here: {reason}. {provider_of(provider).remedy}"
        )


def _known_stage(name: str) -> str:
    if name not in STAGES:
        raise UsageFault(f"unknown stage {name!r}; expected one of {', '.join(STAGES)}")
    return name
