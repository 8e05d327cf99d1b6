"""Twenty processes on one cache: images are decoded once, and every one sees the same."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LOADING = """
import os, sys
from recycle_pipeline.pipeline.data.folder import load_folder
import torchvision.datasets
children = []
for _ in range(20):
    if (pid := os.fork()) == 0:
        said = []
        images = load_folder(sys.argv[1], 6, said.append, stream_above=0)
        decoded = sum(text.startswith("decodes ") for text in said)
        os.write(1, f"{images.digest()} {decoded}\\n".encode())
        os._exit(0)
    children.append(pid)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_twenty_processes_decode_once_and_see_the_same(
    tmp_path: Path, write_images: Callable[..., Path], import_path: dict[str, str]
) -> None:
    for name in "ab":
        write_images(f"photos/{name}", 20)
    environment = import_path | {"RECYCLE_PIPELINE_CACHE": str(tmp_path / "cache")}
    line = [sys.executable, "-c", LOADING, str(tmp_path / "photos")]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [row.split() for row in done.stdout.splitlines()]
    assert len(rows) == 20 and len({digest for digest, _ in rows}) == 1
    assert sum(int(decoded) for _, decoded in rows) == 1
    suffixes = sorted(path.suffix for path in (tmp_path / "cache" / "images").iterdir())
    assert suffixes == [".json", ".lock", ".pixels"]
