"""A run folder, a model or weights from a stranger: nothing in them leads elsewhere or is run."""

import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import recycle_pipeline.pipeline
from recycle_pipeline.evaluators.session import open_session
from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.pipeline.lock_holder import Holder
from recycle_pipeline.pipeline.manifest import read_manifest

ROOTS = [Path(recycle_pipeline.pipeline.__file__).parents[1] / name for name in ("models", "exporters")]
ROOTS += [path.with_name(name) for path in ROOTS[:1] for name in ("evaluators", "pipeline")]


@pytest.fixture
def mine(here):
    """A file of the user's, outside of every run folder."""
    (here / "precious").write_text("mine")
    yield here / "precious"
    assert (here / "precious").read_text() == "mine"


@pytest.mark.parametrize("name", ["metrics.jsonl.partial", "metrics.jsonl", "checkpoint.safetensors"])
def test_links_among_a_runs_files_are_replaced_and_not_followed(command, run_copy, same_run, mine, name):
    (run_copy / name).unlink(missing_ok=True)
    (run_copy / name).symlink_to(mine)
    assert command("search", *same_run, "mine", "--force", "search").code == 0
    assert not (run_copy / name).is_symlink()


def test_a_lock_that_is_a_link_is_refused(command, run_copy, mine):
    (run_copy / ".lock").symlink_to(mine)
    outcome = command("pack", "mine")
    assert outcome.code == 1 and "mine/.lock" in outcome.err


@pytest.mark.parametrize(("name", "line", "code"), [("manifest.json", "report", 6), (".lock", "pack", 2)])
def test_named_pipes_are_refused_and_not_waited_for(command, run_copy, name, line, code):
    """`report` waited for ever before."""
    (run_copy / name).unlink(missing_ok=True)
    os.mkfifo(run_copy / name)
    outcome = command(line, "mine")
    assert outcome.code == code and f"mine/{name} is no file" in outcome.err


def test_a_lock_that_is_a_pipe_or_huge_names_no_holder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b" " * (1 << 24) + b"{}")
    assert Holder.read(tmp_path / "pipe") is Holder.read(tmp_path / "huge") is None


@pytest.mark.parametrize("name", ["onnx", "rejected", "tensorboard"])
def test_folders_in_a_run_that_are_links_are_refused_and_nothing_is_written_there(
    command, run_copy, mine, tmp_path, name
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.onnx").write_text("another")
    if (run_copy / name).exists():
        (run_copy / name).rename(tmp_path / "away")
    (run_copy / name).symlink_to(elsewhere)
    outcome = command("export", "mine", "--force")
    assert outcome.code == 2 and f"mine/{name} is a link to {elsewhere}" in outcome.err
    assert os.listdir(elsewhere) == ["model.onnx"] and (elsewhere / "model.onnx").read_text() == "another"


@pytest.mark.parametrize("name", ["../precious", "/etc/hostname", "onnx/../../precious", ".."])
def test_a_manifest_that_names_a_file_outside_is_damaged(command, run_copy, mine, name):
    content = json.loads((run_copy / "manifest.json").read_text())
    content["stages"]["pack"]["outputs"] = {name: "0" * 64}
    (run_copy / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(CorruptArtefact, match="is not a file of the run folder"):
        read_manifest(run_copy / "manifest.json")
    assert command("pack", "mine").code == 6


@pytest.mark.parametrize("forms", [None, 3, [], {}, {"onnx-none": 1}, {"../../precious": 1}])
def test_forms_that_a_manifest_makes_up_are_damage(command, run_copy, forms):
    content = json.loads((run_copy / "manifest.json").read_text())
    content["stages"]["export"]["facts"]["bytes"] = forms
    (run_copy / "manifest.json").write_text(json.dumps(content))
    outcome = command("verify", "mine", "--force")
    assert outcome.code == 6 and "the forms that were exported are" in outcome.err


def test_metrics_that_are_no_text_are_damage(command, run_copy):
    """Found by benchmarks/reader_fuzz.py: a traceback before."""
    (run_copy / "metrics.jsonl").write_bytes(b'{"epoch": "\xff"}\n')
    outcome = command("report", "mine")
    assert outcome.code == 6 and "metrics.jsonl is damaged: it is no text in UTF-8" in outcome.err


def model_with_weights_at(location, path):
    weight = onnx.TensorProto(name="w", dims=[3, 64], data_type=onnx.TensorProto.FLOAT)
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(3 * 64 * 4))):
        weight.external_data.add(key=key, value=value)
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", ["n", 1, 8, 8]), ("logits", ["n", 3]))
    ]
    nodes = [
        onnx.helper.make_node("Flatten", ["images"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "w"], ["logits"], transB=1),
    ]
    graph = onnx.helper.make_graph(nodes, "g", infos[:1], infos[1:], [weight])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret", "SECRET", "link", "sub/../../secret", "inside"])
