"""Compiled loops give what numpy gives: of each by itself, and of whole tickets."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.kernel.build import OPTIONS, compiler
from recycle_pipeline.exporters.ticket import loops as module
from recycle_pipeline.exporters.ticket.coding.streams import Vector
from recycle_pipeline.exporters.ticket.contexts.context import CLASSES, RUN, Axis, Context
from recycle_pipeline.exporters.ticket.contexts.drawn import Drawn
from recycle_pipeline.exporters.ticket.contexts.grouped import Gathered, Spread
from recycle_pipeline.exporters.ticket.contexts.looked_up import LookedUp
from recycle_pipeline.exporters.ticket.contexts.neighbours import ByNeighbours
from recycle_pipeline.exporters.ticket.contexts.refitted import ByCode, Residuals
from recycle_pipeline.exporters.ticket.contexts.staged import Run, StagedContext, Stages
from recycle_pipeline.exporters.ticket.loops import NUMPY, VARIABLE, loops
from recycle_pipeline.exporters.ticket.reader import load_ticket, parse_ticket
from recycle_pipeline.exporters.ticket.writer import ticket_bytes
from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.subnetwork import MaskedTensor

GOLDEN = Path(__file__).parents[2] / "golden"
SOURCES = Path(module.__file__).parent / "native"
STAGED = ["ticket-v4-continuous-hybrid", "ticket-v4-global-recycled", "ticket-v4-signs-learned"]
NAME, SEED = "layer", 7
AXES = [(0, 0), (0, 1), (1, 2), (0, 7), (1, 7), (3, 5)]

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler here: cc, gcc or clang")


@pytest.fixture
def both(monkeypatch):
    """What a function gives by compiled loops, and by numpy."""

    def run(function, *arguments):
        assert loops() is not None
        compiled = function(*arguments)
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, NUMPY)
            assert loops() is None
            return compiled, function(*arguments)

    return run


def context_of(weight, score, levels, shape, rng):
    table = rng.integers(0, 256, (1 << weight[1], 1 << score[1]), dtype=np.uint8)
    sizes = shape[0], shape[1], int(np.prod(shape[2:]))
    rows = [
        rng.integers(-128, 128, n, dtype=np.int8) if levels >> i & 1 else None for i, n in enumerate(sizes)
    ]
    return Context(Axis(*weight), Axis(*score), table, *rows)


@pytest.mark.parametrize("weight", AXES)
@pytest.mark.parametrize("score", AXES)
@pytest.mark.parametrize("asked", [True, False])
def test_cells_and_signs(both, weight, score, asked):
    context = context_of(weight, score, 0, (1, 1), np.random.default_rng(0))

    def drawn():
        own, negative = Drawn(context, (2**64 - 5, 2**63), 9), np.zeros(1000, np.bool_) if asked else None
        places = np.array([0, 1, 5, 70_000, 2**30], np.intp)
        return own.run(123_456_789, 4, 1000, negative), negative, own.at(places, 8, None)

    for found, expected in zip(*both(drawn), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("levels", range(8))
@pytest.mark.parametrize("shape", [(3, 5, 3, 3), (2, 70_000, 1, 2), (300, 300, 1, 2), (1, 4, 2, 2)], ids=str)
@pytest.mark.parametrize("axes", [((0, 0), (0, 0)), ((1, 3), (0, 0)), ((0, 4), (1, 6))], ids=str)
def test_classes_of_a_layer_however_its_rows_and_runs_lie(both, levels, shape, axes):
    rng = np.random.default_rng(levels)
    near, sum_ = rng.integers(-30, 30, 17, dtype=np.int8), rng.integers(-30, 30, 15, dtype=np.int8)
    context = StagedContext(context_of(*axes, levels, shape, rng), ByNeighbours(near, sum_))
    positions = shape[2] * shape[3]
    masks = rng.random((positions, shape[0] * shape[1])) < 0.3

    def classes():
        stages, found = Stages(NAME, shape, SEED, context, None, signs=True), []
        for position, mask in enumerate(masks):
            stage = stages.masks(position)
            found += [run.classes for run in stage.coded]
            stages.settle(position, mask.nonzero()[0], None)
        return np.concatenate(found)

    assert np.array_equal(*both(classes))


class Runs:
    """Bits of these classes, in runs of 100."""

    constant = None

    def __init__(self, classes):
        self.classes, self.count = classes, len(classes)

    def runs(self):
        for start in range(0, self.count, 100):
            yield slice(start, min(start + 100, self.count)), self.classes[start : start + 100]


class Constant:
    def __init__(self, constant, count):
        self.constant, self.count = constant, count


def layers_of(seed):
    """Some layers, of few classes, one of them of a single class; and their bits."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 9))
    runs = [Runs(rng.integers(0, number, int(n), dtype=np.uint8) * 31) for n in rng.integers(1, 700, 3)]
    constant = Constant(31 * int(rng.integers(number)), int(rng.integers(1, 300)))
    layers = [*runs[:2], constant, runs[2]]
    shares = rng.choice([0.0, 1.0, 0.2, 0.9], 256)
    of = [np.full(e.count, e.constant, np.uint8) if e.constant is not None else e.classes for e in layers]
    return layers, [rng.random(len(each)) < shares[each] for each in of]


