"""Every path of the kernels gives the integers of a reference in numpy, whatever the shape and the mask."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recycle_pipeline.exporters.kernel.library import PATHS, Kernels
from recycle_pipeline.exporters.kernel.packed import (
    CHUNK,
    Addition,
    Conv,
    Image,
    MaxPool,
    Sum,
    Window,
    narrow_channels,
    packed,
)
from recycle_pipeline.models.errors import RecycleError

pytestmark = pytest.mark.usefixtures("kernels")


def paths_here():
    """Those that this processor has; the portable one always."""
    content = packed([Image(1, 1, 1, 0)] * 2, [tiny()], 0, 1)
    for path in PATHS:
        try:
            with Kernels(content, path):
                yield path
        except RecycleError as error:
            assert "this processor has no" in str(error) and path != "portable"


def tiny():
    one = np.ones(1, np.int32)
    window = Window((1, 1), (1, 1), (0, 0, 0, 0))
    return Conv(0, 1, window, np.ones((1, 1, 1, 1), np.int8), one, one, one.astype(np.float32))


def assert_exact(reference, images, steps, x):
    """Every path gives the last image of the reference, for every image of a batch (N, C, H, W); and of
    one so large that some of them are made side by side."""
    expected = np.stack([reference(images, steps, each)[len(images) - 1] for each in x])
    many = np.arange(19) ** 2 % 7 % len(x)
    content = packed(images, steps, 0, len(images) - 1)
    for path in paths_here():
        with Kernels(content, path) as kernels:
            assert kernels.source == x.shape[1:] and kernels.target == expected.shape[1:]
            for threads in (1, 2):  # what a call leaves in its workspace is no matter to the next
                assert np.array_equal(kernels.run(x, threads), expected), path
                assert np.array_equal(kernels.run(x[many], threads), expected[many]), path


def any_images(rng, image: Image, count=2):
    return rng.integers(0, 256, (count, image.channels, image.height, image.width), np.uint8)


@st.composite
def cases(draw):
    sides, size = draw(st.tuples(*[st.integers(1, 40)] * 2)), draw(st.tuples(*[st.integers(1, 7)] * 2))
    pads = tuple(draw(st.integers(0, size[i % 2] - 1)) for i in range(4))
    fits = all(sides[i] + pads[i] + pads[i + 2] >= size[i] for i in (0, 1))
    strides = draw(st.tuples(*[st.integers(1, 3)] * 2))
    window = Window(size, strides, pads if fits else (size[0] - 1, size[1] - 1) * 2)
    density = draw(st.sampled_from((0.0, 0.03, 0.2, 1.0)))
    return (
        Image(draw(st.integers(1, 7)), *sides, draw(st.integers(0, 255))),
        window,
        density,
        draw(st.integers(0, 99)),
    )


@settings(max_examples=120, deadline=None)
@given(cases())
def test_any_shape_padding_stride_and_mask(reference, draw_conv, case):
    image, window, density, seed = case
    rng = np.random.default_rng(seed)
    conv, result = draw_conv(rng, image, int(rng.integers(1, 8)), window, density)
    assert_exact(reference, [image, result], [conv], any_images(rng, image))


@settings(max_examples=40, deadline=None)
@given(cases(), st.booleans())
def test_any_pooling(reference, draw_conv, case, beside_rows):
    """Of the input, or of an image that a convolution made, which may lie in whole cache lines."""
    image, window, _, seed = case
    rng = np.random.default_rng(seed)
    images, steps = [image], []
    if beside_rows:
        conv, made = draw_conv(rng, image, 3, Window((3, 3), (1, 1), (1, 1, 1, 1)), 0.3)
        images, steps = [image, made], [conv]
    sides = [
        (side + window.pads[i] + window.pads[i + 2] - window.size[i]) // window.strides[i] + 1
        for i, side in enumerate((image.height, image.width))
    ]
    steps.append(MaxPool(len(images) - 1, len(images), window))
    images.append(Image(images[-1].channels, *sides, images[-1].zero))
    assert_exact(reference, images, steps, any_images(rng, image))


@st.composite
def close_cases(draw):
    """Results as large as the image, or an even part of it: what close grids of either kind are for."""
    widths, sizes = st.integers(1, 12) | st.integers(1, 64), st.integers(1, 7) | st.just(3)
    sides, size = draw(st.tuples(widths, widths)), draw(st.tuples(sizes, sizes))
    strides = tuple(draw(st.integers(1, min(3, each))) for each in size)
    image = Image(draw(st.integers(1, 4)), *map(int.__mul__, sides, strides), draw(st.integers(0, 255)))
    before = tuple(draw(st.integers(0, size[i] - strides[i])) for i in (0, 1))
    after = tuple(size[i] - strides[i] - before[i] for i in (0, 1))
    density = draw(st.sampled_from((0.0, 0.03, 0.3, 1.0)))
    return image, Window(size, strides, (*before, *after)), density, draw(st.integers(0, 99))


@settings(max_examples=100, deadline=None)
@given(close_cases())
def test_any_result_as_large_as_its_image(reference, draw_conv, case):
    image, window, density, seed = case
    rng = np.random.default_rng(seed)
    conv, result = draw_conv(rng, image, int(rng.integers(1, 5)), window, density)
    assert_exact(reference, [image, result], [conv], any_images(rng, image, 1))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from((10, 12, 14, 16, 28, 32, 56, 64)), st.integers(1, 5))
def test_any_block_of_even_sides(reference, draw_block, seed, side, channels):
    rng = np.random.default_rng(seed)
    images, steps = draw_block(rng, side, channels)
    assert_exact(reference, images, steps, any_images(rng, images[0]))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 36), st.integers(1, 9))
def test_any_block_of_convolutions_additions_and_pooling(reference, draw_block, seed, side, channels):
    rng = np.random.default_rng(seed)
    images, steps = draw_block(rng, side, channels)
    assert_exact(reference, images, steps, any_images(rng, images[0]))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from((3, 4, 7, 8, 14, 16, 28, 32)), st.integers(1, 3), st.booleans()
)
def test_networks_of_usual_windows_that_halve(reference, draw_conv, seed, side, channels, wide):
    """3 x 3, 1 x 1 and strides of 2, each behind the last, with what two of them make added."""
    rng, images, steps = np.random.default_rng(seed), [Image(channels, side, side + 2 * wide, 9)], []

    def put(source, size, stride, added=None):
        window = Window((size, size), (stride, stride), (size // 2,) * 4)
        pair = (source, len(images))
        conv, made = draw_conv(
            rng,
            images[source],
            int(rng.integers(1, 9)) if added is None else rest,
            window,
            float(rng.choice((0.05, 0.3, 1))),
            pair,
            added,
        )
        steps.append(conv)
        images.append(made)
        return len(images) - 1

    first = put(0, 3, 1)
    halved = put(first, 3, 2)
    rest = images[halved].channels
    more = Addition(halved, 100, bool(rng.integers(2)), np.float32(0.7), np.float32(0.6), np.float32(-30))
    short = put(first, 1, 2, more)
    put(short, 3, 1)
    assert_exact(reference, images, steps, any_images(rng, images[0]))


@pytest.mark.parametrize("channels", (3, 17, 40, 70, 130))
def test_blocks_of_many_channels_that_shrink_from_grids_to_tables(reference, draw_block, channels):
    rng = np.random.default_rng(channels)
    images, steps = draw_block(rng, 16, channels)
    assert_exact(reference, images, steps, any_images(rng, images[0]))


@pytest.mark.parametrize("side", (1, 2, 4, 7, 16))
def test_linear_layers_are_windows_as_large_as_the_image_and_then_of_one_pixel(reference, draw_conv, side):
    rng, images, steps = np.random.default_rng(side), [Image(37, side, side, 9)], []
    for size, channels in ((side, 70), (1, 130), (1, 10)):
        window = Window((size, size), (1, 1), (0, 0, 0, 0))
        conv, image = draw_conv(rng, images[-1], channels, window, 0.2, (len(steps), len(images)))
        steps.append(conv)
        images.append(image)
    assert_exact(reference, images, steps, any_images(rng, images[0], 3))


def test_small_images_made_before_large_ones_are_read_after_them(reference, draw_conv):
    """8 x 8, 10 x 10, then 8 x 8 again, which adds the first and reads the input of two layouts."""
    rng, images, steps = np.random.default_rng(5), [Image(20, 8, 8, 9)], []
    more = Addition(1, 100, True, np.float32(0.7), np.float32(0.6), np.float32(-30))
    for source, pads, added in ((0, 1, None), (1, 2, None), (2, 0, more), (1, 1, None)):
        window = Window((3, 3), (1, 1), (pads,) * 4)
        conv, image = draw_conv(rng, images[source], 20, window, 0.3, (source, len(images)), added)
        steps.append(conv)
        images.append(image)
    steps.append(Sum(3, 5, Addition(4, 0, False, np.float32(0.5), np.float32(0.5), np.float32(3))))
    images.append(Image(20, 8, 8, 1))
    assert_exact(reference, images, steps, any_images(rng, images[0]))


@pytest.mark.parametrize("side", (4, 8, 16, 32, 40))
def test_sums_of_more_than_16_bits_at_their_extremes(reference, draw_conv, side):
    """Full rows of either sign over images of 255: 540 x 255 = 137,700; and rows at the limit."""
    rng, window = np.random.default_rng(0), Window((3, 3), (1, 1), (1, 1, 1, 1))
    image = Image(60, side, side, 0)
    conv, result = draw_conv(rng, image, 6, window, 0.5)
    conv.signs[0], conv.signs[1], conv.signs[2] = 1, -1, 0
    conv.signs[3].reshape(-1)[:] = np.r_[np.ones(CHUNK), -np.ones(CHUNK), np.zeros(540 - 2 * CHUNK)]
    conv.signs[4].reshape(-1)[:] = np.r_[np.ones(CHUNK + 1), np.zeros(540 - CHUNK - 1)]
    conv.signs[5].reshape(-1)[:] = np.r_[np.ones(198), -np.ones(59), np.zeros(283)]  # 257 values of 8 bits
    conv.scale[:] = 1e-5
    assert narrow_channels(conv) == 2
    most = np.zeros((60, side, side), np.uint8)
    most[:22] = 255  # what is added, and nothing that is subtracted
    x = np.stack([np.full((60, side, side), 255, np.uint8), most, 255 - most, *any_images(rng, image)])
    assert_exact(reference, [image, result], [conv], x)
    with Kernels(packed([image, result], [conv], 0, 1)) as kernels:
        counts = kernels.counts
        assert (counts.narrow, counts.chunked, counts.weights) == (2, 4, int(np.abs(conv.signs).sum()))


def test_channels_of_more_taps_than_tables_can_sum(reference, draw_conv):
    """2^17 x 255 x 64 is the most that 32 bits of a table's sum hold: grids take over, tables refuse."""
    rng, image = np.random.default_rng(0), Image(16_384, 3, 3, 7)
    conv, made = draw_conv(rng, image, 2, Window((3, 3), (1, 1), (1, 1, 1, 1)), 1.0)
    conv.magnitude[:] = 40  # or sums might leave 32 bits
    content, x = packed([image, made], [conv], 0, 1), any_images(rng, image)
    for path in paths_here():
        if path == "avx512vbmi":
            with pytest.raises(RecycleError, match="its channels have too many taps"):
                Kernels(content, path)
            continue
        with Kernels(content, path) as kernels:
            expected = np.stack([reference([image, made], [conv], each)[1] for each in x])
            assert np.array_equal(kernels.run(x), expected), path


