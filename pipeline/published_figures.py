"""Published accuracies on CIFAR-10, in percent, by network, system and fraction removed.

The Conv and ResNet-18 figures are arrays in the plot scripts of Iterative Weight Recycling's code
(mattgorb/parameter_tiling_and_recycling at 420a2c8). They were never printed with a table, drift between
scripts by up to a point and a half, and do not say whether they are the last epoch or the best on the
test set: indicative, within about a point. The others are what READMEs state, or what third parties
report of a paper.
"""

from collections.abc import Mapping

REMOVED = (0.2, 0.4, 0.5, 0.6, 0.8, 0.9)  # of the columns below

_CONV: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "biprop": {
        "conv2": (64.1, 78.3, 79.56, 79.98, 77.9, 70.1),
        "conv4": (74.71, 85.9, 87.42, 87.2, 85.34, 79.0),
        "conv6": (78.2, 88.9, 89.52, 90.25, 87.5, 82.38),
        "conv8": (76.59, 89.13, 90.35, 90.54, 89.11, 84.84),
    },
    "edge-popup": {
        "conv2": (70.06, 78.6, 79.69, 79.1, 75.15, 64.05),
        "conv4": (77.6, 86.74, 86.67, 86.43, 83.28, 74.42),
        "conv6": (83.0, 89.33, 89.53, 89.1, 85.4, 79.57),
        "conv8": (84.39, 90.15, 90.28, 90.5, 86.9, 83.6),
    },
    "iterand": {
        "conv2": (80.7, 81.3, 81.83, 81.75, 78.04, 68.87),
        "conv4": (88.4, 89.2, 88.37, 87.66, 85.34, 78.88),
        "conv6": (90.58, 91.1, 90.74, 90.0, 86.94, 81.22),
        "conv8": (90.99, 91.55, 91.11, 91.16, 88.42, 84.73),
    },
    "edge-popup + recycle": {
        "conv2": (81.05, 81.6, 81.68, 81.12, 79.06, 70.22),
        "conv4": (88.95, 88.9, 88.5, 88.15, 86.9, 79.78),
        "conv6": (91.1, 91.2, 90.9, 90.4, 88.6, 83.2),
        "conv8": (91.15, 91.5, 91.36, 90.95, 89.87, 86.93),
    },
    "biprop + recycle": {
        "conv2": (80.28, 81.2, 81.36, 81.36, 80.23, 76.9),
        "conv4": (88.05, 88.8, 88.91, 88.64, 87.75, 84.3),
        "conv6": (90.2, 90.8, 90.9, 90.6, 90.0, 85.5),
        "conv8": (90.15, 91.0, 91.6, 91.2, 90.55, 86.4),
    },
}
# Their +-, as in the arrays; of how many runs is unknown.
_SPREAD: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "edge-popup + recycle": {
        "conv2": (0.2, 0.22, 0.9, 0.3, 0.65, 0.66),
        "conv4": (0.26, 0.37, 0.44, 0.44, 0.5, 0.7),
        "conv6": (0.87, 0.76, 0.5, 0.32, 0.33, 0.5),
        "conv8": (0.3, 0.33, 0.36, 0.34, 0.4, 0.22),
    },
    "biprop + recycle": {
        "conv2": (0.33, 0.67, 0.77, 0.34, 0.54, 0.52),
        "conv4": (0.2, 0.2, 0.7, 0.3, 0.7, 0.7),
        "conv6": (0.88, 0.74, 0.55, 0.37, 0.3, 0.35),
        "conv8": (0.2, 0.34, 0.35, 0.2, 0.53, 0.27),
    },
}
_SPARSER: Mapping[tuple[str, str], Mapping[float, float]] = {
    ("biprop", "conv2"): {0.95: 56.6},
    ("biprop", "conv4"): {0.95: 64.83, 0.98: 44.0},
    ("biprop", "conv6"): {0.95: 66.12},
    ("biprop", "conv8"): {0.95: 75.5},
    ("biprop + recycle", "conv2"): {0.95: 65.11},
    ("biprop + recycle", "conv4"): {0.95: 73.5, 0.98: 49.38},
    ("biprop + recycle", "conv6"): {0.95: 72.11},
    ("biprop + recycle", "conv8"): {0.95: 75.5},  # the same as without recycling: perhaps a copy error
    ("iterand", "conv2"): {0.95: 53.5},
    ("iterand", "conv4"): {0.95: 64.72, 0.98: 41.6},
    ("iterand", "conv6"): {0.95: 68.8},
    ("iterand", "conv8"): {0.95: 81.66},
    ("edge-popup", "conv4"): {0.95: 57.61, 0.98: 35.28},
    ("edge-popup", "conv6"): {0.95: 60.63},
}
_RESNET18: Mapping[str, Mapping[float, float]] = {
    "edge-popup": {0.95: 92.5, 0.98: 89.85, 0.99: 81.67},
    "biprop": {0.95: 92.62, 0.98: 89.57, 0.99: 82.6},
    "iterand": {0.95: 86.52, 0.98: 84.2, 0.99: 80.25},
    "biprop + recycle": {0.95: 93.46, 0.98: 90.9, 0.99: 85.3},
}
_RESNET18_SPREAD = {"biprop + recycle": {0.95: 0.7, 0.98: 0.75, 0.99: 0.8}}


def conv_figures(system: str, arch: str) -> dict[float, tuple[float, float | None]]:
    """Fraction removed to (top-1 in percent, its +- or None), in order."""
    spreads = _SPREAD.get(system, {}).get(arch, (None,) * len(REMOVED))
    columns = zip(REMOVED, _CONV[system][arch], spreads, strict=True)
    listed: dict[float, tuple[float, float | None]] = {
        removed: (top1, spread) for removed, top1, spread in columns
    }
    sparser = _SPARSER.get((system, arch), {})
    return listed | {removed: (top1, None) for removed, top1 in sparser.items()}


def resnet18_figures(system: str) -> dict[float, tuple[float, float | None]]:
    """The same for ResNet-18, at 95, 98 and 99 % removed; empty where the system was not plotted."""
    spreads = _RESNET18_SPREAD.get(system, {})
    return {removed: (top1, spreads.get(removed)) for removed, top1 in _RESNET18.get(system, {}).items()}
