"""What a user says about a file of weights that the file does not say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.given import prune_of_keep
from recycle_pipeline.pipeline.importing.method import Method, Search

# Of `RunConfig`, what holds for a ticket that no search of this tool found.
KEYS = (
    *("arch", "width", "activations", "batch_norm", "seed", "data", "data_root", "download", "image_size"),
    *("export", "embed_preprocessing", "shrink", "ort_target", "provider", "output_dir"),
    *("max_difference", "min_agreement", "max_accuracy_drop"),
)
HEADING = "# Packed from a file; see manifest.json for which and how.\n"


@dataclass(frozen=True)
class NetworkInput:
    """What a network takes and tells apart, as `Subnetwork` has it."""

    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class FileRequest:
    """A file to pack, and what the user said about it.

    Attributes:
        path: of the file.
        config: resolved; of it, only `KEYS` count.
        search: how scores are used, where there are any.
        unmasked: layers stored as they are.
        renames: (old, new) beginnings of names.
        mean, std: in place of the data set's, if given.
        without_data: what the network takes, where there is no data set to say it.
    """

    path: Path
    config: RunConfig
    search: Search | None = None
    unmasked: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    without_data: NetworkInput | None = None

    def reading(self) -> dict[str, str | float]:
        """How the file is read, as flat settings: for the ticket's recipe and the manifest."""
        search = self.search
        said: dict[str, Any] = {
            "method": search and search.method,
            "keep": search and search.keep,
            "scope": search and search.scope,
            "unmasked": ",".join(self.unmasked),
            "rename": ",".join(f"{old}={new}" for old, new in self.renames),
        }
        return {name: value for name, value in said.items() if value}

    def options(self) -> dict[str, Any]:
        """All that was said, by option; see `command_line.command`."""
        settings, fields = self.settings(), RunConfig.__dataclass_fields__
        usual = {name: field.default for name, field in fields.items()} | {"batch_norm": "fixed"}
        said = {"arch": settings["arch"]} | {
            name: value
            for name, value in settings.items()
            if name in ("width", "activations", "batch_norm", "seed", "data", "image_size")
            and (value != usual[name] or name == "data")
        }
        taken, reading = self.without_data, self.reading()
        if taken is not None:
            said |= {"classes": ",".join(taken.classes), "image_size": taken.image_size}
        for name, given in (("mean", self.mean), ("std", self.std)):
            values = getattr(taken, name) if taken is not None else given
            said |= {} if values is None else {name: ",".join(f"{value!r}" for value in values)}
        lists = {"unmasked": self.unmasked, "rename": [f"{old}={new}" for old, new in self.renames]}
        return said | reading | {name: values for name, values in lists.items() if values}

    def settings(self) -> dict[str, Any]:
        """The settings that a run folder's config.toml keeps."""
        return without_search(self.config.to_dict(), data=self.without_data is None)


def without_search(settings: dict[str, Any], *, data: bool) -> dict[str, Any]:
    """Of a run's settings those in `KEYS`; without the data set if none was named."""
    known = {name: value for name, value in settings.items() if name in KEYS}
    return known if data else {name: value for name, value in known.items() if not name.startswith("data")}


def search_of(
    method: Method | None, keep: float | None, prune: float | None, scope: str | None
) -> Search | None:
    """What was said about scores.

    Raises:
        UsageFault: a part of it is missing, contradicts another, or is out of range.
    """
    if method is None:
        for name, value in (("keep", keep), ("prune", prune), ("scope", scope)):
            if value is not None:
                raise UsageFault(
                    f"--{name} {value} is of a file with scores: give --method too, or leave it out"
                )
        return None
    if (keep is None) == (prune is None):
        raise UsageFault(
            f"--method {method} needs either --keep, the part of the weights that is kept (the flag "
            "prune_rate of the published code), or --prune, the part that is removed"
        )
    if keep is None:
        keep = prune_of_keep(prune)  # the same check, and the same rounding, the other way round
    else:
        prune_of_keep(keep)
    if scope == "global" and method != "biprop":
        raise UsageFault("--scope global is published for --method biprop alone; leave it out")
    return Search(method, keep, "global" if scope == "global" else "layer")


def renames_of(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """OLD=NEW as pairs. Raises UsageFault where one is not."""
    pairs = []
    for text in given:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise UsageFault(f"--rename {text!r}: expected OLD=NEW, for example fc=classifier")
        pairs.append((old, new))
    return tuple(pairs)


def classes_of(text: str) -> tuple[str, ...]:
    """A number of classes, named 0 and up, or their names in a comma list.

    Raises:
        UsageFault: fewer than two, or a name twice.
    """
    names = [part.strip() for part in text.split(",")]
    if len(names) == 1 and names[0].isascii() and names[0].isdigit() and len(names[0]) <= 6:
        names = [str(index) for index in range(int(names[0]))]
    if len(names) < 2 or len(set(names)) != len(names) or not all(names):
        raise UsageFault(f"--classes {text!r}: expected a number of at least 2, or names as in cat,dog")
    return tuple(names)


def input_of(
    path: Path,
    classes: str | None,
    image_size: int | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> NetworkInput:
    """What a network takes, all of it from the user. Raises UsageFault where a part is missing."""
    given = {"classes": classes, "image_size": image_size, "mean": mean, "std": std}
    if classes is None or image_size is None or mean is None or std is None:
        missing = ", ".join(option(name) for name, value in given.items() if value is None)
        raise UsageFault(
            f"{path} does not say what its network takes: expected --data, or in its place also {missing}"
        )
    if len(mean) != len(std):
        raise UsageFault(f"--mean has {len(mean)} numbers, --std {len(std)}: expected one each per channel")
    return NetworkInput(classes_of(classes), len(mean), image_size, mean, std)


def numbers_of(name: str, text: str) -> tuple[float, ...]:
    """Numbers in a comma list, one per channel. Raises UsageFault where it is none, or std not above 0."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    low = 0.0 if name == "std" else -1e6
    if not values or not all(low < value < 1e6 for value in values):
        raise UsageFault(f"--{name} {text!r}: expected a number per channel, for example 0.49,0.48,0.45")
    return values