def vectors_in(layers, bits):
    gathered = Gathered()
    for each, own in zip(layers, bits, strict=True):
        gathered.add(each, own)
    return gathered.vectors()


def spread_of(vectors, less=()):
    """The vectors as a reader has them: None where no bit is set; some with a bit less."""
    for number, each in enumerate(vectors):
        own = each[:-1] if number in less else each
        if not own.any():
            yield None if not each.any() else Vector(len(own), np.zeros(0, np.uint32))
        else:
            yield Vector(len(own), None if own.all() else own.nonzero()[0].astype(np.uint32))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_bits_are_gathered_and_found_again(seed):
    layers, bits = layers_of(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, NUMPY)
        expected = vectors_in(layers, bits)
    vectors = vectors_in(layers, bits)
    assert all(np.array_equal(*pair) for pair in zip(vectors, expected, strict=True))
    total = sum(len(each) for each in vectors if each.any())
    found = LookedUp(spread_of(vectors), total, loops())
    places = found.places(layers)
    assert all(np.array_equal(p, own.nonzero()[0]) for p, own in zip(places, bits, strict=True))
    found.end()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 8))
def test_vectors_that_end_early_are_refused_alike(seed, which):
    layers, bits = layers_of(seed)
    vectors = vectors_in(layers, bits)
    less = [n for n, each in enumerate(vectors) if each.any()]
    if not less:
        return
    short = list(spread_of(vectors, [less[which % len(less)]]))
    total = sum(each.size for each in short if each is not None)
    reasons = []
    for found in (LookedUp(short, total, loops()), Spread(short, total)):
        with pytest.raises(ValueError, match=r"^more than [0-9]+ bits of class [0-9]+$") as reason:
            found.places(layers)
        reasons.append(str(reason.value))
    assert reasons[0] == reasons[1]


def test_bits_that_are_left_are_told():
    for found in (LookedUp([Vector(9, np.uint32([8]))], 9, loops()), Spread([Vector(9, np.uint32([8]))], 1)):
        [places] = found.places([Constant(0, 5)])
        assert len(places) == 0
        with pytest.raises(ValueError, match=r"^5 bits of class 0, not 9$"):
            found.end()


def test_a_run_may_reach_beyond_all_bits_before_it_is_refused():
    found = LookedUp([Vector(1, None)], 1, loops())
    with pytest.raises(ValueError, match=r"^more than 1 bits of class 0$"):
        found.places([Constant(0, 3 * RUN)])


@pytest.mark.parametrize("shape", [(5, 40, 3, 3), (2, 70_000, 1, 2)], ids=str)
@pytest.mark.parametrize("axes", [((0, 0), (0, 0)), ((1, 3), (0, 5))], ids=str)
def test_what_is_counted_for_fitting(both, shape, axes):
    rng = np.random.default_rng(1)
    context = StagedContext(context_of(*axes, 7, shape, rng))
    kernels, cells = shape[0] * shape[1], context.plain.table.size
    bits, classes = rng.random(kernels) < 0.2, rng.integers(0, 128, kernels, dtype=np.uint8)
    entries, codes = rng.integers(0, cells, kernels), rng.integers(0, 255, kernels, dtype=np.uint8)

    def counted():
        left, by_code = Residuals(context, *shape[:2], 2), ByCode()
        columns = min(shape[1], RUN)
        for row in range(shape[0]):
            for first in range(row * shape[1], (row + 1) * shape[1], columns):
                part = slice(first, min(first + columns, (row + 1) * shape[1]))
                own = 0 if cells == 1 else entries[part]
                run = Run(part, own, codes[part] if row else None, classes[part])
                left.add(run, bits[part], row % 2, None)
                by_code.add(run, bits[part])
        sums = [np.stack([each.set_, each.foretold, each.curve]) for each in left._left]
        return np.concatenate(sums, 1), by_code._counts

    (sums, counts), (expected, by_numpy) = both(counted)
    assert np.array_equal(counts, by_numpy)
    assert np.array_equal(sums[0], expected[0])
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", STAGED)
def test_tickets_are_read_and_written_alike(both, name, assert_same):
    path = GOLDEN / f"{name}.safetensors"
    compiled, by_numpy = both(load_ticket, path)
    assert_same(compiled, by_numpy)
    assert len(set(both(ticket_bytes, compiled))) == 1


