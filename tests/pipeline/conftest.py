"""One finished run that tests copy, small data, custom architectures, and the command as a function."""

import importlib
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import recycle_pipeline.pipeline
from recycle_pipeline.pipeline.cli import main
from recycle_pipeline.pipeline.data import Augmentation, ImageSet
from recycle_pipeline.pipeline.report import html

IMPORT_ROOT = Path(recycle_pipeline.pipeline.__file__).parents[2]
NOTHING = SimpleNamespace(sizes=(), search=None, network=None, verified=None)  # known of a run
NO_TIMING = "recycle_pipeline.pipeline.stages.verify.LATENCY_SECONDS"
START = """
import signal
import recycle_pipeline.pipeline.stages.verify as stage
from recycle_pipeline.pipeline.cli import main
stage.LATENCY_SECONDS = 0.0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without
main()
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The result of a whole run: conv2, one epoch of digits, onnx, verified. Write into `run_copy` only."""
    root = tmp_path_factory.mktemp("finished") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NO_TIMING, 0.0)
        return recycle_pipeline.pipeline.run(arch="conv2", epochs=1, output_dir=root)


@pytest.fixture(autouse=True)
def pages_without_pictures(monkeypatch):
    """Pictures take a third of a small run's time, and are looked at in report/, where they are drawn."""
    drawn = html._figures
    monkeypatch.setattr(html, "_figures", lambda facts: dict.fromkeys(drawn(NOTHING), ()))
    return drawn


SAME_RUN = ("--arch", "conv2", "--epochs", "1", "--output-dir")


@pytest.fixture
def same_run():
    """The options, up to the folder's name, that made `finished`."""
    return SAME_RUN


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, timing cut short, and an environment that looks like a plain script's."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(NO_TIMING, 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("RECYCLE_DATA_ROOT", str(tmp_path / "no-data"))
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def run_copy(finished, here):
    """A copy of the finished run, at `mine` in the current folder."""
    shutil.copytree(finished.folder.root, here / "mine")
    return here / "mine"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def command(here, capsys):
    """Calls `recycle-pipeline` with these arguments, in this process."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(stop.value.code, captured.out, captured.err)

    return call


@pytest.fixture
def start(here):
    """Starts `recycle-pipeline` as a process of its own, verify's timing cut short."""
    started = []

    def popen(*arguments, script=START, **options):
        environment = os.environ | {"PYTHONPATH": str(IMPORT_ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def tree(here):
    """What lies in the current folder: names with bytes and time stamps of files."""

    def listing(root=None):
        paths = sorted((root or here).rglob("*"))
        return {
            str(path.relative_to(root or here)): (path.read_bytes(), path.stat().st_mtime_ns)
            if path.is_file()
            else None
            for path in paths
        }

    return listing


@pytest.fixture(scope="session")
def photos_into():
    """Writes 8 x 8 gray .bmp files, all of one size in bytes, into a folder, and returns it."""
    from PIL import Image

    def write(folder, classes=("a", "b", "c"), each=20, seed=0):
        generator = np.random.default_rng(seed)
        for label, class_name in enumerate(classes):
            (folder / class_name).mkdir(parents=True, exist_ok=True)
            for index in range(each):
                pixels = generator.integers(60 * label, 60 * label + 90, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / class_name / f"{index:03}.bmp")
        return folder

    return write


@pytest.fixture
def write_photos(here, photos_into):
    """`photos_into` a folder of the current one, by its name."""
    return lambda name="photos", **options: photos_into(here / name, **options)


CUSTOM = """
from torch import nn

def net(classes, channels, image_size):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * image_size**2, classes),
    )

def unmaskable(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.ReLU())

def wrong_shape(classes, channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes + 1))

def failing(classes, channels, image_size):
    raise ZeroDivisionError("no width")
"""


@pytest.fixture
def custom_module(here):
    """Writes a module of architectures into the current folder; returns its name."""
    written = []

    def write(body=CUSTOM):
        name = f"custom_{uuid.uuid4().hex[:12]}"
        (here / f"{name}.py").write_text(body)
        importlib.invalidate_caches()
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def image_set():
    """Makes an image set of noise; every argument has a default."""

    def make(train=24, test=12, classes=3, channels=1, side=8, pad=0, flip=False, noise=0.0, seed=0):
        generator = np.random.default_rng(seed)

        def split(count):
            labels = np.arange(count, dtype=np.int64) % classes
            low = (labels * (160 // classes)).reshape(-1, 1, 1, 1)
            pixels = generator.integers(low, low + 90, (count, channels, side, side))
            return pixels.astype(np.uint8), labels

        (train_images, train_labels), (test_images, test_labels) = split(train), split(test)
        return ImageSet(
            name="noise",
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            classes=tuple(f"class{index}" for index in range(classes)),
            mean=tuple(0.3 + 0.1 * index for index in range(channels)),
            std=tuple(0.2 + 0.1 * index for index in range(channels)),
            augmentation=Augmentation(pad=pad, flip=flip, noise=noise),
        )

    return make
