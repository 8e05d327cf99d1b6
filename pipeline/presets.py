"""Named presets: every knob of a search as its source set it, with its figure and what differs here."""

import difflib
from collections.abc import Mapping

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.preset import Figure, Preset, Settings, Trust
from recycle_pipeline.pipeline.published_figures import conv_figures, resnet18_figures

# ---- what the sources have in common -----------------------------------------------------------------

IWR = "Iterative Weight Recycling, mattgorb/parameter_tiling_and_recycling at 420a2c8, configs/cifar10"
BIPROP = "Biprop, chrundle/biprop, CIFAR-10 configs"
ITERAND = "IteRand, dchiji-ntt/iterand, CIFAR-10 configs"
BIPROP_README = "README of chrundle/biprop"
IWR_PLOTS = "array in the plot scripts of weight recycling's code, +-1 point"

EDGE_POPUP: Settings = {"subnetwork": "continuous", "init": "signed_constant", "scale_fan": "none"}
BIPROP_SCALED: Settings = {"subnetwork": "binary", "init": "kaiming_normal", "scale_fan": "published"}
BIPROP_UNSCALED: Settings = BIPROP_SCALED | {"scale_fan": "none"}
NO_REUSE: Settings = {"reuse": "none"}

# hidden-networks and its descendants: SGD, cosine per epoch, magnitude scores, layers ranked alone.
_LINEAGE: Settings = {
    "data": "cifar10",
    "width": 1.0,
    "activations": "relu",
    "batch_norm": "fixed",
    "hold_out": 0,
    "cutout": 0,
    "scope": "layer",
    "allocation": "uniform",
    "recycle_from": "top",
    "scores": "magnitude",
    "rounding": "edge-popup",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "schedule": "cosine-epoch",
    "warmup": 0.0,
    "label_smoothing": 0.0,
}
_IWR: Settings = _LINEAGE | {"epochs": 250, "batch_size": 128}
_CONV: Settings = {"weight_decay": 1e-4}
_RESNET: Settings = {"arch": "resnet18", "weight_decay": 5e-4}

_ALWAYS = (
    "draws: our counter generator, with a stream of its own for each layer",
    "kept is the last epoch; the source also keeps the epoch that is best on the test set",
    "on CUDA the forward pass is bfloat16 unless --precision says otherwise; the source computes in float32",
)
_GAIN = ("the gain divides by the mask's true count; the source by int(k * n), at most 1 less",)
_SCALED = (
    "whether the source's figure is of its scaled or its unscaled Kaiming normal is not said; scaled here"
)
_ITERAND = (
    "events do not seed the augmentation anew; in the source they do",
    "this is the source's own version (magnitudes of scores, an event after each epoch); whether its figures "
    "are of that or of IteRand's code (signed scores, an event every 300 steps) is not certain",
)


def _recycle(rate: float, period: int) -> Settings:
    return {"reuse": "recycle", "reuse_rate": rate, "reuse_period": period}


def _figures(
    values: Mapping[float, tuple[float, float | None]], origin: str, trust: Trust = "low"
) -> tuple[Figure, ...]:
    """From percent."""
    return tuple(
        Figure(prune, round(top1 / 100, 6), trust, origin, None if spread is None else round(spread / 100, 6))
        for prune, (top1, spread) in sorted(values.items())
    )


# ---- Conv2 to Conv8, as compared by weight recycling at 250 epochs --------------------------------------


def _conv(family: str, arch: str, system: str, method: Settings, *differs: str) -> Preset:
    """One row of the comparison; `family` has a {} for the arch's name."""
    settings = {"arch": arch, "prune": 0.9} | method | _IWR | _CONV
    figures = _figures(conv_figures(system, arch), IWR_PLOTS)
    return Preset(family.format(arch), IWR, settings, figures, (*differs, *_ALWAYS))


def _conv_family(arch: str) -> tuple[Preset, ...]:
    # Conv6 had 0.1 every 3 until 2022-05-18; which of the two its figures are from is unknown.
    recycled = _recycle(0.2, 10) if arch == "conv6" else _recycle(0.1, 3)
    redrawn: Settings = {"reuse": "rerandomize", "reuse_rate": 0.1, "reuse_period": 1}
    unsure = ("the source had rate 0.1 every 3 epochs until 2022-05-18; its figure may be from then",)
    return (
        _conv("edge-popup-{}", arch, "edge-popup", EDGE_POPUP | NO_REUSE),
        _conv(
            "iwr-{}-edge-popup",
            arch,
            "edge-popup + recycle",
            EDGE_POPUP | recycled,
            *(unsure if arch == "conv6" else ()),
        ),
        _conv("biprop-{}", arch, "biprop", BIPROP_SCALED | NO_REUSE, *_GAIN),
        _conv("iwr-{}-biprop", arch, "biprop + recycle", BIPROP_UNSCALED | _recycle(0.2, 10), *_GAIN),
        _conv("iterand-{}", arch, "iterand", EDGE_POPUP | redrawn, *_ITERAND),
    )


# ---- ResNet-18 ------------------------------------------------------------------------------------------


def _resnet(name: str, system: str, method: Settings, *differs: str, epochs: int = 250) -> Preset:
    """ResNet-18 as compared by weight recycling."""
    settings = {"prune": 0.95} | method | _IWR | _RESNET | {"epochs": epochs}
    return Preset(name, IWR, settings, _figures(resnet18_figures(system), IWR_PLOTS), (*differs, *_ALWAYS))


