"""Tickets on the Hugging Face Hub: `hf://owner/name[@revision][/file]` in place of a path.

The package huggingface_hub does the work where it is installed: its cache, its offline mode
(HF_HUB_OFFLINE) and its tokens hold. No message here repeats one of its own, which may quote a request.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from recycle_pipeline.models.errors import PackageMissing, RecycleError, UsageFault
from recycle_pipeline.pipeline.environment import installed_version
from recycle_pipeline.pipeline.run_folder import RunFolder, ticket_path
from recycle_pipeline.pipeline.version import VERSION

SCHEME = "hf://"
FORM = re.compile(
    r"hf://(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(@(?P<revision>refs/(pr|convert)/[^/@]+|[^/@]+))?(/(?P<file>.+))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")
SUFFIX = ".safetensors"
TICKET = RunFolder(Path()).ticket.name
OTHER_KINDS = ("datasets", "spaces", "models", "buckets")

Found = TypeVar("Found")


@dataclass(frozen=True)
class HubTicket:
    """A ticket on the Hub.

    Attributes:
        repo: owner/name.
        revision: branch, tag or commit; None for the default branch.
        file: in the repository: a ticket, or a folder that holds one; None for the only one there is.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{revision}{f'/{self.file}' if self.file else ''}"


def local_ticket(ticket: str | Path) -> Path:
    """The path of a ticket: of a file, of the run folder that holds it, or of the Hub's copy in the cache.

    Raises:
        UsageFault: an hf:// name of another form, or that nothing or several things bear.
        PackageMissing: huggingface_hub is not installed.
        RecycleError: the Hub cannot be reached, and the cache does not have it.
    """
    if isinstance(ticket, str) and ticket.startswith(SCHEME):
        return fetch(parse(ticket))
    return ticket_path(Path(ticket))


def parse(text: str) -> HubTicket:
    """Raises UsageFault unless `hf://owner/name`, with `@revision` and `/file` or without."""
    match = FORM.fullmatch(text)
    parts = (match["file"] or "").split("/") if match else []
    if match is None or ".." in parts or match["owner"] in OTHER_KINDS:
        raise UsageFault(
            f"{text!r} is not a ticket on the Hub: expected hf://owner/name, hf://owner/name@revision or "
            f"hf://owner/name/{TICKET}, of a model repository"
        )
    revision = unquote(match["revision"]) if match["revision"] else None
    return HubTicket(f"{match['owner']}/{match['name']}", revision, match["file"])


def fetch(ticket: HubTicket) -> Path:
    """Brings a ticket into the cache of huggingface_hub, or finds it there; see `local_ticket`."""
    if installed_version("huggingface_hub") is None:
        raise PackageMissing(
            f"{ticket} needs the package huggingface_hub, which is not installed: `pip install "
            "'recycle-pipeline[hub]'` or `pip install huggingface_hub`, or give the path of a file"
        )
    if ticket.file is not None and ticket.file.endswith(SUFFIX):
        return _asked(ticket, lambda: _download(ticket, str(ticket.file)))
    return _asked(ticket, lambda: _found(ticket))


def _found(ticket: HubTicket) -> Path:
    """The folder's `ticket.safetensors`, asked for at once, or what else is there."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder = f"{ticket.file.rstrip('/')}/" if ticket.file else ""
    try:
        return _download(ticket, f"{folder}{TICKET}")
    except LocalEntryNotFoundError:
        names = _cached(ticket)
        if not names:
            raise
    except EntryNotFoundError:
        api = HfApi(library_name="recycle-pipeline", library_version=VERSION)
        names = list(api.list_repo_files(ticket.repo, revision=ticket.revision))
    return _download(ticket, _only(ticket, folder, names))


def _download(ticket: HubTicket, name: str) -> Path:
    """A file's path in the cache, into which it is brought where the Hub has a newer one.

    Left alone, huggingface_hub tries for half a minute to reach a Hub that cannot be reached, or for six
    where nothing answers at all; here one question tells.
    """
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            ticket.repo,
            name,
            revision=ticket.revision,
            library_name="recycle-pipeline",
            library_version=VERSION,
            local_files_only=not _asks(ticket, name),
        )
    )


def _asks(ticket: HubTicket, name: str) -> bool:
    """Whether the Hub answers a question about a file; it is not asked for a commit's that the cache has."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    there = try_to_load_from_cache(ticket.repo, name, revision=ticket.revision)
    if COMMIT.fullmatch(ticket.revision or "") and isinstance(there, str):
        return False
    try:
        get_hf_file_metadata(hf_hub_url(ticket.repo, name, revision=ticket.revision))
    except HfHubHTTPError:
        return True
    except (OfflineModeIsEnabled, ConnectionError, TimeoutError):
        return False
    except Exception as error:
        if not _of_the_network(error):
            raise
        return False
    return True


