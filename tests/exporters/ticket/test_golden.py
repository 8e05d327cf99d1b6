"""Tickets that past versions wrote are read for ever, to the same bits.

The files in tests/golden are never regenerated: where one of these tests fails, the reader or the
draws have changed, and every ticket in the hands of users is broken.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recycle_pipeline.exporters.ticket.digests import check_digests
from recycle_pipeline.exporters.ticket.reader import load_ticket, stored_digests
from recycle_pipeline.models.assemble import assemble
from recycle_pipeline.models.subnetwork import array_digest

pytestmark = pytest.mark.usefixtures("either_loops")

GOLDEN = Path(__file__).parents[2] / "golden"
# The files themselves, so that nobody replaces them unseen.
FILES = {
    "ticket-v1-binary-recycled": "910616cae889fcdc90f5df2647a018e34faa4a3e0efe8506bce1a400b45f00df",
    "ticket-v1-continuous-rerandomized": "ccd5180f9c3a8cd29d07bc90ba926c07d47fc9cd234a4d4e432d49054cfe601d",
    "ticket-v2-signs-learned": "ebcb3d872cc4487fe0ddaeded3626c412ac52a20010dcd7faad15caf0e52d348",
    "ticket-v3-continuous-hybrid": "0a42da6b78a24d8bd22ae7b8c12f6fcac7e5d77920843391484bc0d7a2ec3e5b",
    "ticket-v3-global-recycled": "a27f994a6d0e309d10c560e9cb41c5ec755b0ed337f0f1ca5f743c449cca9638",
    "ticket-v3-plain": "acfdc0a5bf13a1d0d82d0109202c71275ede4b58a41f5021442e2457750f834d",
    "ticket-v3-signs-learned": "bdacc49e78c4186a95a7ac23598474a5ff047a5a3b7b58d6037ef3b029df49c1",
    "ticket-v4-continuous-hybrid": "4539210760985c6a93a787234a807d3d1d8f386b4d3f2cd17d107a7c757b3ea1",
    "ticket-v4-global-recycled": "dcc532334af2e7c4fda3d3637987ad1c8b56b7c56f15a8dbfc15a9b889bb7ce2",
    "ticket-v4-plain": "ab5452c26909f9c91f4daf3552a93b4e1ae60b56e8fa6e08d8a43c3ac23ac484",
    "ticket-v4-signs-learned": "9fa62a18e6e3b54a75d7487f3f43ba6cae8cc37449573e0d868216f567b69e3d",
}


@pytest.fixture(params=FILES)
def golden(request):
    path = GOLDEN / f"{request.param}.safetensors"
    return path, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_the_one_that_was_written_then_and_small(name):
    content = (GOLDEN / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FILES[name]
    assert len(content) < 50_000


def test_every_golden_ticket_is_read_by_these_tests():
    assert {path.stem for path in GOLDEN.glob("ticket-*.safetensors")} == set(FILES)


def test_its_header_is_read(golden):
    path, facts = golden
    subnetwork = load_ticket(path)
    for field in ("arch", "seed", "kind", "scope", "prune"):
        assert getattr(subnetwork, field) == facts[field], field
    for field in ("classes", "mean", "std"):
        assert list(getattr(subnetwork, field)) == facts[field], field
    assert subnetwork.options.changed() == facts.get("options", {})
    assert {t.name: t.kept for t in subnetwork.tensors} == facts["kept"]
    assert {t.name: t.moved for t in subnetwork.tensors} == facts["moved"]
    assert max(facts["moved"].values()) > 0 or path.stem.endswith("plain")


def test_every_array_is_rebuilt_to_the_bit(golden):
    path, facts = golden
    arrays = load_ticket(path).arrays()
    assert {name: array_digest(array) for name, array in arrays.items()} == facts["digests"]
    for digests in (stored_digests(path), facts["digests"]):
        check_digests(arrays, digests, str(path))


def test_a_few_weights_are_as_written_down(golden):
    """In plain numbers, for whoever reads the digests' failure."""
    path, facts = golden
    for name, weight in load_ticket(path).weights().items():
        last = np.array(facts["last_weights"][name], np.float32)
        assert np.array_equal(weight[weight != 0][-last.size :], last), name


def test_its_network_gives_the_logits_it_gave(golden, monkeypatch):
    """To 1e-4: the order of float32 sums is the machine's."""
    path, facts = golden
    monkeypatch.syspath_prepend(GOLDEN)
    subnetwork = load_ticket(path)
    size = subnetwork.image_size
    ramp = torch.linspace(-1, 1, subnetwork.channels * size * size).reshape(1, -1, size, size)
    logits = assemble(subnetwork, import_custom=True)(ramp)[0]
    assert torch.allclose(logits, torch.tensor(facts["logits_of_a_ramp"]), rtol=1e-4, atol=1e-4)
    assert logits.abs().max() > 0.1
