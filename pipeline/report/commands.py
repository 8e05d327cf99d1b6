"""The commands that make a run again."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.command_line import search_command
from recycle_pipeline.pipeline.forms import ALL, DENSE, FORMS
from recycle_pipeline.pipeline.given import config_from
from recycle_pipeline.pipeline.manifest import Manifest
from recycle_pipeline.pipeline.stages.search import SEARCH

GATES = ("max_difference", "min_agreement", "max_accuracy_drop", "min_top1", "max_slowdown")


def commands_of(
    manifest: Manifest, config: Mapping[str, Any], verify: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """One command for a search and what followed it, one for a ticket that came from a file.

    Args:
        manifest: of the run.
        config: its config.toml, for a search that did not finish.
        verify: content of verify.json, whose gates are those that were asked for, missed ones included.

    Returns:
        No line where no options lead to these settings, as for those of another version.
    """
    search, pack = manifest.stages.get("search"), manifest.stages.get("pack")
    if search is None and pack:
        said = pack.facts.get("command")
        return (said,) if isinstance(said, str) else ()
    found = search.config if search else {key: config.get(key) for key in SEARCH.config_keys if key in config}
    settings = {**SEARCH.unsaid, **found}
    command = search_command(settings)
    if command is None:
        return ()
    export = manifest.stages.get("export")
    if export is None and search:
        return (command.replace("recycle-pipeline run", "recycle-pipeline search", 1),)
    words = [*_export(export.config if export else config), *_verify(_defaults(settings), verify)]
    return (" ".join([command, shlex.join(words)]).strip(),)


def _export(config: Mapping[str, Any]) -> list[str]:
    forms = [form for form in config.get("export", []) if form in FORMS]
    wanted: Sequence[str] = [ALL] if len(forms) == len(FORMS) else [form for form in forms if form != DENSE]
    words = [word for form in wanted for word in ("--export", form)]
    words += ["--embed-preprocessing"] if config.get("embed_preprocessing") else []
    return words + ([] if config.get("shrink", True) else ["--no-shrink"])


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The gates' defaults, which depend on the network."""
    try:
        return (
            config_from({name: value for name, value in settings.items() if value is not None})
            .resolve()
            .to_dict()
        )
    except UsageFault:
        return {}


def _verify(defaults: Mapping[str, Any], verify: Mapping[str, Any] | None) -> list[str]:
    words: list[str] = []
    for gate in verify.get("verdicts", []) if verify else []:
        name, limit = gate["name"], gate.get("limit")
        if name not in GATES or limit is None:
            continue
        value = round(limit - 1, 9) if name == "max_slowdown" else limit  # there a ratio, here what is more
        if value != defaults.get(name):
            words += [option(name), f"{value!r}"]
    return words + _timing(verify or {})


def _timing(verify: Mapping[str, Any]) -> list[str]:
    """Batch sizes and thread counts that were timed, where it was not one image on one thread alone."""
    timed = [latency for latency in (verify.get("latency"), *verify.get("further_latencies", [])) if latency]
    words: list[str] = []
    for name in ("batch", "threads"):
        counts = list(dict.fromkeys(latency[name] for latency in timed))
        if counts not in ([], [1]):
            words += [option(f"timed_{name}"), ",".join(map(str, counts))]
    return words
