"""Settings as users write them, in TOML, in Python or as options, to a `RunConfig`."""

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.checks import option
from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.presets import find_preset

PAIRS = (("prune", "keep"), ("reuse_period", "reuse_period_steps"))  # at most one of each is given
OF_REUSE = ("reuse_rate", "reuse_period", "reuse_period_steps")


def asked(options: Mapping[str, Any], merged: Mapping[str, Any] | None = None) -> RunConfig:
    """A config from the options that a user gives now, which must not be in vain.

    What a file or a preset says is not refused beside an option that leaves it without effect: there it may
    be a default, as in every run folder's config.

    Args:
        options: as given.
        merged: with those of a file below them, see `api.merge`; without a file the same.

    Raises:
        UsageFault: see `config_from`; or an option that has no effect beside the others.
    """
    config = config_from(options if merged is None else merged)
    given = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    in_vain = [f"{option(name)} {given[name]}" for name in OF_REUSE if name in given]
    if in_vain and config.reuse == "none":
        raise UsageFault(
            f"{in_vain[0]} has no effect on --reuse none: expected another --reuse, or leave it out"
        )
    if given.get("recycle_from", "top") != "top" and not config.recycles:
        raise UsageFault(
            f"--recycle-from {config.recycle_from} has no effect on --reuse {config.reuse}: expected recycle "
            "or hybrid, or leave it out"
        )
    if given.get("allocation", "uniform") != "uniform" and config.scope != "layer":
        raise UsageFault(
            f"--allocation {config.allocation} has no effect on --scope {config.scope}, where the ranking "
            "decides what each layer keeps: expected --scope layer, or leave it out"
        )
    return config


def config_from(values: Mapping[str, Any]) -> RunConfig:
    """A config from names and values as users write them (TOML, Python).

    `keep` may stand in place of `prune`; hyphens may stand for underscores; `export` may be a comma list.
    What a named `preset` sets holds where no value is given.

    Raises:
        UsageFault: an unknown name, a wrong type, or a bad value.
    """
    named = {name.replace("-", "_"): value for name, value in values.items() if value is not None}
    if "keep" in named:
        keep = named.pop("keep")
        if "prune" in named:
            raise UsageFault(
                f"--prune {named['prune']} and --keep {keep} were both given: expected one of them"
            )
        named["prune"] = prune_of_keep(keep)
    if isinstance(named.get("preset"), str):
        named = over(find_preset(named["preset"]).settings, named)
    return RunConfig(**typed(named))


def typed(named: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their names, each of its type; whether it is in range is not looked at.

    Raises:
        UsageFault: an unknown name or a wrong type.
    """
    hints = get_type_hints(RunConfig)
    for name in named:
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(hints)}"
            raise UsageFault(f"unknown setting {name!r}; {hint}")
    return {
        name: LISTS[name](value) if name in LISTS else _typed(name, value, hints[name])
        for name, value in named.items()
    }


def over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Given values over a base's, where a value also displaces the one that stands for the same thing."""
    displaced = {other for pair in PAIRS for name, other in (pair, pair[::-1]) if name in given}
    return {name: value for name, value in base.items() if name not in displaced} | dict(given)


def forms_of(value: Any) -> tuple[str, ...]:
    """Export forms from one name, a comma list, or a list of either; repeated names count once."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise UsageFault(f"setting export = {value!r} is a {type(value).__name__}; expected a list of forms")
    names = [part.strip() for item in items for part in str(item).split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def _counts_of(name: str, value: Any) -> tuple[int, ...]:
    """Whole numbers from one, a comma list, or a list; of threads `all` is 0."""
    items = value.split(",") if isinstance(value, str) else value
    return tuple(_count(name, item) for item in (items if isinstance(items, list | tuple) else [items]))


def _count(name: str, item: Any) -> int:
    word = item.strip() if isinstance(item, str) else item
    if name == "timed_threads" and word == "all":
        return 0
    if isinstance(word, str) and word.isascii() and word.isdigit() and len(word) < 10:
        return int(word)
    if isinstance(word, bool) or not isinstance(word, int):
        raise UsageFault(f"{option(name)} {word!r}: expected whole numbers, with commas between them")
    return word


def prune_of_keep(keep: Any) -> float:
    """The prune rate of a kept fraction. Raises UsageFault unless 0 < keep < 1."""
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep < 1:
        hint = f"; did you mean {keep / 100:g}?" if isinstance(keep, int | float) and 1 < keep < 100 else ""
        raise UsageFault(f"--keep {keep}: expected a fraction between 0 and 1, the part that is kept{hint}")
    # 1 - 0.1 is 0.9 exactly, but 1 - 0.2 + ... may not be: twelve digits are what a person can mean.
    return round(1.0 - keep, 12)


def _typed(name: str, value: Any, hint: Any) -> Any:
    allowed = get_args(hint) if not isinstance(hint, type) else (hint,)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and not _is_text(value):
        raise UsageFault(
            f"{option(name)} {value!r} is not text in UTF-8; rename it to what config.toml can hold"
        )
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError as error:
            raise UsageFault(f"setting {name} is too large: expected a number below 1.8e308") from error
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(t.__name__ for t in allowed if t is not type(None))
        raise UsageFault(f"setting {name} = {value!r} is a {type(value).__name__}; expected {wanted}")
    return value


def _is_text(value: str) -> bool:
    """False for file names that are bytes of no encoding, which Python carries as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


LISTS: Mapping[str, Callable[[Any], tuple[Any, ...]]] = {
    "export": forms_of,
    "timed_batch": partial(_counts_of, "timed_batch"),
    "timed_threads": partial(_counts_of, "timed_threads"),
}
