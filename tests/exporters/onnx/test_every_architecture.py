"""Every form of every architecture, and of one of a user's own: written, read, right."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from recycle_pipeline.exporters.onnx.compact.drawn import Drawn
from recycle_pipeline.exporters.onnx.dense import InputSpec, stamp, to_onnx
from recycle_pipeline.exporters.onnx.forms import BUILDERS, Dense, drawn_in, write_form
from recycle_pipeline.exporters.onnx.shrink import shrink
from recycle_pipeline.models.draws import signs_at, stream_key
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.kernel_library import find_library, library_path
from recycle_pipeline.models.options import ArchOptions
from recycle_pipeline.models.registry import ARCHITECTURES, build

DOCS = Path(__file__).parents[3] / "docs" / "onnx-forms.md"
SIDE = 16
# The deeper ones of its kind are resnet20 with more of the same blocks.
NAMES = [name for name in ARCHITECTURES if name not in ("resnet32", "resnet44", "resnet56", "resnet110")]
# How far logits may be from those of `onnx`, over the largest.
ROUNDED = {"onnx-int8": 0.3, "onnx-compact-int8": 0.3, "onnx-kernel": 0.3}
ROUNDED |= {"onnx-fp16": 0.02, "onnx-int2": 1e-4, "onnx-kernel-fp32": 1e-5}


class Own(nn.Module):
    """A user's: a strided and a grouped convolution, a 1 x 1 one, a shortcut, pooling, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=4, bias=False)
        self.point = nn.Conv2d(16, 32, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(32 * SIDE // 4 * SIDE // 4, 60, bias=False)
        self.head = nn.Linear(60, 10, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.norm(self.first(images)))
        both = torch.relu(self.grouped(first) + self.point(first))
        return self.head(torch.relu(self.hidden(self.pool(both).flatten(1))))


def network_of(name):
    if name == "own":
        return Own().eval()
    options = ArchOptions(width=0.25)
    return build(name, classes=10, channels=3, image_size=SIDE, options=options).eval()


@torch.no_grad()
def ternary(network):
    """A network of drawn signs, a fifth of them kept, folded; and the key of each stream."""
    keys, generator = {}, torch.Generator().manual_seed(0)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            key = keys[f"{name}.weight"] = stream_key(0, name)
            weight = module.weight
            signs = np.where(signs_at(key, np.arange(weight.numel())), -1.0, 1.0).reshape(weight.shape)
            kept = torch.rand(weight.shape, generator=generator) < 0.2
            kept[0] = False  # a dead filter, to be removed
            weight.copy_(torch.from_numpy(signs) * kept * (2 / (0.2 * weight[0].numel())) ** 0.5)
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(1.0, 2.0, generator=generator)
    folded = fold_batch_norm(network, [torch.randn(4, 3, SIDE, SIDE, generator=generator)])
    return folded.network, keys


def logits(path, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if "kernel" in path.stem:
        options.register_custom_ops_library(str(library_path()))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def operators(path, folder):
    """How many of each kind onnxruntime runs of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


@pytest.mark.parametrize("name", [*NAMES, "own"])
def test_every_form_of_every_architecture_says_what_onnx_says(name, tmp_path):
    torch.manual_seed(0)
    network, keys = ternary(network_of(name))
    whole = to_onnx(network, InputSpec(3, SIDE, (0.5,) * 3, (0.25,) * 3, False))
    stamp(whole, {"arch": name})
    images = np.random.default_rng(0).standard_normal((16, 3, SIDE, SIDE)).astype(np.float32)
    shrunk = shrink(whole, merge=False)
    source = Dense(shrunk.model, drawn_in(whole, keys, shrunk.left), lambda: [images])
    expected, integers = None, {}
    for form in BUILDERS:
        if "kernel" in form and not find_library():
            continue  # no compiler here
        path = tmp_path / f"{form}.onnx"
        try:
            write_form(form, source, path)
        except RecycleError as error:  # of a small network
            assert form == "onnx-seed" and "choose another --export, such as onnx-compact" in str(error)
            continue
        got = logits(path, images)
        expected = got if expected is None else expected
        integers |= {form: got} if form in ("onnx-int8", "onnx-kernel") else {}
        largest = np.abs(expected).max()
        assert largest > 0 and np.isfinite(got).all()
        assert np.abs(got - expected).max() <= ROUNDED.get(form, 0.0) * largest, form
    assert np.array_equal(integers.get("onnx-kernel", integers["onnx-int8"]), integers["onnx-int8"])
    convolutions = sum(node.op_type == "Conv" for node in onnx.load(tmp_path / "onnx.onnx").graph.node)
    for form in ("onnx-int8", "onnx-compact-int8"):
        if (tmp_path / f"{form}.onnx").exists():
            fused = operators(tmp_path / f"{form}.onnx", tmp_path)
            assert fused["QLinearConv"] == convolutions and not fused["Conv"], (form, fused)
            assert not fused["Gemm"] + fused["MatMul"] + fused["ScatterElements"], (form, fused)
    if "onnx-kernel" in integers and name.startswith(("conv", "vgg_small_bn")):
        left = {node.op_type for node in onnx.load(tmp_path / "onnx-kernel.onnx").graph.node}
        assert left == {"QuantizeLinear", "TernaryNetwork", "Flatten", "DequantizeLinear"}
    with torch.inference_mode():
        reference = network(torch.from_numpy(images)).numpy()
    assert np.abs(expected - reference).max() < 1e-4 * max(1.0, np.abs(reference).max())


def test_every_node_and_weight_of_a_packed_graph_can_be_told_apart(ternary_model, tmp_path):
    """What people see in a viewer: names of tensors, each given once, what each unpacked weight is, and no
    operators but ONNX's own that the documents name."""
    model, keys = onnx.ModelProto.FromString(ternary_model.SerializeToString()), {}
    for item in model.graph.initializer:
        weight = np.abs(onnx.numpy_helper.to_array(item))
        if weight.size > 30_000:  # with the signs of a stream
            signs = np.where(signs_at(1, np.arange(weight.size)), -1, 1).reshape(weight.shape)
            item.CopyFrom(onnx.numpy_helper.from_array((weight * signs).astype(np.float32), item.name))
            keys[item.name] = Drawn(1, weight.shape)
    said = set(
        re.findall(r"\w+", DOCS.read_text("utf-8").partition("unpacking is ")[2].partition("; opset")[0])
    )
    for form in ("onnx-compact", "onnx-seed"):
        write_form(form, Dense(model, keys, list), tmp_path / "model.onnx")
        graph = onnx.load(tmp_path / "model.onnx").graph
        given = [name for node in graph.node for name in node.output] + [i.name for i in graph.initializer]
        assert len(given) == len(set(given)) and all(given)
        unpacked = [node for node in graph.node if node.name.startswith("unpack ")]
        read = {name for node in graph.node if node.op_type in ("Conv", "Gemm") for name in node.input}
        assert {node.output[0] for node in unpacked} <= read
        for node in unpacked:
            assert node.name == f"unpack {node.output[0]}"
            assert "weights kept, as " in node.doc_string
        operators = {node.op_type for node in graph.node} - {
            node.op_type for node in ternary_model.graph.node
        }
        assert operators <= said and {node.domain for node in graph.node} == {""}
