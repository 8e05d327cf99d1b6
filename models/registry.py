"""Architectures by name, and a user's own as `package.module:function`.

A builder takes `classes`, `channels` and `image_size` (px, square) as keywords and returns a plain
network of torch modules that maps (N, channels, image_size, image_size) to (N, classes) logits.
Masking is added from outside, so a builder knows nothing of it. Those registered here take `options`
too; a user's own does not.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions

if TYPE_CHECKING:
    from torch import nn

Builder = Callable[..., "nn.Module"]

# The module of `recycle_pipeline.models` that has the builder, a function of the architecture's name. It is
# imported when the architecture is asked for: torch takes seconds, and a name is refused without it.
ARCHITECTURES: dict[str, str] = {
    "conv2": "conv_nets",
    "conv4": "conv_nets",
    "conv6": "conv_nets",
    "conv8": "conv_nets",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet20": "resnet",
    "resnet32": "resnet",
    "resnet44": "resnet",
    "resnet56": "resnet",
    "resnet110": "resnet",
    "vgg_small": "vgg_small",
    "vgg_small_bn": "vgg_small",
}
WITHOUT_BATCH_NORM = ("conv2", "conv4", "conv6", "conv8")  # unless activations are binary


def is_custom(arch: str) -> bool:
    """True for `package.module:function`, whose use imports the user's code."""
    return ":" in arch


def find_builder(arch: str, *, import_custom: bool = False) -> Builder:
    """The builder of a registered architecture, or of the user's own.

    Args:
        arch: a name of `ARCHITECTURES`, or `package.module:function`.
        import_custom: see `check_arch`.

    Raises:
        UsageFault: see `check_arch`; or a custom name that cannot be imported.
    """
    check_arch(arch, import_custom=import_custom)
    if is_custom(arch):
        return _import_builder(arch)
    module = importlib.import_module(f"recycle_pipeline.models.{ARCHITECTURES[arch]}")
    return getattr(module, arch)  # type: ignore[no-any-return]


def check_arch(arch: str, *, import_custom: bool = False) -> None:
    """Refuses a name that is not known; imports nothing.

    Args:
        arch: a name of `ARCHITECTURES`, or `package.module:function`.
        import_custom: whether the name came from the user (command line, Python call) and may be
            imported. A name read from a file never is.

    Raises:
        UsageFault: unknown name; or a custom one that may not be imported.
    """
    if arch in ARCHITECTURES:
        return
    if not is_custom(arch):
        close = difflib.get_close_matches(arch, ARCHITECTURES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageFault(
            f"unknown arch {arch!r}{hint}; known: {', '.join(ARCHITECTURES)}, "
            "or your own as package.module:function"
        )
    if not import_custom:
        raise UsageFault(
            f"arch {arch!r} is custom code named in a file, and nothing named in a file is imported; "
            f"if you trust it, give --arch {arch} on the command line"
        )


def check_options(arch: str, options: ArchOptions) -> None:
    """Refuses options that mean nothing for an architecture.

    Raises:
        UsageFault: an option of a custom architecture; or learned batch norm where there is none.
    """
    if is_custom(arch) and (changed := options.changed()):
        given = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in changed.items())
        raise UsageFault(
            f"{given} is for the architectures that come with this tool, and {arch} is your own: "
            "build it as you want it, and leave the option out"
        )
    if arch in WITHOUT_BATCH_NORM and options.affine and not options.binary:
        raise UsageFault(
            f"--batch-norm learned: {arch} has no batch norm, unless --activations binary is given too; "
            "leave it out, or choose another arch"
        )


def build(
    arch: str,
    *,
    classes: int,
    channels: int,
    image_size: int,
    options: ArchOptions = DEFAULT_OPTIONS,
    import_custom: bool = False,
) -> "nn.Module":
    """Builds a plain network.

    Raises:
        UsageFault: see `find_builder` and `check_options`; an image or a width too small for the
            architecture; or the user's builder does not take these keywords or does not return a module.
    """
    builder = find_builder(arch, import_custom=import_custom)
    check_options(arch, options)
    if not is_custom(arch):
        return builder(classes=classes, channels=channels, image_size=image_size, options=options)
    try:
        network = builder(classes=classes, channels=channels, image_size=image_size)
    except Exception as error:
        raise UsageFault(
            f"{arch}(classes={classes}, channels={channels}, image_size={image_size}) failed: "
            f"{type(error).__name__}: {error}"
        ) from error
    from torch import nn

    if not isinstance(network, nn.Module):
        raise UsageFault(f"{arch} returned a {type(network).__name__}, expected a torch.nn.Module")
    return network


def _import_builder(arch: str) -> Builder:
    module_name, _, function_name = arch.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a module beside the user, as other runners allow
    try:
        builder = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # the user's module may raise anything while it is imported
        raise UsageFault(
            f"cannot import arch {arch!r}: {type(error).__name__}: {error}; "
            f"expected package.module:function, importable from {os.getcwd()}"
        ) from error
    if not callable(builder):
        raise UsageFault(
            f"arch {arch!r} is a {type(builder).__name__}, expected a function that builds a network"
        )
    return builder  # type: ignore[no-any-return]
