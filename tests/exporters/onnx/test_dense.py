"""The dense form: one ONNX file that onnxruntime runs as torch does, for the registered architectures."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import recycle_pipeline.exporters.onnx.dense as dense
from recycle_pipeline.exporters.onnx.dense import InputSpec, export_dense
from recycle_pipeline.exporters.onnx.sparse import sparse
from recycle_pipeline.models.errors import RecycleError
from recycle_pipeline.models.fold import fold_batch_norm
from recycle_pipeline.models.registry import ARCHITECTURES, build

# Sums of up to 4,608 float32 products in another order; logits are of order 1, or 100 in deep networks,
# whose blocks add up.
TOLERANCE = 1e-4

BETWEEN = ("resnet34", "resnet32", "resnet44", "resnet56")  # the blocks of others, at another depth
# arch, px, channels: digits where the pools allow it, and the 7x7 stem for images above 64 px.
CASES = [(arch, 16 if arch == "conv8" else 8, 1) for arch in ARCHITECTURES if arch not in BETWEEN]
CASES += [("resnet18", 96, 3)]


class Exported:
    """One architecture, exported once for all the tests of this file."""

    def __init__(self, arch: str, size: int, channels: int, pruned, folder: Path) -> None:
        torch.manual_seed(0)
        self.shape = (channels, size, size)
        self.network = pruned(build(arch, classes=10, channels=channels, image_size=size), self.shape)
        self.spec = InputSpec(channels, size, (0.5,) * channels, (0.25,) * channels, False)
        self.path = folder / "model.onnx"
        export_dense(self.network, self.spec, {"arch": arch}, self.path)


@pytest.fixture(scope="module", params=CASES, ids=[f"{a}-{s}px" for a, s, _ in CASES])
def exported(request, pruned, tmp_path_factory):
    yield (made := Exported(*request.param, pruned, tmp_path_factory.mktemp("onnx")))
    for file in made.path.parent.iterdir():
        file.unlink()  # up to 85 MB each


def test_logits_equal_those_of_torch_at_any_batch_size(exported, session):
    runtime = session(exported.path)
    generator = torch.Generator().manual_seed(9)
    for batch in (1, 5):
        images = torch.randn(batch, *exported.shape, generator=generator)
        with torch.inference_mode():
            expected = exported.network(images).numpy()
        got = runtime.run(["logits"], {"images": images.numpy()})[0]
        assert got.shape == expected.shape == (batch, 10)
        assert got.dtype == np.float32
        largest = np.abs(expected).max()
        assert np.abs(got - expected).max() <= TOLERANCE * max(1, largest / 20)
        assert 0.1 < largest < 500  # else the tolerance would say nothing


def test_exactly_one_file_is_written(exported):
    """Weights are inside: no second file of external data, no temporary."""
    assert os.listdir(exported.path.parent) == ["model.onnx"]
    weights = sum(p.numel() for p in exported.network.parameters())
    assert exported.path.stat().st_size >= 4 * weights


def test_the_model_says_what_it_is(exported):
    model = onnx.load(exported.path)
    assert model.ir_version == 8
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.producer_name == "recycle-pipeline"
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties == {"arch": properties["arch"], "opset": "18", "ir_version": "8"}
    assert _described(model.graph.input) == [("images", onnx.TensorProto.FLOAT, ["batch", *exported.shape])]
    assert _described(model.graph.output) == [("logits", onnx.TensorProto.FLOAT, ["batch", 10])]


def _described(values):
    def dims(value):
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    return [(v.name, v.type.tensor_type.elem_type, dims(v)) for v in values]


# What a local path, a stack trace or a note of the exporter would hold. Long enough not to occur by
# chance among the 85 MB of weights of the largest.
TRACES = [b"site-packages", b"stack_trace", b"pkg.torch.", b'File "', b"/recycle_pipeline/"]
TRACES.append(str(Path(dense.__file__).resolve().parents[2]).encode())  # the repository


def test_no_path_and_no_stack_trace_of_the_machine_is_left(exported):
    content = exported.path.read_bytes()
    assert [trace for trace in TRACES if trace in content] == []


def test_no_batch_norm_is_left_and_every_zero_is(exported):
    """Folded before; and the dense form is the subnetwork's weights, not an approximation of them."""
    model = onnx.load(exported.path)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    weights = {p.data.numpy().tobytes() for p in exported.network.parameters() if p.dim() > 1}
    stored = {i.raw_data for i in model.graph.initializer if len(i.dims) > 1}
    assert stored == weights


# --- one small network from here on --------------------------------------------------------------


def test_metadata_are_read_back_by_the_runtime(small_file, session, metadata):
    runtime = session(small_file)
    assert runtime.get_modelmeta().custom_metadata_map == {**metadata, "opset": "18", "ir_version": "8"}


