"""Large folders: decoded once into the cache, read in parts, and the same data as in memory."""

import fcntl
import json
import math
import os
import pickle
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recycle_pipeline.models.errors import CorruptArtefact, RecycleError, UsageFault
from recycle_pipeline.pipeline.data import ImageSet, decode_pool, folder, pixel_cache
from recycle_pipeline.pipeline.data.cache_folder import cache_folder
from recycle_pipeline.pipeline.data.decode_worker import decode
from recycle_pipeline.pipeline.data.folder import load_folder
from recycle_pipeline.pipeline.data.hold_out import held_out
from recycle_pipeline.pipeline.data.prepared import Prepared
from recycle_pipeline.pipeline.data.statistics import Counts
from recycle_pipeline.pipeline.data.stored_images import StoredImages

Writer = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECYCLE_PIPELINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def photos(tmp_path: Path, write_images: Writer) -> Path:
    """40 colour images of two classes and two sizes: two pieces of work."""
    write_images("photos/a", 22, (12, 9))
    write_images("photos/b", 18, (8, 8))
    return tmp_path / "photos"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decodes in this process: starting others takes half a second."""

    def decode_here(file: Path, job: decode_pool.Job, on_done: Callable[[int], None]) -> Counts:
        with file.open("r+b") as opened:
            counts, _ = decode(opened.fileno(), job.gray, job.side, job.train, 0, job.paths)
        on_done(len(job.paths))
        return counts

    monkeypatch.setattr(pixel_cache, "decode_into", decode_here)


def streamed(root: Path, said: list[str] | None = None, size: int | None = 6) -> ImageSet:
    return load_folder(str(root), size, (said if said is not None else []).append, stream_above=0)


def refusal(root: Path) -> str:
    with pytest.raises(UsageFault) as caught:
        streamed(root)
    return str(caught.value)


def files(cache: Path) -> list[str]:
    return sorted(path.suffix for path in cache.iterdir())


def test_it_is_the_data_set_that_memory_would_hold(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "PROGRESS_SECONDS", math.inf)  # on busy cores parts would be told of
    resident, said = load_folder(str(photos), 6), []
    assert not resident.streams and not cache.exists()
    for _ in range(2):  # decoded, and found again
        images = streamed(photos, said)
        assert images.streams and images.digest() == resident.digest()
        assert (images.mean, images.std) == (resident.mean, resident.std)
        assert np.array_equal(images.train_images, resident.train_images)
        assert np.array_equal(images.test_images, resident.test_images)
        assert (images.train_images.shape, images.augmentation) == ((31, 3, 6, 6), resident.augmentation)
    assert said[0].startswith("decodes 40 images to 6x6 pixels, once: 0.0 MB in ")
    assert said[1].startswith("40 of 40 images decoded, ")
    assert said[2:] == ["takes the digest of the decoded images"]  # the second time nothing
    assert files(cache) == [".json", ".lock", ".pixels"]


def test_gray_images_have_one_channel(tmp_path: Path, write_images: Writer, cache: Path) -> None:
    write_images("photos/a", 5, mode="L")
    write_images("photos/b", 5, mode="1")
    root = tmp_path / "photos"
    assert streamed(root, size=None).train_images.shape == (8, 1, 8, 8)
    assert streamed(root, size=None).digest() == load_folder(str(root)).digest()


@pytest.mark.usefixtures("at_once")
def test_what_lies_in_the_cache_is_not_computed_again(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = streamed(photos).digest()
    for module, name in ((folder, "read_headers"), (folder, "make"), (StoredImages, "read")):
        monkeypatch.setattr(module, name, None)
    assert streamed(photos).digest() == digest


@pytest.mark.parametrize("change", ["touched", "added", "size"])
@pytest.mark.usefixtures("at_once")
def test_other_images_are_another_entry(photos: Path, cache: Path, change: str) -> None:
    streamed(photos)
    if change == "touched":
        os.utime(photos / "a" / "000.png", (1, 1))
    elif change == "added":
        shutil.copy(photos / "a" / "000.png", photos / "a" / "100.png")
    streamed(photos, size=7 if change == "size" else 6)
    assert len(list(cache.glob("*.pixels"))) == 2


@pytest.mark.usefixtures("at_once")
def test_other_contents_of_the_same_size_and_time_are_another_entry(photos: Path, cache: Path) -> None:
    """Nobody can set the time of change."""
    one, other = photos / "a" / "000.png", photos / "b" / "000.png"
    contents = [path.read_bytes().ljust(10_000, b"\0") for path in (one, other)]
    one.write_bytes(contents[0])
    before, digest = one.stat(), streamed(photos).digest()
    one.write_bytes(contents[1])
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (one.stat().st_size, one.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert streamed(photos).digest() != digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda about: about.write_text("{"),
        lambda about: about.write_text('{"of": ""}'),
        lambda about: about.unlink(),
        lambda about: about.with_suffix(".pixels").unlink(),
        lambda about: os.truncate(about.with_suffix(".pixels"), 5),
    ],
    ids=["no JSON", "lacks all", "no description", "no pixels", "short"],
)
@pytest.mark.usefixtures("at_once")
def test_a_damaged_entry_is_made_anew(photos: Path, cache: Path, damage: Callable[[Path], None]) -> None:
    digest = streamed(photos).digest()
    damage(next(cache.glob("*.json")))
    said: list[str] = []
    assert streamed(photos, said).digest() == digest and said


@pytest.mark.usefixtures("at_once")
def test_a_digest_that_was_not_kept_is_computed(photos: Path, cache: Path) -> None:
    digest = streamed(photos).digest()
    about = next(cache.glob("*.json"))
    about.write_text(json.dumps(json.loads(about.read_text()) | {"digest": None}))
    assert streamed(photos).digest() == digest
    assert json.loads(about.read_text())["digest"] == digest


def test_damaged_images_are_named_and_nothing_stays(photos: Path, cache: Path) -> None:
    for name in ("a/003.png", "b/011.png"):
        file = photos / name
        file.write_bytes(file.read_bytes()[:100])
    message = refusal(photos)
    assert f"2 of 40 images cannot be read:\n  {photos}/a/003.png (" in message and "truncated" in message
    assert files(cache) == [".lock"]


def test_a_disk_that_lacks_the_room_is_told_before_decoding(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "decode_into", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 3e6))
    monkeypatch.setattr(pixel_cache.math, "prod", lambda shape: 4_000_000)
    message = refusal(photos)
    assert (
        f"the images in {photos} take 4.0 MB when decoded, and are kept in {cache}, where 3.0 MB" in message
    )
    assert "RECYCLE_PIPELINE_CACHE" in message and "smaller --image-size" in message


def test_a_cache_folder_that_cannot_be_written_is_named(photos: Path, cache: Path) -> None:
    cache.parent.write_text("a file")
    message = refusal(photos)
    assert f"decoded images cannot be written to {cache}: Not a directory" in message
    assert "RECYCLE_PIPELINE_CACHE" in message


@pytest.mark.usefixtures("at_once")
def test_what_a_killed_process_left_is_removed(photos: Path, cache: Path) -> None:
    streamed(photos)
    pixels = next(cache.glob("*.pixels"))
    pixels.rename(cache / f".{pixels.name}.partial-0123")
    for key in ("free", "held"):
        (cache / f".{key}.pixels.partial-4567").touch()
    with (cache / "held.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        streamed(photos)
    assert [path.name for path in cache.glob(".*")] == [".held.pixels.partial-4567"]


@pytest.mark.usefixtures("at_once")
def test_two_processes_decode_once(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first's lock, then finds its entry."""
    digest, waits = streamed(photos).digest(), threading.Event()
    about, said = next(cache.glob("*.json")), []
    kept = about.read_text()
    about.unlink()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    with about.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found: list[ImageSet] = []
        second = threading.Thread(
            target=lambda: found.append(load_folder(str(photos), 6, say, stream_above=0))
        )
        second.start()
        assert waits.wait(30)
        about.write_text(kept)
    second.join(30)
    assert said == ["waits for another process that decodes the same images"]
    assert found[0].digest() == digest


