"""Published data sets rebuilt for these tests, and a writer of image folders."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

PACKED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def published_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root with CIFAR-10 and Fashion-MNIST as published, removed afterwards (240 MB)."""
    if not (PACKED / "unpack.py").is_file():
        pytest.skip(f"the packed data sets are not at {PACKED}")
    root = tmp_path_factory.mktemp("published")
    command = [sys.executable, str(PACKED / "unpack.py"), str(PACKED), str(root), "cifar10", "fmnist"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., Path]:
    """Writes `count` noise images into `tmp_path/folder` and returns that folder."""

    def write(
        folder: str, count: int, size: tuple[int, int] = (8, 8), mode: str = "RGB", suffix: str = ".png"
    ) -> Path:
        from PIL import Image

        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(sum(folder.encode()))
        for index in range(count):
            pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(target / f"{index:03}{suffix}")
        return target

    return write
