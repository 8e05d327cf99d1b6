"""A whole run on a folder that is too large for memory, as far as the run can tell."""

import json

import pytest

from recycle_pipeline.pipeline.data import folder


@pytest.fixture
def photos(write_photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RECYCLE_PIPELINE_CACHE", str(tmp_path / "cache"))
    return write_photos()


def test_ticket_models_and_verdict_are_those_of_a_folder_in_memory(photos, here, command, monkeypatch):
    options = ("--data", f"folder:{photos}", "--arch", "conv2", "--epochs", "2", "--device", "cpu")
    options += ("--export", "onnx,onnx-int8")
    for name, limit in (("resident", folder.STREAM_ABOVE), ("streamed", 0)):
        monkeypatch.setattr(folder, "STREAM_ABOVE", limit)
        done = command("run", *options, "--output-dir", name)
        assert done.code == 0, done.err
        assert ("decodes 60 images to 8x8 pixels, once" in done.out + done.err) == (limit == 0)
    for file in ("ticket.safetensors", "onnx/model.onnx", "onnx/model-int8.onnx"):
        one, other = ((here / name / file).read_bytes() for name in ("resident", "streamed"))
        assert one == other, file
    reports = [json.loads((here / name / "verify.json").read_text()) for name in ("resident", "streamed")]
    assert reports[0]["accuracy"] == reports[1]["accuracy"] and reports[0]["parity"] == reports[1]["parity"]


def test_an_interrupted_decoding_leaves_130_and_no_part_of_a_file(
    photos, here, command, monkeypatch, tmp_path
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "STREAM_ABOVE", 0)
    monkeypatch.setattr("recycle_pipeline.pipeline.data.pixel_cache.decode_into", interrupt)
    done = command("run", "--data", f"folder:{photos}", "--arch", "conv2", "--output-dir", "mine")
    assert done.code == 130
    assert not (here / "mine").exists()
    assert [path.suffix for path in (tmp_path / "cache" / "images").iterdir()] == [".lock"]
