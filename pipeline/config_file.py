"""TOML in and out: the user's `--config` file, and the resolved `config.toml` of a run folder."""

import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from recycle_pipeline.exporters.atomic import write_text
from recycle_pipeline.models.errors import CorruptArtefact, UsageFault
from recycle_pipeline.models.registry import is_custom
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import typed


def read_config_file(path: Path, arch: str | None = None) -> dict[str, Any]:
    """The names and values of a TOML file; `config_from` checks whether values are in range.

    Args:
        path: of the file.
        arch: what the user gave beside it; a custom arch in the file must be that one.

    Raises:
        UsageFault: no such file, not TOML, tables in it, an unknown name or a wrong type, or it names custom
            code.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageFault(f"cannot read --config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, too long a number, too deep
        raise UsageFault(f"--config {path} is not valid TOML: {error}") from error
    tables = [name for name, value in values.items() if isinstance(value, dict)]
    if tables:
        raise UsageFault(f"--config {path} has a table [{tables[0]}]; expected plain `name = value` lines")
    try:
        typed({name.replace("-", "_"): value for name, value in values.items() if name != "keep"})
    except UsageFault as error:
        raise UsageFault(f"--config {path}: {error}") from error
    if is_custom(str(values.get("arch", ""))) and arch is None:
        raise UsageFault(
            f"--config {path} names custom code, arch = {values['arch']!r}, and nothing named in a file is "
            f"imported; if you trust it, give --arch {values['arch']} on the command line"
        )
    return values


def read_run_config(path: Path) -> dict[str, Any]:
    """The names and values of a run folder's config.toml, as this tool wrote it.

    Raises:
        CorruptArtefact: it is not TOML any more.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptArtefact(f"{path} is damaged: {error}; remove the run folder or restore it") from error


def write_config(config: RunConfig, path: Path) -> None:
    """Writes a resolved config, atomically."""
    heading = "# Resolved settings of this run; see manifest.json for what came out.\n"
    write_settings(config.to_dict(), path, heading)


def write_settings(settings: dict[str, Any], path: Path, heading: str) -> None:
    """Writes settings under a line that says what they are, atomically."""
    write_text(path, settings_text(settings, heading))


def settings_text(settings: dict[str, Any], heading: str) -> str:
    """What `write_settings` writes."""
    return heading + tomli_w.dumps(settings)


def as_toml(config: RunConfig) -> str:
    """A config as TOML text."""
    return tomli_w.dumps(config.to_dict())
