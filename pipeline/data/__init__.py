"""Image data sets as uint8, in memory or large in a file: digits, CIFAR, MNIST, Fashion-MNIST, folders.

Importing this package imports numpy and nothing heavier; torchvision and scikit-learn are imported
when a data set of theirs is loaded.
"""

from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.data.registry import KNOWN, load

__all__ = ["KNOWN", "Augmentation", "ImageSet", "load"]