def test_the_same_network_gives_the_same_bytes_and_nothing_on_stdout(
    small, small_spec, small_file, metadata, tmp_path, capfd
):
    export_dense(small, small_spec(), metadata, tmp_path / "again.onnx")
    assert capfd.readouterr().out == ""
    assert (tmp_path / "again.onnx").read_bytes() == small_file.read_bytes()


@pytest.fixture(scope="module")
def embedded_file(small, small_spec, tmp_path_factory):
    path = tmp_path_factory.mktemp("embedded") / "model.onnx"
    export_dense(small, small_spec(embed=True), {}, path)
    return path


def test_embedded_preprocessing_takes_pixels_and_equals_the_float_path(
    small, small_spec, small_file, embedded_file, run, session
):
    """Every pixel value and a mean and std of its own for each channel, for batches of 1 and 32."""
    spec = small_spec()
    values = np.random.default_rng(3).permutation(np.arange(32 * 48) % 256)
    pixels = values.astype(np.uint8).reshape(32, 3, 4, 4)
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (spec.mean, spec.std))
    normalised = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    assert session(embedded_file).get_inputs()[0].type == "tensor(uint8)"
    for part in (slice(0, 1), slice(0, 32)):
        got = run(embedded_file, pixels[part])
        with torch.inference_mode():
            expected = small(torch.from_numpy(normalised[part])).numpy()
        assert np.abs(got - expected).max() <= TOLERANCE
        assert np.abs(got - run(small_file, normalised[part])).max() <= TOLERANCE
    assert np.abs(expected).max() > 0.1


def test_without_embedding_the_input_is_float(small_file, session):
    assert session(small_file).get_inputs()[0].type == "tensor(float)"


def test_the_network_is_left_as_it_was(small, small_spec):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    images = torch.randn(2, 3, 4, 4)
    expected = small(images)
    dense.to_onnx(small, small_spec(embed=True))
    assert not small.training
    assert small.state_dict().keys() == before.keys()
    assert torch.equal(small(images), expected)


def test_a_network_that_cannot_be_exported_is_an_error_for_people_and_leaves_no_file(
    branching, small_spec, tmp_path, capfd
):
    with pytest.raises(RecycleError, match=r"^torch cannot export this network to ONNX: ") as caught:
        export_dense(branching, small_spec(), {}, tmp_path / "model.onnx")
    assert caught.value.__cause__ is not None
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_nothing_that_the_exporter_prints_of_a_layer_by_itself_is_shown(branching, small_spec, capfd):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), branching).eval()
    with pytest.raises(RecycleError, match=r"at layer '1' \(Branching\): "):
        dense.to_onnx(network, small_spec())
    assert capfd.readouterr() == ("", "")


def test_the_message_of_a_failed_export_is_one_plain_line(branching, small_spec):
    with pytest.raises(RecycleError) as caught:
        dense.to_onnx(branching, small_spec())
    message = str(caught.value)
    assert message.startswith("torch cannot export this network to ONNX: ")
    assert message.isprintable()  # no line break, no escape sequence
    assert "data-dependent" in message