def test_a_large_layer_is_written_and_read_alike(both):
    """Several runs a position, contexts with levels and tables, moved weights."""
    subnetwork = load_ticket(GOLDEN / "ticket-v4-signs-learned.safetensors")
    rng, shape = np.random.default_rng(2), (160, 512, 3, 3)
    odds = rng.normal(-2.2, 0.8, (160, 1, 1, 1)) + rng.normal(0, 0.5, (1, 512, 1, 1))
    mask = rng.random(shape) < 1 / (1 + np.exp(-odds))
    flips = rng.random(int(mask.sum())) < 0.2
    first = subnetwork.tensors[0]
    tensor = MaskedTensor(first.name, first.init, first.scale, mask, first.gain, flips=flips)
    large = replace(subnetwork, tensors=(tensor, *subnetwork.tensors[1:]))
    contents = both(ticket_bytes, large)
    sizes = [len(each) for each in contents]
    assert max(sizes) < 1.001 * min(sizes)  # sums of float32 are rounded otherwise
    for content in contents:
        for found in both(parse_ticket, content, "large"):
            assert np.array_equal(found.tensors[0].mask, mask)
            assert np.array_equal(found.tensors[0].flips, flips)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", None])
def test_a_library_that_is_named_and_cannot_be_used_is_refused(content, tmp_path, monkeypatch):
    path = tmp_path / "loops.so"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(UsageFault, match=r"^RECYCLE_PIPELINE_LOOPS names .*loops.so, which cannot be used: "):
        load_ticket(GOLDEN / "ticket-v4-plain.safetensors")


def test_one_of_another_version_is_refused_too(tmp_path, build_kernels, monkeypatch):
    folder = tmp_path / "ticket" / "native"
    folder.mkdir(parents=True)
    own, other = "recycle_ticket_version = 1;", "recycle_ticket_version = 99;"
    (folder / "loops.c").write_text((SOURCES / "loops.c").read_text().replace(own, other))
    monkeypatch.setenv(VARIABLE, str(build_kernels(OPTIONS, folder)))
    with pytest.raises(UsageFault, match="has loops of version 99, not 1; expected a build"):
        loops()


def test_of_those_that_are_installed_the_first_that_fits_is_taken(tmp_path, monkeypatch):
    installed, cached = os.environ[VARIABLE], module._opened
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "loops.py"))
    cached.cache_clear()
    assert loops() is None
    (tmp_path / "_loops.abi2.so").write_bytes(b"of another machine")
    cached.cache_clear()
    assert loops() is None and load_ticket(GOLDEN / "ticket-v4-plain.safetensors").tensors
    shutil.copy(installed, tmp_path / "_loops.abi3.so")
    cached.cache_clear()
    assert loops() is not None
    cached.cache_clear()


def test_arrays_in_pieces_and_runs_that_are_too_long_are_not_passed_on():
    compiled = loops()
    pieces = np.zeros((2, 8), np.uint8)[:, ::2]
    pieces.flags.writeable = False
    with pytest.raises((ValueError, BufferError, TypeError)):
        compiled.count_classes(pieces)
    spread = compiled.spread(np.zeros(9, np.uint8), *np.zeros((2, 256), np.int64))
    with pytest.raises(ValueError, match="a run of 65537 weights is too long"):
        spread(np.zeros(RUN + 1, np.uint8))


SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1")


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are preloaded as Linux does it")
def test_nothing_is_read_or_written_out_of_bounds(build_kernels, import_path):
    """Golden tickets, whole and damaged, in a build that stops at the first fault."""
    found = [runtime_of(name) for name in ("libasan.so", "libubsan.so")]
    if None in found:
        pytest.skip("the compiler has no AddressSanitizer and UndefinedBehaviorSanitizer")
    library = build_kernels([*(each for each in OPTIONS if each != "-O3"), *SANITIZED], SOURCES)
    environment = import_path | {
        VARIABLE: str(library),
        "LD_PRELOAD": " ".join(map(str, found)),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    }
    command = [sys.executable, str(Path(__file__).parent / "sanitized_loops.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("read "), done.stdout


def runtime_of(name):
    found = subprocess.run([str(compiler()), f"-print-file-name={name}"], capture_output=True, text=True)
    path = Path(found.stdout.strip())
    return path if path.is_absolute() and path.exists() else None


assert CLASSES == module.CLASSES and RUN == module.PADDING
