"""`folder:PATH` with real image files: channels, sizes, resampling and every refusal."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.pipeline.data import Augmentation, ImageSet, load

Writer = Callable[..., Path]


def load_from(root: Path, image_size: int | None = None) -> ImageSet:
    return load(f"folder:{root}", image_size=image_size)


def refusal(root: Path, image_size: int | None = None) -> str:
    with pytest.raises(UsageFault) as caught:
        load_from(root, image_size)
    return str(caught.value)


def test_square_images_keep_their_size_and_pixels(tmp_path: Path, write_images: Writer) -> None:
    first = write_images("cat", 6, (16, 16)) / "000.png"
    write_images("dog", 5, (16, 16))
    data = load_from(tmp_path)
    assert (data.train_images.shape, data.test_images.shape) == ((8, 3, 16, 16), (3, 3, 16, 16))
    np.testing.assert_array_equal(data.test_images[0], np.asarray(Image.open(first)).transpose(2, 0, 1))
    assert data.classes == ("cat", "dog")
    assert data.train_labels.tolist() == [0] * 4 + [1] * 4
    assert data.augmentation == Augmentation(pad=2, flip=True)
    pixels = data.train_images / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_given_split_is_not_mixed(tmp_path: Path, write_images: Writer) -> None:
    for split, count in (("train", 3), ("val", 2)):
        write_images(f"{split}/a", count, (4, 4))
        write_images(f"{split}/b", count, (4, 4))
    data = load_from(tmp_path)
    assert (len(data.train_labels), len(data.test_labels)) == (6, 4)
    assert data.augmentation.pad == 1


def test_the_name_is_the_absolute_path(
    tmp_path: Path, write_images: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images("pets/a", 2)
    write_images("pets/b", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("folder:pets").name == load("folder:~/pets").name == f"folder:{tmp_path}/pets"
    assert load("folder:pets").digest() == load("folder:~/pets").digest()


@pytest.mark.parametrize(
    ("modes", "channels"),
    [(("L", "L"), 1), (("L", "1"), 1), (("L", "RGB"), 3), (("P", "L"), 3), (("RGBA", "LA"), 3)],
)
def test_one_channel_only_if_every_image_is_gray(
    modes: tuple[str, str], channels: int, tmp_path: Path, write_images: Writer
) -> None:
    write_images("a", 2, mode=modes[0])
    write_images("b", 2, mode=modes[1])
    assert load_from(tmp_path).channels == channels


def test_palettes_with_transparency_raise_no_warning(tmp_path: Path, write_images: Writer) -> None:
    write_images("a", 2)
    target = write_images("b", 2)
    image = Image.new("P", (8, 8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(target / "000.png", transparency=b"\x00\x80")
    assert load_from(tmp_path).test_images[1, :, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (40, 40), (24, 24), (12, 20)])
def test_resampling_is_torchvisions_resize_and_center_crop(
    size: tuple[int, int], tmp_path: Path, write_images: Writer
) -> None:
    from torchvision.transforms.functional import center_crop, resize

    first = write_images("a", 2, size) / "000.png"
    write_images("b", 2, size)
    data = load_from(tmp_path, image_size=24)
    reference = np.asarray(center_crop(resize(Image.open(first), [24], antialias=True), [24]))
    # Equal where the resized longer side is even, as in these sizes; 1 for Pillow's rounding in two passes.
    np.testing.assert_allclose(data.test_images[0].transpose(1, 2, 0), reference, atol=1)


def test_a_wide_strip_does_not_become_a_huge_image(tmp_path: Path, write_images: Writer) -> None:
    """Resize before crop would make 64 x 320,000,000 pixels of it."""
    first = write_images("a", 2) / "000.png"
    write_images("b", 2)
    Image.new("1", (5_000_000, 1)).save(first)
    assert not load_from(tmp_path, image_size=64).test_images[0].any()


def test_images_of_several_sizes_need_an_image_size(tmp_path: Path, write_images: Writer) -> None:
    write_images("a", 3, (8, 8))
    write_images("b", 2, (10, 6))
    message = refusal(tmp_path)
    assert "8x8 (3), 10x6 (2)" in message and "pass --image-size N" in message
    assert load_from(tmp_path, image_size=7).train_images.shape == (3, 3, 7, 7)


def test_one_size_that_is_not_square_needs_an_image_size(tmp_path: Path, write_images: Writer) -> None:
    write_images("a", 2, (8, 6))
    write_images("b", 2, (8, 6))
    assert "8x6 (4); expected one square size" in refusal(tmp_path)


def test_many_sizes_are_summed_up(tmp_path: Path, write_images: Writer) -> None:
    for side in range(4, 16):
        write_images("ab"[side % 2], 1, (side, side), suffix=f"-{side}.png")
    assert "and 7 more sizes" in refusal(tmp_path)


@pytest.mark.parametrize("size", [0, -4])
def test_a_size_below_one_is_refused(size: int, tmp_path: Path) -> None:
    assert f"--image-size is {size}; expected 1" in refusal(tmp_path, image_size=size)


def truncated(good: bytes) -> bytes:
    return good[: len(good) // 2]


def png_of_16_bits(_: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x12\x34" * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda good: b"", "not an image"),
        (lambda good: b"<html>404</html>", "not an image"),
        (lambda good: good[:20], "("),
        (truncated, "truncated"),
        (lambda good: good[:60] + bytes(30) + good[90:], "("),
        (png_of_16_bits, " has more than 8 bits a channel"),
    ],
    ids=["empty", "html", "header only", "truncated", "zeros inside", "16 bits"],
)
def test_an_image_that_cannot_be_read_is_named(
    damage: Callable[[bytes], bytes], reason: str, tmp_path: Path, write_images: Writer
) -> None:
    write_images("a", 3)
    victim = write_images("b", 3) / "001.png"
    victim.write_bytes(damage(victim.read_bytes()))
    message = refusal(tmp_path)
    assert f"1 of 6 images cannot be read:\n  {victim} (" in message
    assert reason in message and "repair or remove" in message and "--skip-unreadable" in message
    said: list[str] = []
    images = load(f"folder:{tmp_path}", skip_unreadable=True, say=said.append)
    assert len(images.train_labels) + len(images.test_labels) == 5
    assert len(said) == 1 and f"\n  {victim} (" in said[0]


def test_a_class_without_one_image_that_can_be_read_is_refused(tmp_path: Path, write_images: Writer) -> None:
    write_images("a", 3)
    for file in write_images("b", 3).iterdir():
        file.write_bytes(b"x")
    with pytest.raises(UsageFault, match="class 'b' has no train image; repair or replace some"):
        load(f"folder:{tmp_path}", skip_unreadable=True)


def test_all_damaged_images_are_listed_whatever_their_damage(tmp_path: Path, write_images: Writer) -> None:
    write_images("a", 3)
    files = sorted(write_images("b", 9).iterdir())
    for index, file in enumerate(files[:8]):
        file.write_bytes(b"x" if index % 2 else truncated(file.read_bytes()))
    message = refusal(tmp_path)
    assert "8 of 12 images cannot be read" in message
    assert all(str(file) in message for file in files[:8]) and str(files[8]) not in message


@pytest.mark.parametrize("factor", [1.5, 3])  # above the limit Pillow warns, above twice the limit it raises
def test_an_image_bomb_is_refused(
    factor: float, tmp_path: Path, write_images: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images("a", 2)
    bomb = write_images("b", 2) / "000.png"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("1", (int(1000 * factor), 1)).save(bomb)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the guard must not depend on the caller's filters
        message = refusal(tmp_path, image_size=8)
    assert f"{bomb} (more than 1000 pixels, Pillow's limit" in message


def test_images_without_contrast_are_refused(tmp_path: Path, write_images: Writer) -> None:
    for name in "ab":
        target = write_images(name, 2)
        for file in target.iterdir():
            Image.new("RGB", (8, 8), (9, 9, 9)).save(file)
    assert "all pixels are equal" in refusal(tmp_path)