def _cached(ticket: HubTicket) -> list[str]:
    """The files of the repository that the cache has."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [
            repo
            for repo in scan_cache_dir().repos
            if (repo.repo_type, repo.repo_id) == ("model", ticket.repo)
        ]
    except CacheNotFound:
        return []
    wanted = ticket.revision or "main"
    return [
        file.file_path.relative_to(revision.snapshot_path).as_posix()
        for repo in repos
        for revision in repo.revisions
        if wanted == revision.commit_hash or wanted in revision.refs
        for file in revision.files
    ]


def _only(ticket: HubTicket, folder: str, names: Iterable[str]) -> str:
    """The one that is meant where no `ticket.safetensors` lies in the folder: the only one there is."""
    there = sorted(name for name in names if name.startswith(folder) and name.endswith(SUFFIX))
    named = [name for name in there if name.endswith(f"/{TICKET}")] or there
    if len(named) == 1:
        return named[0]
    base = f"{SCHEME}{ticket.repo}{f'@{ticket.revision}' if ticket.revision else ''}"
    if not named:
        raise UsageFault(f"{ticket} has no {SUFFIX} file, so no ticket; expected {TICKET}")
    shown = ", ".join(named[:6]) + (", ..." if len(named) > 6 else "")
    raise UsageFault(f"{ticket} has several: {shown}; name the one you mean, such as {base}/{named[0]}")


def _asked(ticket: HubTicket, call: Callable[[], Found]) -> Found:
    """The call's result, or an error of ours in place of those of huggingface_hub."""
    from huggingface_hub import errors

    try:
        return call()
    except errors.HFValidationError as error:
        raise UsageFault(f"{ticket}: the Hub allows no such name; expected hf://owner/name") from error
    except errors.GatedRepoError as error:
        raise UsageFault(f"{ticket} is gated: ask for access on its page, then `hf auth login`") from error
    except errors.RevisionNotFoundError as error:
        raise UsageFault(f"{ticket}: the repository has no revision {ticket.revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise _no_repository(ticket) from error
    except errors.LocalEntryNotFoundError as error:  # the reason it could not be asked for is the cause
        answered = isinstance(error.__cause__, errors.HfHubHTTPError)
        raise (_answered(ticket, error.__cause__) if answered else _unreachable(ticket)) from error
    except errors.EntryNotFoundError as error:
        raise UsageFault(
            f"{ticket}: the repository has no such file; {SCHEME}{ticket.repo} finds one"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _answered(ticket, error) from error
    except (errors.OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:
        raise _unreachable(ticket) from error
    except Exception as error:
        if not _of_the_network(error):
            raise
        raise _unreachable(ticket) from error


def _no_repository(ticket: HubTicket) -> UsageFault:
    return UsageFault(
        f"{ticket}: no such model repository, or it is private; check the name, or `hf auth login`"
    )


def _answered(ticket: HubTicket, error: Any) -> RecycleError:
    status = getattr(error.response, "status_code", "no status")
    if status == 401:  # what the Hub says to strangers of a repository that is private or not there
        return _no_repository(ticket)
    return RecycleError(f"{ticket}: the Hub answered {status}; try again, or give the path of a file")


def _of_the_network(error: Exception) -> bool:
    """Whether the HTTP library raised it, which was requests, then httpx, then httpx2."""
    return type(error).__module__.partition(".")[0] in (
        "requests",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    )


def _unreachable(ticket: HubTicket) -> RecycleError:
    from huggingface_hub import constants

    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
    return RecycleError(
        f"{ticket}: {why}, and the cache in {constants.HF_HUB_CACHE} does not have it; connect, or give the "
        "path of a file"
    )
