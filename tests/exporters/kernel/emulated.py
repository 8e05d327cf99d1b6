"""Run by test_neon.py: the kernels of an emulated processor against those of this one, the portable path.

    python emulated.py EMULATOR PROGRAM [SEED [ROUNDS]]

Every path of the other processor: 8 bits to the bit, float32 to rounding. Prints how many networks.
"""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from sanitized import any_images, contents

from recycle_pipeline.exporters.kernel.library import Kernels

PATHS = ("neon", "portable", "")  # the last is what it takes by itself


def cases(seed, rounds):
    """Networks and images."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        for content in contents(rng):
            with Kernels(content, "portable") as kernels:
                images = any_images(kernels, rng, int(rng.integers(1, 4)))
                yield content, images, kernels.run(images)


def main(emulator, program, seed="0", rounds="1"):
    all_cases = [(path, *case) for case in cases(int(seed), int(rounds)) for path in PATHS]
    with tempfile.NamedTemporaryFile() as file:
        for path, content, images, expected in all_cases:
            head = len(path), len(content), len(images), images.nbytes, expected.nbytes
            file.write(struct.pack("<5I", *head) + path.encode() + content + images.tobytes())
        file.flush()
        done = subprocess.run([emulator, program, file.name], capture_output=True)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-2000:])
    at = 0
    for path, _, images, expected in all_cases:
        got = np.frombuffer(done.stdout, expected.dtype, expected.size, at).reshape(expected.shape)
        at += expected.nbytes
        if expected.dtype == np.uint8:
            assert np.array_equal(got, expected), (path, images.shape, expected.shape)
        else:
            most = np.abs(expected).max(initial=1)
            assert np.allclose(got, expected, rtol=1e-4, atol=1e-5 * most), (path, images.shape)
    assert at == len(done.stdout)
    print(f"{len(all_cases)} networks")


if __name__ == "__main__":
    main(*sys.argv[1:])