_BIPROP_RESNET18 = Preset(
    "biprop-resnet18",
    BIPROP,
    {"prune": 0.8} | BIPROP_SCALED | NO_REUSE | _LINEAGE | _RESNET | {"epochs": 100, "batch_size": 256},
    (
        *_figures({0.8: (94.66, None)}, BIPROP_README, "high"),
        *_figures(resnet18_figures("biprop"), IWR_PLOTS + "; there 250 epochs of batch 128"),
    ),
    (
        *_GAIN,
        _SCALED,
        *_ALWAYS,
    ),
)
_BIPROP_RESNET18_BN = Preset(
    "biprop-resnet18-bn",
    BIPROP,
    {**_BIPROP_RESNET18.settings, "batch_norm": "learned"},
    _figures({0.8: (94.8, None)}, BIPROP_README, "high"),
    _BIPROP_RESNET18.differs,
)
_RESNETS = (
    _resnet("edge-popup-resnet18", "edge-popup", EDGE_POPUP | NO_REUSE),
    _resnet(
        "iwr-resnet18-edge-popup",
        "edge-popup + recycle",
        EDGE_POPUP | _recycle(0.2, 10),
        "no figure of this one was published at 95 % and more",
    ),
    _BIPROP_RESNET18,
    _BIPROP_RESNET18_BN,
    _resnet(
        "iwr-resnet18-biprop",
        "biprop + recycle",
        BIPROP_UNSCALED | _recycle(0.2, 10),
        *_GAIN,
        "the source tried periods from 1 to 20, rates 0.1 and 0.2, and 120 to 250 epochs; this is its last",
        epochs=200,
    ),
    _resnet(
        "iterand-resnet18",
        "iterand",
        EDGE_POPUP | {"reuse": "rerandomize", "reuse_rate": 0.1, "reuse_period": 1},
        *_ITERAND,
    ),
)


# ---- IteRand's own code, and Biprop's VGG-Small ---------------------------------------------------------


def _iterand_paper(arch: str, prune: float, rate: float, decay: float, top1: float, origin: str) -> Preset:
    settings: Settings = {
        "arch": arch,
        "prune": prune,
        **EDGE_POPUP,
        **_LINEAGE,
        "scores": "signed",
        "rounding": "iterand",
        "learning_rate": rate,
        "weight_decay": decay,
        "epochs": 100,
        "batch_size": 128,
        "reuse": "rerandomize",
        "reuse_rate": 0.1,
        "reuse_period_steps": 300,
    }
    differs = (
        "trains on all 50,000 images, 391 steps an epoch; the source on 45,000, 352 steps, 117 events in all "
        "(as --hold-out 5000 would)",
        "crops after padding by 4; the source then crops and resizes at random too (RandomResizedCrop)",
        "normalised by CIFAR-10's mean and deviation; the source by ImageNet's",
        "signed constants; the source also has Kaiming uniform and its figure does not say which",
        "whether the source's cosine falls per step or per epoch is not known to us; per epoch here",
        _ALWAYS[0],
        _ALWAYS[2],
    )
    figures = _figures({prune: (top1, None)}, origin)
    return Preset(f"iterand-paper-{arch}", ITERAND, settings, figures, differs)


_ITERAND_PAPER = (
    _iterand_paper("conv6", 0.5, 0.3, 1e-4, 88.8, "a third party's survey of the paper"),
    _iterand_paper(
        "resnet18", 0.6, 0.1, 5e-4, 92.61, "a third party's survey of the paper, sparsity not given"
    ),
)
_BIPROP_VGG_SMALL = Preset(
    "biprop-vgg-small",
    BIPROP,
    {"arch": "vgg_small", "prune": 0.95}
    | BIPROP_SCALED
    | NO_REUSE
    | _LINEAGE
    | {"optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0.0, "epochs": 100, "batch_size": 128},
    _figures({0.95: (91.48, None)}, BIPROP_README, "high"),
    (
        *_GAIN,
        "the source's config has a weight decay of 1e-4, which its Adam never gets",
        "the source's code has this VGG-Small and vgg_small_bn, with all batch norms; its config names this "
        "one, and whether its figure is of this one or the other is not settled (docs/results.md)",
        _SCALED,
        *_ALWAYS,
    ),
)


def _binary_vgg(name: str, batch_norm: str, rate: float, top1: float) -> Preset:
    """VGG-Small of width 1.25 with binary activations (MPT-1/1)."""
    wide = {"width": 1.25, "activations": "binary", "batch_norm": batch_norm, "prune": 0.75}
    wide |= {"learning_rate": rate}
    differs = (
        "the source says 1.44 million weights beside 75 % removed, which is 80 % of this network",
        f"the source has configs of it with Adam at 0.1 and at 0.0002; here {rate:g} (docs/results.md)",
        *_BIPROP_VGG_SMALL.differs,
    )
    figures = _figures({0.75: (top1, None)}, BIPROP_README, "high")
    return Preset(name, BIPROP, {**_BIPROP_VGG_SMALL.settings, **wide}, figures, differs)


_BINARY_VGGS = (
    _binary_vgg("biprop-vgg-small-binary-activations", "fixed", 0.1, 89.11),
    _binary_vgg("biprop-vgg-small-binary-activations-bn", "learned", 0.0002, 91.9),
)

_ALL = (
    *(preset for arch in ("conv2", "conv4", "conv6", "conv8") for preset in _conv_family(arch)),
    *_RESNETS,
    *_ITERAND_PAPER,
    _BIPROP_VGG_SMALL,
    *_BINARY_VGGS,
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def find_preset(name: str) -> Preset:
    """The preset of this name. Raises UsageFault, with the nearest known, if there is none."""
    if name not in PRESETS:
        longer = [known for known in PRESETS if name and known.startswith(name)][:3]
        close = longer or difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {' or '.join(close)}?" if close else "`recycle-pipeline presets` lists them"
        raise UsageFault(f"unknown preset {name!r}; {hint}")
    return PRESETS[name]
