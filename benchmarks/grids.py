"""The grids that grid.py runs: arms by name, each the settings of one search. Those of `choices` and
`reuse_grids` are for images held out."""

from collections.abc import Callable, Iterator, Mapping

from choices import CONV, RESNET, Settings, ablation, decay, layers, long, missed, rates, recipe
from reuse_grids import conv_reuse, conv_reuse_short, net_reuse, vgg_reuse_short

SEEDS = (0, 1, 2)
Grid = Callable[[], Iterator[tuple[str, Settings]]]
# Weight recycling's rates by kind, its periods (3 and 10 of 250 epochs) cut for 100, and IteRand's by steps.
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
    a pair; edge-popup with signed constants has no scale rule as published and stands beside. Rates are the
    sources'; recycling comes more often than there, as the search is shorter: 49 events of edge-popup's and
    16 of Biprop's in 100 epochs, for 82 and 24 in 250. Re-randomizing is IteRand's every 300 steps.
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
        for prune in (0.95, 0.98, 0.99):  # the steps of the paper whose figures these are
            name, steps = "biprop-resnet18", {"epochs": 250, "batch_size": 128}
            yield f"{name}-250-epochs-{prune:g}", {"preset": name, "prune": prune, "seed": seed} | steps
        vgg = "biprop-vgg-small"
        for name, prune in (
            ("biprop-resnet18-bn", 0.8),
            (vgg, 0.95),
            (f"{vgg}-binary-activations", 0.75),
            (f"{vgg}-binary-activations-bn", 0.75),
        ):
            rate = {"learning_rate": 0.1}  # of all four as they ran; the last one's preset has another since
            yield f"{name}-{prune:g}", {"preset": name, "prune": prune, "seed": seed} | rate


def explained() -> Iterator[tuple[str, Settings]]:
    """What might be why published searches come out otherwise here: presets with one thing changed, IteRand's
    scale with its draws. (Binary activations with learned batch norm have the rate tried here since.)"""
    recycled, plain, redrawn = "iwr-resnet18-biprop", "biprop-resnet18", "iterand-resnet18"
    steps: Settings = {"epochs": 250, "batch_size": 128}
    normal: Settings = {"init": "kaiming_normal", "scale_fan": "published"}
    vgg, slow = "biprop-vgg-small", {"learning_rate": 0.0002}
    popup = "edge-popup-resnet18"
    arms: dict[str, Settings] = {
        f"{recycled}-0.99-learned-norm": {"preset": recycled, "prune": 0.99, "batch_norm": "learned"},
        f"{plain}-250-epochs-0.99-learned-norm": {"preset": plain, "prune": 0.99, "batch_norm": "learned"}
        | steps,
        f"{recycled}-0.99-tf32": {"preset": recycled, "prune": 0.99, "precision": "tf32"},
        f"{redrawn}-0.95-normal-draws": {"preset": redrawn, "prune": 0.95} | normal,
        f"{popup}-0.99-tf32": {"preset": popup, "prune": 0.99, "precision": "tf32"},
        f"{plain}-bn-0.8-tf32": {"preset": f"{plain}-bn", "precision": "tf32"},
        f"{plain}-bn-0.8-batch-128": {"preset": f"{plain}-bn", "batch_size": 128},
        f"{vgg}-0.95-all-norms": {"preset": vgg, "arch": "vgg_small_bn"},
        f"{vgg}-0.95-all-norms-learned": {"preset": vgg, "arch": "vgg_small_bn", "batch_norm": "learned"},
        f"{vgg}-0.95-all-norms-learned-adam-0.0002": {"preset": vgg, "arch": "vgg_small_bn"}
        | {"batch_norm": "learned"}
        | slow,
        f"{vgg}-0.95-adam-0.0002": {"preset": vgg} | slow,
        f"{vgg}-0.95-all-norms-adam-0.0002": {"preset": vgg, "arch": "vgg_small_bn"} | slow,
        f"{vgg}-binary-activations-adam-0.0002": {"preset": f"{vgg}-binary-activations"} | slow,
        f"{vgg}-binary-activations-bn-adam-0.0002": {"preset": f"{vgg}-binary-activations-bn"} | slow,
    }
    for name, options in arms.items():
        yield name, options | {"seed": 0}


def explained_again() -> Iterator[tuple[str, Settings]]:
    """More seeds of what batch norm does at 99 % removed, and what was left of the arithmetic: Biprop in
    TF32, and the conv network that misses its figure in full float32."""
    recycled, conv = "iwr-resnet18-biprop", "iwr-conv2-biprop"
    for seed in (1, 2):
        learned: Settings = {"preset": recycled, "prune": 0.99, "batch_norm": "learned"}
        yield f"{recycled}-0.99-learned-norm", learned | {"seed": seed}
    for seed in (0, 1):
        yield f"{conv}-float32", {"preset": conv, "prune": 0.9, "precision": "float32", "seed": seed}
    rounded: Settings = {"preset": "biprop-resnet18", "prune": 0.99, "precision": "tf32", "seed": 0}
    yield "biprop-resnet18-0.99-tf32", rounded


