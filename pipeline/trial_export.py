"""Whether a user's own architecture can be exported: tried before a search that may take hours."""

from recycle_pipeline.models.registry import build, is_custom
from recycle_pipeline.pipeline.processes import ranks_here
from recycle_pipeline.pipeline.runner import Plan
from recycle_pipeline.pipeline.stages.stage import Context


def require_exportable(plan: Plan) -> None:
    """Exports a custom architecture of a plan that searches and exports, as it is built; keeps nothing of it.

    Takes an export, a few seconds. Where several processes search together, or the search is done, the
    export itself says what is wrong.

    Args:
        plan: whose data are loaded for it.

    Raises:
        UsageFault: the network cannot be built or masked, or the data cannot be loaded.
        RecycleError: it cannot be exported; names the layer where one by itself cannot be exported either.
    """
    context = plan.context
    if not is_custom(context.config.arch) or not {"search", "export"} <= set(plan.stages):
        return
    if ranks_here().size == 1 and not context.folder.searched.is_file():
        _export(context)


def _export(context: Context) -> None:
    import torch

    from recycle_pipeline.exporters.onnx.dense import InputSpec, require_one_file, to_onnx
    from recycle_pipeline.exporters.onnx.runtime import versions_for
    from recycle_pipeline.models.fold import fold_batch_norm
    from recycle_pipeline.models.maskable import check_network

    config, images = context.config, context.searched_images
    classes, channels, side = len(images.classes), images.channels, images.image_size
    network = build(
        config.arch,
        classes=classes,
        channels=channels,
        image_size=side,
        import_custom=context.import_custom,
    )
    check_network(network, classes, channels, side)
    spec = InputSpec(channels, side, images.mean, images.std, config.embed_preprocessing)
    generator = torch.Generator().manual_seed(0)
    folded = fold_batch_norm(network.eval(), [torch.randn(2, channels, side, side, generator=generator)])
    require_one_file(to_onnx(folded.network, spec, versions_for(config.ort_target), folded.plain))
