"""Image data sets held in memory as uint8: digits, CIFAR, MNIST, Fashion-MNIST and folders of images.

Importing this package imports numpy and nothing heavier; torchvision and scikit-learn are imported
when a data set of theirs is loaded.
"""

from recycle_pipeline.pipeline.data.image_set import Augmentation, ImageSet
from recycle_pipeline.pipeline.data.registry import KNOWN, load

__all__ = ["KNOWN", "Augmentation", "ImageSet", "load"]
