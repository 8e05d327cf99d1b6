"""One call of a model, to be timed: what is inside the time, and what is not."""

from collections.abc import Callable
from typing import Any

import numpy as np

from recycle_pipeline.evaluators.arrays import Array
from recycle_pipeline.evaluators.onnx_model import OnnxModel
from recycle_pipeline.evaluators.setting import Transfers
from recycle_pipeline.models.errors import UsageFault

MEMORY = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}  # by provider


def random_images(model: OnnxModel, batch: int, seed: int = 0) -> Array:
    """Images as a model takes them: standard normal, or any value of an integer type.

    Raises:
        UsageFault: a batch size that the model does not take, or other dimensions that its file leaves open.
    """
    fixed, *rest = model.input_shape
    if batch < 1 or fixed not in (None, batch):
        raise UsageFault(
            f"a batch of {batch} was asked for, and {model.path} takes {fixed or 'any number of'} images."
        )
    if None in rest:
        raise UsageFault(
            f"{model.path} leaves its input's shape open beyond the batch: {model.input_shape}; export it "
            "with fixed sizes to time it."
        )
    generator, shape = np.random.default_rng(seed), (batch, *(int(size or 1) for size in rest))
    if np.issubdtype(model.input_dtype, np.integer):
        limits = np.iinfo(model.input_dtype)
        return generator.integers(limits.min, limits.max, shape, model.input_dtype, endpoint=True)
    return generator.standard_normal(shape).astype(model.input_dtype)


def call_of(model: OnnxModel, images: Array, transfers: Transfers = "included") -> Callable[[], object]:
    """A call that has computed all logits when it returns.

    Args:
        model: open.
        images: as it takes them.
        transfers: whether copies between host and device are part of the call. Where they are not, input and
            output are bound to the device's memory once, and each call waits for the device.
    """
    if transfers == "included":
        model.predict(images)  # refuses what does not fit; its checks are no part of the time
        run_session, names, feed = model.session.run, [model.output_name], {model.input_name: images}
        return lambda: run_session(names, feed)
    binding = _bound(model, images)

    def run() -> None:
        model.session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def _bound(model: OnnxModel, images: Array) -> Any:
    import onnxruntime as ort

    device = _memory_of(model)
    binding = model.session.io_binding()
    binding.bind_ortvalue_input(model.input_name, ort.OrtValue.ortvalue_from_numpy(images, device, 0))
    binding.bind_output(model.output_name, device, 0)
    binding.synchronize_inputs()
    return binding


def _memory_of(model: OnnxModel) -> str:
    """Where a provider's tensors lie, as `OrtValue` names it."""
    name = model.provider.partition(":")[0]
    if name not in MEMORY:
        raise UsageFault(
            f"transfers excluded were asked for; where the tensors of provider {name!r} lie is not known, "
            f"expected one of {', '.join(MEMORY)}. Time it with transfers included."
        )
    return MEMORY[name]