@pytest.mark.usefixtures("at_once")
def test_without_locks_it_is_decoded_all_the_same(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert streamed(photos).digest() == load_folder(str(photos), 6).digest()


@pytest.mark.parametrize(
    ("script", "how"),
    [("raise SystemExit(3)", "exit code"), ("import os; os.kill(os.getpid(), 9)", "signal 9")],
)
def test_a_process_that_ends_early_is_told_and_leaves_nothing(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, script: str, how: str
) -> None:
    monkeypatch.setattr(decode_pool, "START", f"import sys; sys.stdin.readline(); {script}")
    with pytest.raises(RecycleError, match=f"a process that decodes images ended early .{how}"):
        streamed(photos)
    assert files(cache) == [".lock"]


def test_an_interruption_ends_the_processes(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Seen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Seen)
    monkeypatch.setattr(pixel_cache, "_progress", lambda number, say: interrupt)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        streamed(photos)
    assert started and all(process.returncode is not None for process in started)
    assert threading.active_count() == before
    assert files(cache) == [".lock"]


def test_parts_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    pixels = np.arange(10 * 12, dtype=np.uint8).reshape(10, 3, 2, 2)
    (tmp_path / "x").write_bytes(pixels.tobytes())
    images = StoredImages(tmp_path / "x", pixels.shape)
    order = np.array([7, 2, 3, 4, 4, 0])
    assert np.array_equal(images[order], pixels[order])
    assert np.array_equal(images[order][1:4], pixels[order][1:4])
    assert np.array_equal(np.concatenate(list(images[2:].chunks())), pixels[2:])
    assert (len(images[8:]), images[8:].nbytes, images[5:5].shape) == (2, 24, (0, 3, 2, 2))
    assert np.array_equal(pickle.loads(pickle.dumps(images[order])), pixels[order])
    doubled = Prepared(images, lambda part: part * np.uint8(2))
    assert len(doubled) == 10 and np.array_equal(doubled[3:5], pixels[3:5] * 2)


def test_a_file_that_was_cut_short_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(36))
    images = StoredImages(tmp_path / "x", (3, 3, 2, 2))
    os.truncate(tmp_path / "x", 30)
    assert not np.asarray(images[:2]).any()
    with pytest.raises(CorruptArtefact, match=f"read from {tmp_path}/x: it ends too early; .* delete"):
        np.asarray(images)


@pytest.mark.usefixtures("at_once")
def test_holding_out_reads_nothing(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = held_out(load_folder(str(photos), 6), 10)
    images = streamed(photos)
    with monkeypatch.context() as patch:
        patch.setattr(StoredImages, "read", None)
        images = held_out(images, 10)
    assert images.streams and images.digest() == expected.digest()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "/home/me/.cache/recycle-pipeline"),
        ({"XDG_CACHE_HOME": "/big"}, "/big/recycle-pipeline"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/recycle-pipeline"),
        ({"XDG_CACHE_HOME": "/big", "RECYCLE_PIPELINE_CACHE": "~/mine"}, "/home/me/mine"),
    ],
)
def test_where_the_cache_lies(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "RECYCLE_PIPELINE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | environment).items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected
