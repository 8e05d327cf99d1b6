"""A process that decodes images into a file, asked line by line by `decode_pool`.

Lines are JSON. The first on stdin says where and how: [file, gray, side, train]. Each further one is a
piece of work, [row, [path, ...]], answered on stdout by [counts, problems]: of those of the rows below
`train` how often each value occurs per channel, and path to reason of the images that cannot be read.
It ends when stdin does.
"""

import json
import os
import sys
from collections.abc import Sequence

import numpy as np

from recycle_pipeline.pipeline.data.folder_images import attempt, square
from recycle_pipeline.pipeline.data.statistics import Counts, histogram

Problems = dict[str, str]


def decode(
    file: int, gray: bool, side: int, train: int, row: int, paths: Sequence[str]
) -> tuple[Counts, Problems]:
    """Decodes images into consecutive rows of an open file.

    Args:
        file: Its descriptor.
        gray: Whether to make one channel, otherwise three.
        side: Of the result, in pixels.
        train: Rows from here on are test images, which do not count.
        row: Of the first image.
        paths: Of the images.

    Returns:
        Counts of the values 0..255 in the train images, shape (C, 256), and what cannot be read.
    """
    channels = 1 if gray else 3
    pixels = np.zeros((len(paths), channels, side, side), dtype=np.uint8)

    def fill(index: int) -> None:
        pixels[index] = square(paths[index], gray, side)

    _, problems = attempt(fill, paths, range(len(paths)), threads=1)
    view, offset = pixels.reshape(-1).data, row * pixels[0].size
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
    return histogram(pixels[: max(0, train - row)]), problems


def main() -> None:
    """Answers until stdin ends."""
    path, gray, side, train = json.loads(sys.stdin.readline())
    file = os.open(path, os.O_WRONLY)
    for line in sys.stdin:
        counts, problems = decode(file, gray, side, train, *json.loads(line))
        try:
            print(json.dumps([counts.tolist(), problems]), flush=True)
        except BrokenPipeError:  # who asked was killed
            os._exit(1)
