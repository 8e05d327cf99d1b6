"""Every form of a network's ONNX model, from its dense-equivalent one."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import onnx

from recycle_pipeline.exporters.atomic import replacing
from recycle_pipeline.exporters.kernel.convert import with_float_kernels, with_kernels
from recycle_pipeline.exporters.onnx.compact.convert import compact
from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.compact.packings import ENTRY_PRICE
from recycle_pipeline.exporters.onnx.dense import require_finite, require_one_file, versions_of
from recycle_pipeline.exporters.onnx.fp16 import halved, in_versions, require_room
from recycle_pipeline.exporters.onnx.int2 import in_two_bits
from recycle_pipeline.exporters.onnx.int8 import Batch, quantized
from recycle_pipeline.exporters.onnx.names import describe, name_the_rest
from recycle_pipeline.exporters.onnx.needs import NEEDS
from recycle_pipeline.exporters.onnx.operator_at_fault import operator_at_fault
from recycle_pipeline.exporters.onnx.runtime import oldest_for, require_runs_on, versions_for
from recycle_pipeline.exporters.onnx.shrink import Left
from recycle_pipeline.exporters.onnx.sparse import sparse
from recycle_pipeline.models.errors import RecycleError


@dataclass(frozen=True)
class Dense:
    """What forms are made of.

    Attributes:
        model: dense-equivalent, float32, with its metadata.
        drawn: where the signs of its weights were drawn, by their names.
        batches: images of the training split as the model takes them.
        target: the oldest onnxruntime that must run its forms, "X.Y"; None for any.
    """

    model: onnx.ModelProto
    drawn: Mapping[str, Drawn]
    batches: Callable[[], Iterable[Batch]]
    target: str | None = None

    @cached_property
    def int8(self) -> onnx.ModelProto:
        return quantized(self.model, self.batches())

    @cached_property
    def compact(self) -> onnx.ModelProto:
        compact(found := _copy(self.model), entry_price=ENTRY_PRICE)
        return found


def drawn_in(whole: onnx.ModelProto, keys: Mapping[str, int], left: Mapping[str, Left]) -> dict[str, Drawn]:
    """Where the signs of a model's weights were drawn.

    Args:
        whole: the model with every weight in the shape and the order in which it was drawn.
        keys: of the streams, by the weight's name in it.
        left: weights of the shrunk model by name, and what they are of those.
    """
    shapes = {item.name: tuple(item.dims) for item in whole.graph.initializer}
    found = {name: Drawn(key, shapes[name]) for name, key in keys.items() if name in shapes}
    return found | {
        name: dataclasses.replace(found[part.name], rows=part.rows, columns=part.columns)
        for name, part in left.items()
        if part.name in found
    }


def write_form(name: str, dense: Dense, path: Path) -> None:
    """Writes one form, checked and atomically.

    Args:
        name: of the form, as `--export` has it.
        dense: what it is made of; left as it is.
        path: where.

    Raises:
        RecycleError: this network has no such form, it does not run on the target, a weight is not finite, or
            it does not pass ONNX's checker.
        OSError: the file cannot be written.
    """
    require_runs_on(name, dense.target)
    model = BUILDERS[name](dense)
    oldest = oldest_for(name, versions_for(dense.target, name))
    needs = {"needs": NEEDS[name]} if name in NEEDS else {}
    metadata = _say(model, {"form": name, "onnxruntime": f">={oldest}"} | needs | versions_of(model))
    name_the_rest(model.graph)
    describe(model.graph, name, metadata)
    require_one_file(model)
    require_finite(model)
    # The full check infers types, and knows no operator that takes sparse weights: `onnx`, whose graph it is
    # but for these, passes it.
    check = partial(onnx.checker.check_model, full_check=not model.graph.sparse_initializer)
    try:
        check(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        where = operator_at_fault(model, check)
        raise RecycleError(f"{name} does not pass ONNX's checker{where}: {error}") from error
    with replacing(path) as temporary:
        onnx.save(model, str(temporary))


def _dense(dense: Dense) -> onnx.ModelProto:
    return _copy(dense.model)


def _compact(dense: Dense) -> onnx.ModelProto:
    _require_smaller("onnx-compact", dense.compact, "onnx", dense.model)
    return _copy(dense.compact)


def _seed(dense: Dense) -> onnx.ModelProto:
    ways = compact(found := _copy(dense.model), dense.drawn)
    if not any(packed.way.startswith("seed") for packed in ways):
        raise RecycleError(
            "onnx-seed: no weight takes fewer bytes with its signs drawn than with them packed; choose "
            "another --export, such as onnx-compact"
        )
    _require_smaller("onnx-seed", found, "onnx-compact", dense.compact)
    return found


def _int8(dense: Dense) -> onnx.ModelProto:
    return _copy(dense.int8)


def _kernel(dense: Dense) -> onnx.ModelProto:
    return with_kernels(dense.int8)


def _kernel_fp32(dense: Dense) -> onnx.ModelProto:
    return with_float_kernels(dense.model)


def _compact_int8(dense: Dense) -> onnx.ModelProto:
    compact(found := _copy(dense.int8))
    _require_smaller("onnx-compact-int8", found, "onnx-int8", dense.int8)
    return found


def _require_smaller(name: str, found: onnx.ModelProto, other: str, beside: onnx.ModelProto) -> None:
    """Refuses a form that is no smaller than the one that it takes the place of.

    Raises:
        RecycleError: it is one; says the bytes of both.
    """
    size, its = found.ByteSize(), beside.ByteSize()
    if size >= its:
        raise RecycleError(
            f"{name}: takes {size:,} bytes of this network and {other} {its:,}; choose another --export, "
            f"such as {other}"
        )


def _fp16(dense: Dense) -> onnx.ModelProto:
    require_room(dense.model, dense.batches())
    return in_versions(halved(dense.model), versions_for(dense.target, "onnx-fp16"))


def _sparse(dense: Dense) -> onnx.ModelProto:
    if not sparse(found := _copy(dense.model)):
        raise RecycleError("onnx-sparse: no weight has more than two thirds zeros; choose another --export")
    return found


def _int2(dense: Dense) -> onnx.ModelProto:
    return in_two_bits(dense.model)[0]


BUILDERS: Mapping[str, Callable[[Dense], onnx.ModelProto]] = {
    "onnx": _dense,
    "onnx-compact": _compact,
    "onnx-seed": _seed,
    "onnx-int8": _int8,
    "onnx-kernel": _kernel,
    "onnx-kernel-fp32": _kernel_fp32,
    "onnx-compact-int8": _compact_int8,
    "onnx-fp16": _fp16,
    "onnx-sparse": _sparse,
    "onnx-int2": _int2,
}


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    found = onnx.ModelProto()
    found.CopyFrom(model)
    return found


def _say(model: onnx.ModelProto, said: Mapping[str, str]) -> dict[str, str]:
    """Sets these entries of its metadata; the others stay. Returns all."""
    metadata = {entry.key: entry.value for entry in model.metadata_props} | dict(said)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    return metadata
