"""The command that makes a run, from its settings: what a person would type, defaults left out."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.given import asked

# Others' defaults follow from these: they are given first.
FIRST = (
    *("preset", "arch", "data", "activations", "batch_norm", "subnetwork", "scope", "reuse", "optimizer"),
    *("epochs", "batch_size"),
)


def search_command(settings: Mapping[str, Any]) -> str | None:
    """`recycle-pipeline run` with the options that lead to these settings of a search.

    Args:
        settings: resolved, as the manifest has them.

    Returns:
        None where no options do, as for settings of another version.
    """
    given: dict[str, Any] = {}
    names = [*(name for name in FIRST if name in settings), *(n for n in settings if n not in FIRST)]
    try:
        for _ in names:
            found = asked(given).resolve().to_dict()
            differing = [name for name in names if found.get(name) != settings[name]]
            if not differing:
                break
            given[differing[0]] = settings[differing[0]]
        found = asked(given).resolve().to_dict()
    except UsageFault:
        return None
    if any(found.get(name) != value for name, value in settings.items()):
        return None
    return command("run", given)


def command(name: str, options: Mapping[str, Any], arguments: Iterable[str] = ()) -> str:
    """A line for a shell; of a folder of images only its last part is shown.

    Args:
        name: of the command.
        options: by setting; a list stands for the option several times.
        arguments: before them.
    """
    words = ["recycle-pipeline", name, *arguments]
    for setting, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option(setting), without_path(one) if setting == "data" else _spelled(one)]
    return shlex.join(words)


def without_path(data: str) -> str:
    """A data set as it is given, but for where a folder lies."""
    kind, colon, path = data.partition(":")
    return f"{kind}:{path.rstrip('/').rpartition('/')[2]}" if colon else data


def _spelled(value: Any) -> str:
    return f"{value!r}" if isinstance(value, float) else str(value)
