"""The names of a run folder's files. No other module spells them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.forms import DENSE, FORMS

LONGEST_NAME = 200  # bytes


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved settings."""
        return self.root / "config.toml"

    @property
    def manifest(self) -> Path:
        """What each stage read, did and wrote."""
        return self.root / "manifest.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch of the finished search."""
        return self.root / "metrics.jsonl"

    @property
    def live_metrics(self) -> Path:
        """The same while the search goes on."""
        return self.root / "metrics.jsonl.partial"

    @property
    def tensorboard(self) -> Path:
        """The folder of the same as TensorBoard's scalars, where they were asked for."""
        return self.root / "tensorboard"

    def scalars(self) -> list[Path]:
        """The event files in it."""
        return sorted(self.tensorboard.glob("events.out.tfevents.*"))

    @property
    def checkpoint(self) -> Path:
        """What a search goes on from after an interruption; gone once it has finished."""
        return self.root / "checkpoint.safetensors"

    @property
    def searched(self) -> Path:
        """The subnetwork as the search left it, with digests of the tensors it computed with."""
        return self.root / "search.safetensors"

    @property
    def ticket(self) -> Path:
        """The ticket, verified to rebuild the searched tensors."""
        return self.root / "ticket.safetensors"

    @property
    def verify(self) -> Path:
        """Accuracy, parity and latency under ONNX Runtime."""
        return self.root / "verify.json"

    @property
    def card(self) -> Path:
        """The model card; beside the ticket, under the name that model hubs show."""
        return self.root / "README.md"

    @property
    def report(self) -> Path:
        """The report, a page that needs nothing else."""
        return self.root / "report.html"

    def model(self, form: str) -> Path:
        """An exported form."""
        return self.root / "onnx" / FORMS[form].file

    @property
    def rejected(self) -> Path:
        """The folder of forms that broke their promise, each with the reason."""
        return self.root / "rejected"

    def rejection(self, form: str) -> Path:
        """An exported form in it."""
        return self.rejected / FORMS[form].file

    def is_rejected(self, form: str) -> bool:
        """Whether it lies there, and not among the sound ones."""
        return not self.model(form).is_file() and self.rejection(form).is_file()

    def lying(self, form: str) -> Path:
        """An exported form, wherever it lies."""
        return self.rejection(form) if self.is_rejected(form) else self.model(form)

    def rejections(self) -> list[Path]:
        """What may be in it."""
        files = [self.rejection(form) for form in FORMS]
        return [path for file in files for path in (file, file.with_suffix(".txt"))]

    def made_by(self, stage: str) -> list[Path]:
        """Every file that a stage may have left."""
        return {
            "search": [self.searched, self.metrics, *self.made_meanwhile("search"), *self.scalars()],
            "pack": [self.ticket],
            "export": [self.model(form) for form in FORMS],
            "verify": [self.verify, *self.rejections()],
        }[stage]

    def made_meanwhile(self, stage: str) -> list[Path]:
        """Those of them that serve an unfinished stage alone."""
        return [self.checkpoint] if stage == "search" else []

    def check_inside(self) -> None:
        """Refuses folders within that are links: a stranger's may lead to files that are none of the run's.

        Raises:
            UsageFault: there is one.
        """
        for inner in (self.model(DENSE).parent, self.rejected, self.tensorboard):
            if inner.is_symlink():
                raise UsageFault(
                    f"{inner} is a link to {inner.readlink()}; expected a folder of the run's own: remove "
                    "the link, or link the run folder as a whole"
                )

    def relative(self, path: Path) -> str:
        """A file's name within the folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()


def folder_name(words: Sequence[str]) -> str:
    """A run folder's name of words, the last of which is short and tells it from every other.

    File systems end at 255 bytes a name: a long one loses the ends of its words.
    """
    clean = ["".join(c if c.isalnum() or c in "._" else "-" for c in word) for word in words]
    if len("-".join(clean).encode()) > LONGEST_NAME:
        share = LONGEST_NAME // len(clean) - 1
        clean = [word.encode()[:share].decode("utf-8", "ignore") for word in clean]
    return "-".join(clean)


def existing_run(root: Path) -> RunFolder:
    """The run folder at `root`.

    Raises:
        UsageFault: there is none.
    """
    folder = RunFolder(root)
    if not folder.config.is_file():
        raise UsageFault(
            f"{root} is not a run folder: it has no {folder.config.name}; give the folder that "
            "`recycle-pipeline run` or `search` printed"
        )
    return folder


def ticket_path(path: Path) -> Path:
    """A ticket's path from itself or from the run folder that holds it."""
    return RunFolder(path).ticket if path.is_dir() else path