class Bessel(nn.Module):
    """Has no counterpart in ONNX."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(images)


@pytest.mark.parametrize("fault", ("Bessel", "Branching"))
def test_the_message_names_the_layer_that_cannot_be_exported(branching, small_spec, fault):
    layer = Bessel() if fault == "Bessel" else branching
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), layer), nn.Flatten()).eval()
    with pytest.raises(RecycleError, match=rf"^torch cannot export .* at layer '1.1' \({fault}\): "):
        dense.to_onnx(network, small_spec())


@pytest.mark.parametrize("embed", (False, True))
def test_the_layer_is_named_as_its_user_knows_it_though_folding_wrote_it_out(small_spec, embed):
    inner = nn.Sequential(nn.ReLU(), Bessel())
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), inner, nn.Flatten()).eval()
    folded = fold_batch_norm(network, [small_spec().example()])
    assert folded.batch_norms == 1 and "2.1" not in dict(folded.network.named_modules())
    with pytest.raises(RecycleError, match=r"at layer '2.1' \(Bessel\): "):
        dense.to_onnx(folded.network, small_spec(embed=embed), plain=folded.plain)


def test_a_model_too_large_for_one_file_is_refused_before_anything_is_written(
    small, small_spec, tmp_path, monkeypatch
):
    monkeypatch.setattr(dense, "LARGEST_FILE", 100)
    with pytest.raises(
        RecycleError, match=r"take 0.00 GB, and one ONNX file holds 1e-07: expected a smaller"
    ):
        export_dense(small, small_spec(), {}, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_sparse_weights_count_for_one_file_too(ternary_model, monkeypatch):
    model = onnx.ModelProto.FromString(ternary_model.SerializeToString())
    assert sparse(model)
    monkeypatch.setattr(dense, "LARGEST_FILE", sum(len(item.raw_data) for item in model.graph.initializer))
    with pytest.raises(RecycleError, match="expected a smaller network"):
        dense.require_one_file(model)


def test_what_was_there_stays_where_the_export_fails(branching, small_spec, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"old")
    with pytest.raises(RecycleError):
        export_dense(branching, small_spec(), {}, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.onnx"]


def _broken_model():
    """A node of an operator that does not exist."""
    value = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3])
    result = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])
    node = onnx.helper.make_node("Guess", ["images"], ["logits"])
    graph = onnx.helper.make_graph([node], "g", [value], [result])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])


def _misshapen_model():
    """A product of matrices that do not fit: only the full check infers shapes."""
    model = _broken_model()
    model.graph.node[0].op_type = "MatMul"
    model.graph.node[0].input.append("w")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((4, 3), np.float32), "w"))
    return model


@pytest.mark.parametrize("make", [_broken_model, _misshapen_model])
def test_a_model_that_fails_the_checker_is_not_written(make, small, small_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(dense, "to_onnx", lambda network, spec: make())
    with pytest.raises(RecycleError, match="does not pass ONNX's checker"):
        export_dense(small, small_spec(), {}, tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_an_exporter_that_gives_nothing_is_an_error_for_people(small, small_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: None)
    with pytest.raises(RecycleError, match=r"torch\.onnx\.export gave no model"):
        export_dense(small, small_spec(), {}, tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_the_exporters_options_are_as_promised(small, small_spec, monkeypatch):
    """One file and the dynamo exporter, whatever torch's defaults become."""
    asked = {}

    def export(network, arguments, **options):
        asked.update(options)

    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(RecycleError):
        dense.to_onnx(small, small_spec())
    assert (asked["dynamo"], asked["external_data"], asked["opset_version"]) == (True, False, 18)


def test_what_the_exporter_prints_and_warns_of_reaches_nobody(
    small, small_spec, small_file, monkeypatch, capfd
):
    """Standard output is for machines. Warnings are errors in this suite."""

    class Program:
        model_proto = onnx.load(small_file)

    def export(network, arguments, **options):
        print("[torch.onnx] Run decompositions... done")
        warnings.warn("an internal of torch", DeprecationWarning, stacklevel=1)
        return Program

    monkeypatch.setattr(torch.onnx, "export", export)
    assert dense.to_onnx(small, small_spec()) is Program.model_proto
    assert capfd.readouterr().out == ""


class Choosing(torch.nn.Module):
    """Its graph has a graph inside: torch.cond becomes ONNX's If."""

    def forward(self, images):
        flat = images.flatten(1)
        return torch.cond(flat.sum() > 0, lambda x: x * 2, lambda x: x - 1, (flat,))


def test_no_path_is_left_in_a_graph_inside_of_a_node(small_spec, tmp_path):
    export_dense(Choosing().eval(), small_spec(), {}, tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert [trace for trace in [*TRACES, __file__.encode()] if trace in content] == []


@pytest.mark.parametrize("part", ["node", "input", "output", "value_info", "initializer"])
def test_stamp_clears_notes_and_doc_strings_everywhere(small_file, part):
    model = onnx.load(small_file)
    if part == "value_info":
        model.graph.value_info.append(onnx.helper.make_tensor_value_info("conv2d", 1, None))
    target = getattr(model.graph, part)[0]
    target.doc_string = "/home/me/secret.py"
    target.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/secret.py")
    model.graph.metadata_props.add(key="note", value="/home/me/secret.py")
    model.metadata_props.add(key="note", value="/home/me/secret.py")
    model.producer_name = "pytorch"
    dense.stamp(model, {"mine": "yes"})
    assert model.producer_name == "recycle-pipeline"
    assert b"secret" not in model.SerializeToString()
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties == {"mine": "yes", "opset": "18", "ir_version": "8"}


def test_stamp_clears_what_the_exporter_says_of_graph_and_model(small_file):
    model = onnx.load(small_file)
    assert model.producer_version == ""
    model.doc_string = model.graph.doc_string = "/home/me/secret.py"
    dense.stamp(model, {})
    assert b"secret" not in model.SerializeToString()


def test_what_is_logged_afterwards_is_what_was_before(branching, small_spec):
    logging.disable(logging.INFO)
    try:
        with pytest.raises(RecycleError):
            dense.to_onnx(branching, small_spec())
        assert logging.root.manager.disable == logging.INFO
    finally:
        logging.disable(logging.NOTSET)
