"""docs/read_ticket.py, written from FORMAT.md, reads what the library reads: FORMAT.md is complete."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.ticket.reader import load_ticket
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "docs" / "read_ticket.py"
GOLDEN = sorted((ROOT / "tests" / "golden").glob("ticket-*.safetensors"))
WITHOUT = "import sys; sys.modules['torch'] = sys.modules['recycle_pipeline'] = None; "
WITHOUT += "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("read_ticket", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same(script, path):
    found, expected = dict(script.Ticket(path).arrays()), load_ticket(path).arrays()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("path", [p for p in GOLDEN if "-v4-" in p.name], ids=lambda path: path.stem)
def test_it_rebuilds_every_golden_ticket_of_its_version_as_the_library_does(script, path):
    same(script, path)


@pytest.mark.parametrize("path", [p for p in GOLDEN if "-v4-" not in p.name], ids=lambda path: path.stem)
def test_it_refuses_other_versions(script, path):
    with pytest.raises(AssertionError, match="another version"):
        script.Ticket(path)


def test_it_rebuilds_any_part_there_can_be(script, subnetwork, tmp_path):
    write_ticket(subnetwork, tmp_path / "t.safetensors")
    same(script, tmp_path / "t.safetensors")


DENSITIES = [0, 0.001, 0.03, 0.3, 0.7, 1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), density=st.sampled_from(DENSITIES), size=st.integers(1, 9))
def test_it_rebuilds_any_mask(script, tmp_path_factory, seed, density, size):
    rng = np.random.default_rng(seed)
    shapes = (size, 2, 3, 3), (5, size), 4000, (16, 16, 2, size), (256, 1, 3)  # the last two in turn
    masks = [rng.random(shape) < density for shape in shapes]
    tensors = [MaskedTensor(f"l{i}", "kaiming_normal", np.float32(0.1), mask) for i, mask in enumerate(masks)]
    head = ("conv2", ("a",), 1, 8, (0.0,), (1.0,), seed, "continuous", 0.5, "layer")
    path = tmp_path_factory.mktemp("masks") / "t.safetensors"
    write_ticket(Subnetwork(*head, tensors=tuple(tensors)), path)
    same(script, path)


def test_it_needs_numpy_and_safetensors_alone_and_fits_175_lines(tmp_path):
    path, output = next(p for p in GOLDEN if "-v4-" in p.name), tmp_path / "out.safetensors"
    subprocess.run([sys.executable, "-c", WITHOUT, SCRIPT, path, output], check=True, timeout=120)
    found, expected = safetensors.numpy.load_file(output), load_ticket(path).arrays()
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 175