@pytest.mark.parametrize("channels", (5, 33, 70))
def test_a_part_of_several_images_in_the_midst_of_a_network(reference, draw_conv, channels):
    """What comes before is larger, what follows a linear layer; sums of 16 bits, of 32, and moved to fit."""
    rng, images, steps = np.random.default_rng(channels), [Image(4, 16, 16, 3)], []
    three, half = Window((3, 3), (1, 1), (1, 1, 1, 1)), Window((3, 3), (2, 2), (1, 1, 1, 1))
    for window, density in ((three, 0.5), (half, 0.9), (three, 0.4), (half, 0.3), (three, 1.0)):
        conv, made = draw_conv(rng, images[-1], channels, window, density, (len(steps), len(steps) + 1))
        images.append(made)
        steps.append(conv)
    last, made = draw_conv(rng, images[-1], 10, Window((4, 4), (1, 1), (0, 0, 0, 0)), 0.2, (5, 6))
    assert_exact(reference, [*images, made], [*steps, last], any_images(rng, images[0]))


def test_distances_of_more_than_16_bits(reference, draw_conv):
    rng, image = np.random.default_rng(1), Image(70, 33, 31, 7)
    conv, result = draw_conv(rng, image, 3, Window((3, 3), (1, 1), (1, 1, 1, 1)), 0.02)
    conv.signs[0] = 0
    conv.signs[0, 69, 2, 2] = -1  # one weight, the furthest
    assert_exact(reference, [image, result], [conv], any_images(rng, image))


