"""A data set is downloaded once, by one of several processes, and one that was killed leaves no half."""

import errno
import fcntl
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torchvision.datasets

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import load


def mnist_into(folder: Path) -> Path:
    """Hand-made idx files of 20 images a split."""
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        pixels = bytes(index % 251 for index in range(20 * 28 * 28))
        images, labels = struct.pack(">4I", 0x803, 20, 28, 28), struct.pack(">2I", 0x801, 20)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images + pixels)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels + bytes(i % 10 for i in range(20)))
    return folder


class Server(ThreadingHTTPServer):
    """Gives MNIST's archives, and counts how often."""

    files: dict[str, bytes]
    asked: Counter[str]

    @property
    def mirror(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        name = self.path.strip("/")
        server.asked[name] += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.files[name])))
        self.end_headers()
        self.wfile.write(server.files[name])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.files = {
        f"{path.name}.gz": gzip.compress(path.read_bytes(), mtime=0)
        for path in mnist_into(tmp_path / "published").iterdir()
    }
    found.asked = Counter()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def resources(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """torchvision looks for the archives at the server, and knows their MD5 sums."""
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in server.files.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.mirror])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    return sums


LOADING = """
import json, os, sys
import torchvision.datasets as sets
from pathlib import Path
from recycle_pipeline.pipeline.data import load
mirror, resources, root = json.loads(sys.argv[1])
sets.MNIST.mirrors, sets.MNIST.resources = [mirror], [tuple(each) for each in resources]
children = []
for _ in range(int(sys.argv[2])):
    if (pid := os.fork()) == 0:
        digest = load("mnist", data_root=Path(root), download=True).digest()
        os.write(1, f"{digest}\\n".encode())
        os._exit(0)
    children.append(pid)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_twenty_processes_download_once(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path, import_path: dict[str, str]
) -> None:
    load("mnist", data_root=tmp_path / "alone", download=True)
    once = Counter(server.asked)
    server.asked.clear()
    told = json.dumps([server.mirror, resources, str(tmp_path / "root")])
    done = subprocess.run([sys.executable, "-c", LOADING, told, "20"], env=import_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20 and len(set(done.stdout.split())) == 1
    assert server.asked == once and len(once) == 4
    files = sorted(path.name for path in (tmp_path / "root").rglob("*") if path.is_file())
    assert files == sorted([".mnist.lock", *(name.removesuffix(".gz") for name in server.files)])


# What file systems say that know no locks: NFS without its lock service, Lustre without -o flock, others.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
WITHOUT_LOCKS = """
import errno, fcntl
def refuse(*arguments):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = refuse
"""


def test_processes_without_locks_may_each_download_and_all_see_the_same(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path, import_path: dict[str, str]
) -> None:
    told = json.dumps([server.mirror, resources, str(tmp_path / "root")])
    line = [sys.executable, "-c", WITHOUT_LOCKS + LOADING, told, "3"]
    done = subprocess.run(line, env=import_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3 and len(set(done.stdout.split())) == 1
    assert [path for path in (tmp_path / "root").rglob("*") if ".partial-" in path.name] == []


@pytest.mark.parametrize("number", NO_LOCKS)
def test_without_locks_what_another_process_downloads_is_left_to_it(
    server: Server,
    resources: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".mnist.partial-others").mkdir()
    load("mnist", data_root=tmp_path, download=True)
    assert (tmp_path / ".mnist.partial-others").is_dir()


def test_a_download_that_was_killed_is_not_taken_for_done(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision looks whether files are there, not whether they are whole."""
    extract = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: extract(self, 1000) + die())
    with pytest.raises(SystemExit):
        load("mnist", data_root=tmp_path, download=True)
    monkeypatch.undo()
    assert not (tmp_path / "MNIST").exists()


def die() -> bytes:
    raise SystemExit(9)


def test_what_is_there_is_not_downloaded_and_nothing_is_written(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path
) -> None:
    mnist_into(tmp_path / "MNIST" / "raw")
    (tmp_path / ".mnist.partial-killed").mkdir()
    load("mnist", data_root=tmp_path, download=True)
    assert not server.asked


def test_half_a_data_set_is_completed(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path
) -> None:
    (mnist_into(tmp_path / "MNIST" / "raw") / "t10k-labels-idx1-ubyte").write_bytes(b"half")
    (tmp_path / ".mnist.partial-killed").mkdir()
    with pytest.raises(UsageFault, match="damaged"):
        load("mnist", data_root=tmp_path)
    assert len(load("mnist", data_root=tmp_path, download=True).test_labels) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mnist.lock", "MNIST", "published"]


def test_archives_that_are_there_need_no_network(
    server: Server, resources: list[tuple[str, str]], tmp_path: Path
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in server.files.items():
        (raw / name).write_bytes(content)
    load("mnist", data_root=tmp_path, download=True)
    assert not server.asked
