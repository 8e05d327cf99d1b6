"""Named presets: every knob of a search as its source set it, with the source's figure and what differs here.

A preset is a base of settings: defaults < preset < file < options. Its name stays in config.toml and in the
manifest, beside the names of the settings that were changed after all. Its figure is that of a kind of
subnetwork: where `FOUND` says that another kind is searched, no figure stands beside the result.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.published_figures import conv_figures, resnet18_figures

Trust = Literal["high", "low"]
Settings = dict[str, Any]
# What is searched for: data, network, what a kept weight is, and how many of each layer are kept (`prune`,
# by which figures are looked up, is the rest of that). A figure is of no other. All else is how it is
# searched for: such a change is named beside the figure, for that is what one compares.
FOUND = ("data", "arch", "width", "activations", "batch_norm", "subnetwork", "scope", "allocation")


@dataclass(frozen=True)
class Figure:
    """A published accuracy.

    Attributes:
        prune: fraction removed.
        top1: fraction of the CIFAR-10 test images.
        trust: high for what a README or abstract states, low for plot arrays and second-hand figures.
        origin: where it stands.
        spread: the +- given with it, a fraction; None if there is none.
    """

    prune: float
    top1: float
    trust: Trust
    origin: str
    spread: float | None = None


@dataclass(frozen=True)
class Preset:
    """A published search.

    Attributes:
        name: on the command line.
        source: of the settings: system, code and version.
        settings: of `RunConfig`, by name.
        expected: figures, by rising fraction removed; may be empty.
        differs: what is knowingly done otherwise here.
    """

    name: str
    source: str
    settings: Mapping[str, Any]
    expected: tuple[Figure, ...]
    differs: tuple[str, ...]

    def expected_at(self, prune: float) -> Figure | None:
        """The figure for a fraction removed, or None where none was published; high trust first."""
        matching = [figure for figure in self.expected if abs(figure.prune - prune) < 1e-9]
        return min(matching, key=lambda figure: figure.trust == "low") if matching else None

    def account(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """For the manifest: name, source, the figure for these settings' prune rate, and what was changed.

        Args:
            settings: resolved, by name.

        Returns:
            Plain values; no figure where something else is searched for (`FOUND`), or none was published.
        """
        changed = [name for name, value in self.settings.items() if settings.get(name) != value]
        same = not set(FOUND) & set(changed)
        figure = self.expected_at(settings["prune"]) if same else None
        return {
            "name": self.name,
            "source": self.source,
            "expected_top1": figure.top1 if figure else None,
            "expected_trust": figure.trust if figure else None,
            "changed": [name for name in changed if name != "prune"],
            "differs": list(self.differs),
        }


def find_preset(name: str) -> Preset:
    """The preset of this name. Raises UsageFault, with the nearest known, if there is none."""
    if name not in PRESETS:
        longer = [known for known in PRESETS if name and known.startswith(name)][:3]
        close = longer or difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {' or '.join(close)}?" if close else "`recycle-pipeline presets` lists them"
        raise UsageFault(f"unknown preset {name!r}; {hint}")
    return PRESETS[name]


# ---- what the sources have in common -----------------------------------------------------------------

IWR = "Iterative Weight Recycling, mattgorb/parameter_tiling_and_recycling at 420a2c8, configs/cifar10"
BIPROP = "Biprop, chrundle/biprop, CIFAR-10 configs"
ITERAND = "IteRand, dchiji-ntt/iterand, CIFAR-10 configs"
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
    "on CUDA the forward pass is bfloat16; the source computes in float32",
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
    return {"reuse": "recycle", "reuse_rate": rate, "reuse_period": period, "recycle_from": "top"}


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
        *_figures({0.8: (94.66, None)}, "README of chrundle/biprop", "high"),
        *_figures(resnet18_figures("biprop"), IWR_PLOTS + "; there 250 epochs of batch 128"),
    ),
    (
        *_GAIN,
        _SCALED,
        *_ALWAYS,
    ),
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
    _figures({0.95: (91.48, None)}, "README of chrundle/biprop", "high"),
    (
        *_GAIN,
        "the source's config has a weight decay of 1e-4, which its Adam never gets",
        "the source's code has this VGG-Small and vgg_small_bn, with all batch norms; its config names this "
        "one, and whether its figure is of this one or the other is not settled (docs/results.md)",
        _SCALED,
        *_ALWAYS,
    ),
)

_ALL = (
    *(preset for arch in ("conv2", "conv4", "conv6", "conv8") for preset in _conv_family(arch)),
    *_RESNETS,
    *_ITERAND_PAPER,
    _BIPROP_VGG_SMALL,
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
