"""The facts of a run, read from its folder. Nothing is computed anew that a stage has written down."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.command_line import without_path
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.manifest import Manifest, digest_if_there, read_manifest
from recycle_pipeline.pipeline.report.commands import commands_of
from recycle_pipeline.pipeline.report.epochs import search_of
from recycle_pipeline.pipeline.report.exported import Exported, exported_of
from recycle_pipeline.pipeline.report.facts import Missing, RunFacts, Search
from recycle_pipeline.pipeline.report.layers import network_of
from recycle_pipeline.pipeline.report.rejected import rejected_onnx
from recycle_pipeline.pipeline.report.sizes import sizes_of_run
from recycle_pipeline.pipeline.report.surroundings import environments_of, files_of, times_of
from recycle_pipeline.pipeline.report.verdict import verdict_of
from recycle_pipeline.pipeline.report.verified import gates_of, read_verify, verified_of
from recycle_pipeline.pipeline.run_folder import RunFolder, existing_run
from recycle_pipeline.pipeline.standing import Standing, standing
from recycle_pipeline.pipeline.wording import printable

if TYPE_CHECKING:
    from recycle_pipeline.models.subnetwork import Subnetwork

PATHS = ("output_dir", "data_root")  # where things lie on somebody's disk is nobody's business


@dataclass(frozen=True)
class Run:
    """A run as read.

    Attributes:
        facts: of it.
        subnetwork: with the masks; None where there is none yet.
    """

    facts: RunFacts
    subnetwork: "Subnetwork | None"


def read_runs(roots: Sequence[Path]) -> list[Run]:
    """The runs in these folders, each with a name of its own.

    Raises:
        UsageFault: one is not a run folder.
        CorruptArtefact: a file of one is damaged.
    """
    names = [printable(root.resolve().name) for root in roots]
    return [
        read_run(existing_run(root), name if names.count(name) == 1 else printable(str(root)))
        for root, name in zip(roots, names, strict=True)
    ]


def read_run(folder: RunFolder, name: str) -> Run:
    """What a run folder holds, whichever stages have finished. Raises CorruptArtefact."""
    manifest, settings = read_manifest(folder.manifest), read_run_config(folder.config)
    search_entry = manifest.stages.get("search")
    subnetwork, source = _subnetwork(folder)
    network = network_of(source, subnetwork) if subnetwork else None
    said = read_verify(folder.verify) if "export" in manifest.stages else None
    stands = standing(folder, said, manifest.stages.get("verify")) if said else Standing()
    verify = stands.holds(said) if said else None
    search = search_of(folder, search_entry, settings)
    exported = exported_of(folder.manifest, manifest.stages.get("export"))
    facts = RunFacts(
        name=name,
        settings=public(settings),
        data=printable(without_path(str(settings.get("data", "")))),
        data_digest=search_entry.inputs.get("data", "") if search_entry else "",
        verdict=verdict_of(gates_of(verify) if verify else rejected_onnx(folder), stands.unjudged),
        missing=tuple(_missing(manifest, name, search, verified=verify is not None)),
        search=search,
        network=network,
        sizes=sizes_of_run(folder, exported.sizes, network, verify),
        verified=verified_of(folder.verify, verify) if verify else None,
        shrinking=exported.shrinking,
        environments=environments_of(manifest),
        stages=times_of(manifest),
        files=files_of(manifest),
        commands=commands_of(manifest, settings, said),
        notes=tuple(_notes(folder, manifest, exported, verify)),
    )
    return Run(facts, subnetwork)


def _subnetwork(folder: RunFolder) -> "tuple[Subnetwork | None, Path]":
    """The ticket's, or that of a search which is not packed, and the file it was read from."""
    from recycle_pipeline.exporters.ticket.reader import load_ticket

    for path in (folder.ticket, folder.searched):
        if path.is_file():
            return load_ticket(path), path
    return None, folder.ticket


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without what says where things lie."""
    shown = {name: value for name, value in settings.items() if name not in PATHS}
    if isinstance(shown.get("data"), str):
        shown["data"] = without_path(shown["data"])
    return {name: printable(value) if isinstance(value, str) else value for name, value in shown.items()}


def _missing(manifest: Manifest, name: str, search: Search | None, *, verified: bool) -> list[Missing]:
    """The stages that did not finish, with what makes them."""
    there, name = manifest.stages, shlex.quote(name)
    found = []
    if "search" not in there and "pack" not in there:
        so_far = f" It stopped after {len(search.epochs)} of {search.asked} epochs." if search else ""
        command = f"recycle-pipeline search --config {name}/config.toml --output-dir {name}"
        found.append(Missing("search", f"The search did not finish.{so_far}", command))
    for stage, what in (
        ("pack", "There is no ticket yet: the subnetwork is not proven to rebuild from its seed."),
        ("export", "No model was exported."),
        ("verify", "Accuracy under ONNX Runtime, parity and latency are not known."),
    ):
        if stage not in there and not (stage == "verify" and verified):
            found.append(Missing(stage, what, f"recycle-pipeline {stage} {name}"))
    return found


def _notes(
    folder: RunFolder, manifest: Manifest, exported: Exported, verify: Mapping[str, Any] | None
) -> list[str]:
    pack = manifest.stages.get("pack")
    notes = [f"{form} was asked for and is not there: {why}" for form, why in exported.missing.items()]
    if exported.fold_note:
        notes.append(f"Batch norm stays unfolded: {exported.fold_note}")
    if verify and verify.get("provider_note"):
        notes.append(str(verify["provider_note"]))
    forms = verify.get("forms", {}) if verify else {}
    notes += [f"{form}: {printable(str(found['note']))}" for form, found in forms.items() if "note" in found]
    entry = manifest.stages.get("verify")
    if entry and entry.outputs.get(folder.relative(folder.verify)) != digest_if_there(folder.verify):
        notes.append("verify.json is not the file that `verify` wrote: verify again before you trust it.")
    if pack and "search" not in manifest.stages:
        notes.append("The ticket was packed from a file: how its weights were found is not known here.")
    return notes