def recycling() -> Iterator[tuple[str, Settings]]:
    """The default recipe in 30 epochs, without recycling, and recycling the next-lowest block; more seeds
    of Conv6 than `short` has. Its lines are taken over where they are in the record."""
    arms: dict[str, Settings] = {
        "default": {"recycle_from": "top"},  # as it was for conv networks too
        "no-reuse": {"reuse": "none"},
        "next-lowest": {"recycle_from": "next-lowest"},
    }
    for arch, prune, seeds in (("conv6", 0.9, range(9)), ("resnet18", 0.9, SEEDS), ("resnet18", 0.98, SEEDS)):
        for seed in seeds:
            for name, options in arms.items():
                one = {"arch": arch, "prune": prune, "seed": seed, "data": "cifar10", "epochs": 30}
                yield f"{arch}-{prune:g}-{name}", one | options


def beyond() -> Iterator[tuple[str, Settings]]:
    """The default recipe in 100 epochs: nothing else is said but network, data, fraction removed and seed.

    After this ran the default became 200 epochs at 80 % removed (`--only resnet18-0.8 --epochs 200`), and
    conv networks recycle the next-lowest block, not the top (`conv-reuse --only next-lowest`).
    """
    nets = [("resnet18", prune) for prune in (0.95, 0.99, 0.98)]
    nets += [("conv8", 0.9), ("vgg_small_bn", 0.95), ("conv6", 0.9), ("conv4", 0.9), ("conv2", 0.9)]
    for arch, prune in (*nets, ("resnet18", 0.8), ("vgg_small", 0.95), ("resnet18", 0.9)):
        for seed in SEEDS:
            one = {"arch": arch, "prune": prune, "seed": seed, "data": "cifar10", "epochs": 100}
            yield f"{arch}-{prune:g}", one


def short() -> Iterator[tuple[str, Settings]]:
    """30 epochs: the default recipe, and it without one of its parts."""
    common: dict[str, Settings] = {
        "default": {},
        "no-reuse": {"reuse": "none"},
        "uniform": {"allocation": "uniform"},
    }
    normed = common | {
        "fixed-norm": {"batch_norm": "fixed"},
        "normal-draws": {"init": "kaiming_normal"},
        "published-rate": {"learning_rate": 0.1},
    }
    plain = common | {
        "magnitude": {"scores": "magnitude", "learning_rate": 0.05},
        "no-warm-up": {"warmup": 0.0},
        "published-rate": {"learning_rate": 0.1},
    }
    nets = (
        ("resnet18", 0.9, normed),
        ("resnet18", 0.98, normed),
        ("conv6", 0.9, plain),
        ("conv2", 0.9, plain),
    )
    for seed in SEEDS:
        for arch, prune, arms in nets:
            for name, options in arms.items():
                one = {"arch": arch, "prune": prune, "seed": seed, "data": "cifar10", "epochs": 30}
                yield f"{arch}-{prune:g}-{name}", one | {"recycle_from": "top"} | options


def uniform() -> Iterator[tuple[str, Settings]]:
    """The default recipe with as much removed from every layer, which leaves kernels the least to add."""
    for prune in (0.9, 0.95, 0.98):
        common = {"arch": "resnet18", "prune": prune, "seed": 0, "data": "cifar10"}
        yield f"resnet18-{prune:g}-uniform100", common | {"allocation": "uniform"}


def others() -> Iterator[tuple[str, Settings]]:
    """Methods that no other grid has: the hybrid of recycling and IteRand, and binary activations."""
    methods: dict[str, Settings] = {
        "conv6-recycle": {"arch": "conv6"},
        "conv6-hybrid": {"arch": "conv6", "reuse": "hybrid"},
        "conv6-binary-activations": {"arch": "conv6", "activations": "binary"},
        "vgg_small-binary-activations": {"arch": "vgg_small", "activations": "binary"},
    }
    for name, one in methods.items():
        yield f"{name}-0.9", {"prune": 0.9, "seed": 0, "data": "cifar10", "recycle_from": "top"} | one


GRIDS: Mapping[str, Grid] = {
    "confound": confound,
    "reproduction": reproduction,
    "explained": explained,
    "explained-again": explained_again,
    "recycling": recycling,
    "conv-reuse": conv_reuse,
    "conv-reuse-short": conv_reuse_short,
    "net-reuse": net_reuse,
    "vgg-reuse-short": vgg_reuse_short,
    "short": short,
    "beyond": beyond,
    "ablation": ablation,
    "recipe": recipe,
    "layers": layers,
    "rates": rates,
    "long": long,
    "missed": missed,
    "decay": decay,
    "uniform": uniform,
    "others": others,
}