def test_sums_that_float32_would_round(reference, draw_conv):
    """Beyond 2^24, where integers are brought to float32 once, as onnxruntime does."""
    rng, image = np.random.default_rng(2), Image(4, 12, 12, 0)
    conv, result = draw_conv(rng, image, 4, Window((3, 3), (1, 1), (1, 1, 1, 1)), 0.5)
    conv.bias[:] = rng.integers(2**29, 2**30, 4)
    conv.scale[:] = 255 / 2**30
    assert_exact(reference, [image, result], [conv], any_images(rng, image, 4))


def test_many_threads_run_one_network_at_a_time(draw_block):
    rng = np.random.default_rng(3)
    images, steps = draw_block(rng, 12, 8)
    content, x = packed(images, steps, 0, len(images) - 1), any_images(rng, images[0], 12)
    with Kernels(content) as kernels:
        expected = kernels.run(x)
        wrong = []

        def work(which):
            for _ in range(20):
                if not np.array_equal(kernels.run(x[which : which + 1])[0], expected[which]):
                    wrong.append(which)

        threads = [threading.Thread(target=work, args=(which,)) for which in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("side", (17, 32))
def test_threads_that_share_images_make_the_same(draw_block, side):
    """A batch of fewer images than threads, of as many, and of more; threads that come late or never."""
    rng = np.random.default_rng(5)
    images, steps = draw_block(rng, side, 48, 0.5)
    content, x = packed(images, steps, 0, len(images) - 1), any_images(rng, images[0], 7)
    for path in paths_here():
        with Kernels(content, path) as kernels:
            assert kernels.known == 1
            expected = kernels.run(x)
            calls = 0
            while calls < 24 or kernels.known < 2:
                assert calls < 2000, "no two threads ever took part in a call"
                count = (1, 2, 5, 7)[calls % 4]
                assert np.array_equal(kernels.run(x[:count], 2 + calls % 6), expected[:count])
                calls += 1


def test_each_step_can_be_timed(draw_block):
    rng = np.random.default_rng(4)
    images, steps = draw_block(rng, 12, 8)
    with Kernels(packed(images, steps, 0, len(images) - 1)) as kernels:
        assert kernels.counts.steps == len(steps)
        times = kernels.times(any_images(rng, images[0], 1))
        assert times.shape == (len(steps),) and np.isfinite(times).all()


def test_images_of_another_shape_or_type_are_refused():
    with Kernels(packed([Image(1, 1, 1, 0)] * 2, [tiny()], 0, 1)) as kernels:
        for images in (np.zeros((1, 1, 1, 2), np.uint8), np.zeros((1, 1, 1, 1), np.int8)):
            with pytest.raises(RecycleError, match=r"expected uint8 \(N, \*\(1, 1, 1\)\)"):
                kernels.run(images)
        assert kernels.run(np.zeros((0, 1, 1, 1), np.uint8)).shape == (0, 1, 1, 1)


def test_a_path_that_does_not_exist_is_refused():
    with pytest.raises(RecycleError, match="this processor has no neon"):
        Kernels(packed([Image(1, 1, 1, 0)] * 2, [tiny()], 0, 1), "neon")
