"""Run by test_hostile.py in a process of its own, in which the kernels are a build with sanitizers.

    python sanitized.py [SEED [DAMAGED]]

DAMAGED of each of the networks; benchmarks/kernel_fuzz.py runs it for many seeds.
"""

import sys
import threading
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from conftest import block, drawn_conv
from test_floats import block as float_block
from test_floats import drawn as drawn_float_conv

from recycle_pipeline.exporters.kernel.library import PATHS, Kernels
from recycle_pipeline.exporters.kernel.packed import Image, Window, packed
from recycle_pipeline.exporters.kernel.packed_floats import packed_floats
from recycle_pipeline.models.errors import CorruptArtefact, RecycleError

LARGEST = 1 << 22  # bytes of a workspace; a damaged network may ask for gigabytes


def tried(content, rng):
    """Whether it is refused; where it is not, it is run."""
    refused = True
    for path in PATHS:
        try:
            with Kernels(content, path) as kernels:
                refused = False
                if kernels.counts.workspace < LARGEST:
                    count, threads = int(rng.choice((1, 2, 9, 18))), int(rng.integers(1, 3))
                    kernels.run(any_images(kernels, rng, count), threads)
        except CorruptArtefact:
            return True
        except RecycleError:
            continue  # not on this processor
    return refused


def any_images(kernels, rng, count):
    return rng.integers(0, 256, (count, *kernels.source)).astype(kernels.dtype)


def contents(rng):
    """Of 8 bits, and of float32."""
    for images, steps in networks(rng):
        yield packed(images, steps, 0, len(images) - 1)
    for side, channels in ((5, 3), (12, 6), (17, 2), (16, 4), (32, 3), (60, 2), (16, 66)):
        yield packed_floats(*float_block(rng, side, channels))
    for side in (1, 2, 4, 7, 15, 16, 17, 31, 33):
        image, size = Image(int(rng.integers(1, 40)), side, side, 0), int(rng.integers(1, min(side, 7) + 1))
        pads = tuple(int(each) for each in rng.integers(0, size, 4))
        window = Window((size, size), (int(rng.integers(1, 4)), int(rng.integers(1, 4))), pads)
        drawn = bool(rng.integers(2))
        conv, made = drawn_float_conv(rng, "in", image, "out", int(rng.integers(1, 6)), window, 0.5, drawn)
        yield packed_floats({"in": image, "out": made}, [conv])


def networks(rng):
    """Blocks, and convolutions of every alignment: sides around the lengths of vectors, many channels."""
    for side, channels in ((5, 3), (12, 6), (17, 2), (16, 4), (32, 3), (60, 2), (16, 66)):
        yield block(rng, side, channels)
    for size, stride, side in (
        (3, 1, 14),
        (5, 1, 7),
        (7, 1, 30),
        (7, 2, 32),
        (3, 3, 27),
        (3, 1, 4),
        (3, 2, 8),
        (3, 1, 3),
    ):  # close grids
        image = Image(int(rng.integers(40, 60)), side, side, int(rng.integers(0, 256)))
        before = int(rng.integers(0, size - stride + 1))
        pads = (before, before, size - stride - before, size - stride - before)
        conv, result = drawn_conv(rng, image, 5, Window((size, size), (stride, stride), pads), 0.5)
        yield [image, result], [conv]
    for side in (1, 2, 4, 7, 8, 15, 16, 17, 31, 32, 33):
        image = Image(int(rng.integers(1, 90)), side, side, int(rng.integers(0, 256)))
        size = int(rng.integers(1, 8))
        pads = tuple(int(each) for each in rng.integers(0, size, 4))
        if side + min(pads[0] + pads[2], pads[1] + pads[3]) < size:
            pads = (size - 1,) * 4
        window = Window((size, size), (int(rng.integers(1, 4)), int(rng.integers(1, 4))), pads)
        conv, result = drawn_conv(rng, image, int(rng.integers(1, 6)), window, 0.5)
        yield [image, result], [conv]


def damaged(content, rng):
    """Some bytes of it are others, mostly of its head."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        where = int(rng.integers(0, min(len(found), 400 if rng.random() < 0.7 else len(found))))
        found[where] = int(rng.choice([0, 1, 2, 3, 127, 128, 255, int(rng.integers(0, 256))]))
    return bytes(found)


def main(seed: int = 0, count: int = 8) -> None:
    rng, refused, run = np.random.default_rng(seed), 0, 0
    for content in contents(rng):
        assert not tried(content, rng)
        for _ in range(count):
            if tried(damaged(content, rng), rng):
                refused += 1
            else:
                run += 1
    with Kernels(content) as kernels:
        x = any_images(kernels, rng, 9)
        threads = [threading.Thread(target=kernels.run, args=(x,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refused and run
    print(f"refused {refused}, run {run}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