def test_weights_of_a_model_that_lie_outside_its_folder_are_refused(tmp_path, command, location):
    secret, folder = tmp_path / "secret", tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    secret.write_bytes(np.ones((3, 64), np.float32).tobytes())
    (folder / "inside").write_bytes(secret.read_bytes())
    (folder / "link").symlink_to(secret)
    model_with_weights_at(location.replace("SECRET", str(secret)), folder / "model.onnx")
    if location == "inside":
        assert (
            open_session(folder / "model.onnx", "cpu").predict(np.ones((1, 1, 8, 8), np.float32))[0, 0] == 64
        )
        return
    with pytest.raises(CorruptArtefact, match="External data path"):
        open_session(folder / "model.onnx", "cpu")
    outcome = command("verify", folder / "model.onnx", "--data", "digits")
    assert outcome.code == 6 and "Traceback" not in outcome.err


@pytest.mark.parametrize("part", [b"images", b"greeting", b"hello"])
def test_a_model_whose_names_are_no_text_is_damaged(tmp_path, part):
    """Found by benchmarks/reader_fuzz.py: a traceback before."""
    (tmp_path / "inside").write_bytes(np.ones((3, 64), np.float32).tobytes())
    model_with_weights_at("inside", path := tmp_path / "model.onnx")
    model = onnx.load(str(path), load_external_data=False)
    onnx.helper.set_model_props(model, {"greeting": "hello"})
    content = model.SerializeToString()
    assert part in content
    path.write_bytes(content.replace(part, b"\x80" + part[1:]))
    with pytest.raises(CorruptArtefact):
        open_session(path, "cpu")


def model_that_crashes(path):
    """onnxruntime 1.30 and 1.31 fold a Split of constants, and write to the output that has no name."""
    constants = [
        onnx.numpy_helper.from_array(np.ones(20, np.int8), "packed"),
        onnx.numpy_helper.from_array(np.array([10, 10]), "sizes"),
    ]
    nodes = [
        onnx.helper.make_node("Split", ["packed", "sizes"], ["first", ""], axis=0),
        onnx.helper.make_node("Cast", ["first"], ["bias"], to=1),
        onnx.helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["flat"]),
        onnx.helper.make_node("Add", ["flat", "bias"], ["logits"]),
    ]
    images = onnx.helper.make_tensor_value_info("images", 1, [1, 1, 8, 8])
    logits = onnx.helper.make_tensor_value_info("logits", 1, [1, 10])
    graph = onnx.helper.make_graph(nodes, "g", [images], [logits], constants)
    opset = onnx.helper.make_opsetid("", 18)
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


@pytest.mark.parametrize("name", ["verify", "bench", "gate"])
def test_a_model_that_crashes_onnxruntime_does_not_end_the_command(tmp_path, command, name):
    """Found by benchmarks/reader_fuzz.py: the process ended by signal 11, without a word, before."""
    model_that_crashes(path := tmp_path / "model.onnx")
    arguments = {
        "verify": [path, "--data", "digits"],
        "bench": [path],
        "gate": ["--baseline", path, "--candidate", path],
    }[name]
    outcome = command(name, *arguments)
    if outcome.code == 0:
        pytest.skip("this onnxruntime does not crash on it")
    assert outcome.code == 6
    assert f"{path}: ONNX Runtime crashed on it (SIGSEGV)" in outcome.err


def test_nor_does_one_in_the_run_folder_of_a_stranger(run_copy, command):
    model_that_crashes(path := run_copy / "onnx" / "model.onnx")
    if command("bench", path).code == 0:
        pytest.skip("this onnxruntime does not crash on it")
    outcome = command("verify", "mine")
    assert outcome.code == 6
    assert "model.onnx: ONNX Runtime crashed on it (SIGSEGV)" in outcome.err


def test_nothing_is_unpickled_or_evaluated_but_by_torch_with_weights_only():
    found = {"pickle.load": [], "torch.load": [], "eval": [], "exec": [], "yaml.load": [], "allow_pickle": []}
    patterns = {
        "pickle.load": r"\bpickle\.loads?\(|Unpickler\(",
        "torch.load": r"(?<!safetensors\.)torch\.load\((?!.*weights_only=True)(?!FILE)",
        "eval": r"(?<![\w.])eval\(",
        "exec": r"(?<![\w.])exec\(",
        "yaml.load": r"yaml\.(load|unsafe_load)\(",
        "allow_pickle": r"allow_pickle=True",
    }
    files = [path for root in ROOTS for path in root.rglob("*.py")]
    assert len(files) > 200
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for name, pattern in patterns.items():
                if re.search(pattern, line) and "torch.save(torch.load(FILE" not in line:
                    found[name].append(f"{path.name}:{number}")
    assert not any(found.values()), found
