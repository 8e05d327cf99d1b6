"""From a finished search to the Subnetwork value."""

from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.subnetwork import Subnetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet


def subnetwork_of(masked: MaskedNetwork, images: ImageSet, arch: str) -> Subnetwork:
    """The subnetwork that `masked` holds, with what the data set says about its input and classes."""
    recipe = masked.recipe
    return Subnetwork(
        arch=arch,
        classes=images.classes,
        channels=images.channels,
        image_size=images.image_size,
        mean=images.mean,
        std=images.std,
        seed=recipe.seed,
        kind=recipe.kind,
        prune=recipe.prune,
        scope=recipe.scope,
        tensors=masked.tensors(),
        state=masked.state(),
    )
