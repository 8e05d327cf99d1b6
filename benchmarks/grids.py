"""The grids that grid.py runs: arms by name, each the settings of one search. Those of `choices` are for
images held out."""

from collections.abc import Callable, Iterator, Mapping

from choices import CONV, RESNET, Settings, ablation, layers, long, rates, recipe

SEEDS = (0, 1, 2)
Grid = Callable[[], Iterator[tuple[str, Settings]]]
# Weight recycling's schedules by kind, and IteRand's by steps.
REDRAWS: Settings = {"reuse_rate": 0.1, "reuse_period_steps": 300}
PUBLISHED: dict[tuple[str, str], Settings] = {
    ("continuous", "recycle"): {"reuse_rate": 0.1, "reuse_period": 2},
    ("binary", "recycle"): {"reuse_rate": 0.2, "reuse_period": 6},
    ("continuous", "rerandomize"): REDRAWS,
    ("binary", "rerandomize"): REDRAWS,
    ("continuous", "none"): {},
    ("binary", "none"): {},
}


def confound() -> Iterator[tuple[str, Settings]]:
    """{no reuse, recycle, IteRand} x {scale none, keep, published} x {edge-popup, Biprop}.

    Both kinds draw Kaiming normals, so that the scale is the only thing that differs between two arms of
    a pair; edge-popup with signed constants has no scale rule as published and stands beside. Each kind of
    reuse happens as often as its source has it.
    """
    nets = [("conv6", 0.9, CONV, SEEDS), ("resnet18", 0.95, RESNET, SEEDS[:1])]
    for arch, prune, base, seeds in nets:
        for seed in seeds:
            for kind in ("continuous", "binary"):
                for scale in ("none", "keep", "published"):
                    for reuse in ("none", "recycle", "rerandomize"):
                        key = f"{arch}-{kind}-{scale}-{reuse}"
                        method = {"subnetwork": kind, "scale_fan": scale, "init": "kaiming_normal"}
                        common = base | {"arch": arch, "prune": prune, "seed": seed}
                        yield key, common | method | {"reuse": reuse} | PUBLISHED[kind, reuse]


def reproduction() -> Iterator[tuple[str, Settings]]:
    """The presets at 90 % removed, and ResNet-18 at 95, 98 and 99 %, as published (250 epochs)."""
    for seed in SEEDS:
        for arch in ("conv2", "conv4", "conv6", "conv8"):
            for name in (f"edge-popup-{arch}", f"iwr-{arch}-edge-popup", f"biprop-{arch}"):
                yield name, {"preset": name, "prune": 0.9, "seed": seed}
            for name in (f"iwr-{arch}-biprop", f"iterand-{arch}"):
                yield name, {"preset": name, "prune": 0.9, "seed": seed}
        for prune in (0.95, 0.98, 0.99):
            for name in ("edge-popup-resnet18", "biprop-resnet18", "iterand-resnet18", "iwr-resnet18-biprop"):
                yield f"{name}-{prune:g}", {"preset": name, "prune": prune, "seed": seed}


def short() -> Iterator[tuple[str, Settings]]:
    """30 epochs: what is on by default, and the default without it."""
    arms: dict[str, Settings] = {
        "default": {},
        "no-reuse": {"reuse": "none"},
        "signed-constant": {"init": "signed_constant"},
        "continuous": {"subnetwork": "continuous"},
        "rerandomize": {"reuse": "rerandomize"},
        "global": {"scope": "global"},
        "warm-up": {"warmup": 2.0},
    }
    for seed in SEEDS:
        for arch, prune in (("resnet18", 0.9), ("resnet18", 0.98), ("conv6", 0.9)):
            common = {"arch": arch, "prune": prune, "seed": seed, "data": "cifar10", "epochs": 30}
            for name, options in arms.items():
                yield f"{arch}-{prune:g}-{name}", common | options


GRIDS: Mapping[str, Grid] = {
    "confound": confound,
    "reproduction": reproduction,
    "short": short,
    "ablation": ablation,
    "recipe": recipe,
    "layers": layers,
    "rates": rates,
    "long": long,
}
