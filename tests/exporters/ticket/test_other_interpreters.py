"""Tickets under other Pythons and numpys, without torch: the same digests, by library and by script.

The packages of each are fetched once, into a cache that outlives the checkout. What is not at hand, an
interpreter or the registry, is skipped with the reason.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.exporters.ticket.writer import write_ticket
from recycle_pipeline.models.draws import stream_key, weights_at
from recycle_pipeline.models.subnetwork import MaskedTensor, Subnetwork, array_digest

ROOT = Path(__file__).parents[3]
GOLDEN = sorted((ROOT / "tests" / "golden").glob("ticket-*.safetensors"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recycle-pipeline" / "test-packages"
PAIRS = [("3.11", "1.26"), ("3.11", "2"), ("3.12", "1.26"), ("3.12", "2"), ("3.13", "2")]
READ = """
import json, runpy, sys
sys.modules["torch"] = None
import numpy
from recycle_pipeline.exporters.ticket.reader import read_verified
from recycle_pipeline.models.subnetwork import array_digest
script = runpy.run_path(sys.argv[1])
found = {}
for path in sys.argv[2:]:
    arrays = [read_verified(path)[1]]
    if "-v4-" in path:
        arrays.append(dict(script["Ticket"](path).arrays()))
    found[path] = [{name: array_digest(array) for name, array in each.items()} for each in arrays]
print(json.dumps([sys.version.split()[0], numpy.__version__, found]))
"""


@functools.cache
def interpreter(version):
    """Its path, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    there = [sys.executable, shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    for path in filter(None, there):
        said = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(said, capture_output=True, text=True).stdout.strip() == version:
            return str(path)
    return None


def packages(version, numpy):
    """A folder with numpy and safetensors for this interpreter; skips where they cannot be had."""
    folder = CACHE / f"{sys.platform}-python{version}-numpy{numpy}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--retries", "0"]
        command += ["--timeout", "10", "--target", f"{scratch}/made", "--only-binary", ":all:"]
        command += ["--python-version", version, f"numpy=={numpy}.*", "safetensors"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"numpy {numpy} for Python {version} cannot be fetched: {done.stderr.strip()[-200:]}")
        if not folder.is_dir():  # another process may have been faster
            os.replace(f"{scratch}/made", folder)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A ticket whose weights are decoded in several runs, by classes, and its digests.

    numpy before 2 took 16 bits for the places of the second run; small tickets have but one.
    """
    rng, shape = np.random.default_rng(0), (300, 700)
    drawn = weights_at(stream_key(0, "layer"), np.arange(300 * 700), "kaiming_normal", np.float32(1))
    mask = (np.abs(drawn) * rng.random(drawn.size) > 0.6).reshape(shape)
    flips = rng.random(np.count_nonzero(mask)) < 0.2
    head = "layer", "kaiming_normal", np.float32(0.1), mask, np.float32(0.1)
    about = "none", ("a", "b"), 1, 8, (0.5,), (0.5,), 0, "binary", 0.7, "layer"
    path = tmp_path_factory.mktemp("large") / "ticket-v4-large.safetensors"
    write_ticket(Subnetwork(*about, (MaskedTensor(*head, flips=flips),)), path)
    digests = {name: array_digest(array) for name, array in read_verified(path)[1].items()}
    path.with_suffix(".json").write_text(json.dumps({"digests": digests}), "utf-8")
    return path


@pytest.mark.parametrize(("version", "numpy"), PAIRS, ids=[f"python{p}-numpy{n}" for p, n in PAIRS])
def test_golden_tickets_and_a_large_one_have_the_same_digests(version, numpy, large):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    paths = os.pathsep.join([str(packages(version, numpy)), str(ROOT / ".dev")])
    command = [python, "-c", READ, ROOT / "docs" / "read_ticket.py", *GOLDEN, large]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    python_there, numpy_there, found = json.loads(done.stdout)
    assert python_there.startswith(f"{version}.") and numpy_there.startswith(f"{numpy}.")
    for path in (*GOLDEN, large):
        expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["digests"]
        assert found[str(path)] == [expected] * (2 if "-v4-" in path.name else 1), path.name
