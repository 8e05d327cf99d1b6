"""What every test may use."""

import contextlib
import functools
import gc
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from recycle_pipeline.exporters.kernel.build import OPTIONS, SOURCES, build, compiler
from recycle_pipeline.exporters.ticket.loops import NUMPY
from recycle_pipeline.exporters.ticket.loops import VARIABLE as LOOPS_VARIABLE
from recycle_pipeline.models.kernel_library import VARIABLE

# One thread in each process of the tests: they share the cores with one another (pytest-xdist), and bytes
# are compared with those of other processes, so sums must be taken in one order. Read when torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

# Traced graphs are many small objects that live long: looking through them often is a tenth of all time.
gc.set_threshold(200_000, 20, 100)

ROOT = Path(__file__).parent.parent
LOOPS = ROOT / "exporters" / "ticket" / "native"
CACHE = Path.home() / ".cache" / "recycle-pipeline"


def built(options: Sequence[str], sources: Path = SOURCES) -> Path | None:
    """A library as the sources beside these tests are, compiled once; None where there is no compiler."""
    if compiler() is None:
        return None
    content = b"".join(path.read_bytes() for path in sorted(sources.iterdir())) + " ".join(options).encode()
    path = CACHE / f"{sources.parent.name}-{hashlib.sha256(content).hexdigest()[:16]}.so"
    return path if path.is_file() else build(path, options, sources)


# Set for every process that tests start. What is installed may be of other sources, or nothing.
if (_kernels := built(OPTIONS)) is not None:
    os.environ[VARIABLE] = str(_kernels)
if (_loops := built(OPTIONS, LOOPS)) is not None:
    os.environ[LOOPS_VARIABLE] = str(_loops)


@pytest.fixture(scope="session")
def build_kernels() -> Callable[..., Path | None]:
    return built


@pytest.fixture(params=["compiled", NUMPY])
def either_loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tickets by compiled loops, and by numpy's."""
    if request.param == NUMPY:
        monkeypatch.setenv(LOOPS_VARIABLE, NUMPY)
    elif _loops is None:
        pytest.skip("no C compiler here: cc, gcc or clang")
    return request.param


@pytest.fixture(scope="session")
def kernels() -> Path:
    """The compiled kernels; what needs them is skipped where there is no compiler."""
    if _kernels is None:
        pytest.skip("no C compiler here: cc, gcc or clang")
    return _kernels


# Files that take longest, begun first: of two processes neither waits for the other at the end.
LONGEST = (
    *("test_end_to_end.py", "test_rejections.py", "test_forms.py", "test_crash_campaign.py"),
    *("test_interruption.py", "test_fuzz_campaigns.py", "test_processes.py", "test_killed_search.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order is otherwise that of the folders."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True, scope="session")
def one_table_of_operators() -> None:
    """torch makes its table of ONNX operators anew for each export, half a second each; here once."""
    with contextlib.suppress(ImportError, AttributeError, KeyError):  # another torch keeps it elsewhere
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        made = vars(ONNXRegistry)["from_torchlib"].__func__
        ONNXRegistry.from_torchlib = classmethod(functools.cache(made))  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images of a test's folders do not land in the user's cache."""
    monkeypatch.setenv("RECYCLE_PIPELINE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def import_path() -> dict[str, str]:
    """The environment of a subprocess that imports what this process imports, from any folder."""
    paths = [str(ROOT / p) if not os.path.isabs(p) else p for p in sys.path if p.endswith(".dev")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
