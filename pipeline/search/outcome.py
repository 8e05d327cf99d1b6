"""From a finished search to the Subnetwork value."""

from collections.abc import Mapping

from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.masked_network import MaskedNetwork
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions
from recycle_pipeline.models.subnetwork import MaskedTensor, Scalar, Subnetwork
from recycle_pipeline.pipeline.data.image_set import ImageSet


def subnetwork_of(
    masked: MaskedNetwork,
    images: ImageSet,
    arch: str,
    settings: Mapping[str, Scalar] | None = None,
    options: ArchOptions = DEFAULT_OPTIONS,
) -> Subnetwork:
    """The subnetwork that `masked` holds, with what the data set says about its input and classes.

    Args:
        masked: after the search.
        images: the data it was searched on.
        arch: its name.
        settings: of the search, for the ticket's recipe.
        options: of the architecture.

    Raises:
        RecycleError: the masks do not keep what the prune rate says.
    """
    recipe = masked.recipe
    tensors = masked.tensors()
    _check_counts(tensors, masked)
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
        recipe=settings or {},
        scope=recipe.scope,
        tensors=tensors,
        state=masked.state(),
        options=options,
    )


def _check_counts(tensors: tuple[MaskedTensor, ...], masked: MaskedNetwork) -> None:
    recipe = masked.recipe
    if recipe.scope == "global":
        pairs = [(sum(t.kept for t in tensors), recipe.kept(sum(t.size for t in tensors)))]
    else:
        pairs = [
            (t.kept, masked.kept(layer, recipe.prune))
            for t, layer in zip(tensors, masked.layers, strict=True)
        ]
    for kept, wanted in pairs:
        if kept != wanted:
            raise RecycleError(
                f"the search kept {kept} weights where {recipe.prune:g} removed leaves {wanted}; "
                "this is a bug, please report it with the command"
            )
