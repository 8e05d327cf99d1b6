"""Names that public code gives to the layers of the architectures that come with this tool.

ResNets have `conv1`, `bn1`, `shortcut.0` or `downsample.0`, `fc` (hidden-networks, Biprop, torchvision).
Conv2 to 8 and VGG-Small are two nn.Sequential, `convs` and `linear`, whose layers have their positions for
names (hidden-networks, Biprop); positions are the order of execution, so counting them says which is which.
Blocks have the same names everywhere. Names of this tool stay as they are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from recycle_pipeline.models.errors import UsageFault

RESNET = (
    (re.compile(r"^conv1\."), "stem.conv."),
    (re.compile(r"^bn1\."), "stem.bn."),
    (re.compile(r"\.(?:shortcut|downsample)\.0\."), ".shortcut.conv."),
    (re.compile(r"\.(?:shortcut|downsample)\.1\."), ".shortcut.bn."),
    (re.compile(r"^fc\."), "classifier."),
)
Tensors = dict[str, Tensor]


def renamed(tensors: Mapping[str, Tensor], arch: str, given: Sequence[tuple[str, str]] = ()) -> Tensors:
    """The same tensors under this tool's names.

    Args:
        tensors: by the file's names.
        arch: registered; names of any other, such as a user's own, are left as they are.
        given: (old, new) beginnings of names that the user gave; they go first, and each must be used.

    Raises:
        UsageFault: a beginning that no name has, or two tensors would have one name.
    """
    names = {name: name for name in tensors}
    for old, new in given:
        begun = [name for name, now in names.items() if _begins(now, old)]
        if not begun:
            raise UsageFault(
                f"--rename {old}={new}: no tensor of the file is called {old} or {old}.something"
            )
        names |= {name: new + names[name][len(old) :] for name in begun}
    by_user = _moved(tensors, names)
    return _moved(by_user, _published(by_user, arch))


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def _moved(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> Tensors:
    moved: Tensors = {}
    for name, tensor in tensors.items():
        if names[name] in moved:
            raise UsageFault(f"two tensors of the file would be {names[name]!r}; one of them is {name!r}")
        moved[names[name]] = tensor
    return moved


def _published(tensors: Mapping[str, Tensor], arch: str) -> dict[str, str]:
    if arch.startswith("resnet"):
        return {name: _of_resnet(name) for name in tensors}
    if arch.startswith(("conv", "vgg_small")) and ":" not in arch:
        layers = _of_sequence(tensors, "convs", "conv{}", "bn{}")
        last = "classifier" if arch.startswith("vgg") else "linear{}"
        layers |= _of_sequence(tensors, "linear", last, f"{last}_bn")
        return {name: _with_layer(name, layers) for name in tensors}
    return {name: name for name in tensors}


def _of_resnet(name: str) -> str:
    for pattern, ours in RESNET:
        name = pattern.sub(ours, name, count=1)
    return name


def _of_sequence(tensors: Mapping[str, Tensor], sequence: str, layer: str, norm: str) -> dict[str, str]:
    """`sequence.position` to our name, for the layers with weights and the batch norms behind them."""
    found, count = {}, 0
    for position in sorted(_positions(tensors, sequence)):
        place = f"{sequence}.{position}"
        if f"{place}.running_mean" in tensors:
            found[place] = norm.format(count)
        else:
            count += 1
            found[place] = layer.format(count)
    return found


def _positions(tensors: Iterable[str], sequence: str) -> set[int]:
    return {int(match[1]) for name in tensors if (match := re.match(rf"{sequence}\.(\d{{1,4}})\.", name))}


def _with_layer(name: str, layers: Mapping[str, str]) -> str:
    place, _, rest = name.rpartition(".")
    return f"{layers[place]}.{rest}" if place in layers else name
