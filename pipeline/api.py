"""The Python functions: the same names, the same checks and the same errors as the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recycle_pipeline.pipeline.reporter import Reporter, Silent

if TYPE_CHECKING:
    from torch import nn

    from recycle_pipeline.pipeline.result import RunResult


def run(
    *,
    config: str | Path | None = None,
    force: str | Sequence[str] = (),
    reporter: Reporter | None = None,
    **options: Any,
) -> "RunResult":
    """Searches, packs, exports and verifies; finished stages of the same run are skipped.

    Args:
        config: a TOML file of settings; `options` override it.
        force: stages to redo even if nothing changed: search, pack, export, verify.
        reporter: receives progress; silent if None.
        **options: the command's options with underscores, for example `arch="resnet18", prune=0.9,
            output_dir="runs/mine"`. See `RunConfig` for all.

    Raises:
        RecycleError: a subclass tells what went wrong; its `exit_code` is the command's.
    """
    from recycle_pipeline.pipeline.config_file import read_config_file
    from recycle_pipeline.pipeline.given import asked
    from recycle_pipeline.pipeline.result import RunResult
    from recycle_pipeline.pipeline.runner import execute, plan_run
    from recycle_pipeline.pipeline.trial_export import require_exportable

    from_file = read_config_file(Path(config), options.get("arch")) if config is not None else {}
    settings = asked(options, merge(from_file, options))
    forced = (force,) if isinstance(force, str) else tuple(force)
    plan = plan_run(settings, reporter or Silent(), forced=forced)
    require_exportable(plan)
    execute(plan)
    return RunResult.of(plan.context)


def reconstruct(ticket: str | Path, *, arch: str | None = None) -> "nn.Module":
    """The network of a ticket, ready for inference: eval mode, on CPU, every tensor compared with its digest.

    Args:
        ticket: a ticket file, a run folder that has one, or `hf://owner/name[@revision][/file]`.
        arch: needed only where the ticket is of your own `package.module:function`, to allow its import.

    Raises:
        UsageFault: no such ticket, or a custom arch without `arch`.
        CorruptArtefact: the ticket is damaged; names the part.
        PackageMissing: hf:// without huggingface_hub.
        RecycleError: the Hub cannot be reached.
    """
    from recycle_pipeline.pipeline.hub import local_ticket
    from recycle_pipeline.pipeline.rebuild import rebuild

    return rebuild(local_ticket(ticket), arch=arch).network


def merge(from_file: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options over file values; `keep` given in one place replaces `prune` given in the other, and so on."""
    from recycle_pipeline.pipeline.given import over

    given = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    base = {name.replace("-", "_"): value for name, value in from_file.items()}
    return over(base, given)
