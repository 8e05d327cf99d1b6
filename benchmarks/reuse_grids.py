"""Grids that ask what reuse is worth and what recycling should copy. For choices, so with --hold-out."""

from collections.abc import Iterator

from choices import Settings

ARMS: dict[str, Settings] = {
    "top": {"recycle_from": "top"},
    "no-reuse": {"reuse": "none"},
    "next-lowest": {"recycle_from": "next-lowest"},
}


def conv_reuse() -> Iterator[tuple[str, Settings]]:
    """The default recipe of the conv networks in 100 epochs, whole, without recycling, and recycling the
    next-lowest block."""
    for arch in ("conv8", "conv6", "conv4", "conv2"):  # the longest first
        yield from _of(arch, 0.9, 100, (0, 1, 2))


def conv_reuse_short() -> Iterator[tuple[str, Settings]]:
    """The same in 30 epochs; Conv6 has nine seeds in `recycling`."""
    for seed in range(6):
        for arch in ("conv8", "conv4", "conv2"):
            yield from _of(arch, 0.9, 30, (seed,))


def net_reuse() -> Iterator[tuple[str, Settings]]:
    """The same of networks with batch norm, in 100 epochs."""
    for seed in (0, 1, 2):
        for arch, prune in (("resnet18", 0.9), ("vgg_small", 0.95)):
            yield from _of(arch, prune, 100, (seed,))


def vgg_reuse_short() -> Iterator[tuple[str, Settings]]:
    """VGG-Small in 30 epochs."""
    for seed in range(7):
        yield from _of("vgg_small", 0.95, 30, (seed,))


def _of(arch: str, prune: float, epochs: int, seeds: tuple[int, ...]) -> Iterator[tuple[str, Settings]]:
    for seed in seeds:
        for name, options in ARMS.items():
            one = {"arch": arch, "prune": prune, "seed": seed, "data": "cifar10", "epochs": epochs}
            yield f"{arch}-{prune:g}-{name}", one | options
