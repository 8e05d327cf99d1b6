"""Options of architectures: ranges, what is stored of them, and how a width cuts."""

import math

import pytest

from recycle_pipeline.models.errors import UsageFault
from recycle_pipeline.models.options import DEFAULT_OPTIONS, ArchOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0.0}, "^--width 0: expected more than 0 and at most 64$"),
        ({"width": -1.0}, "^--width -1: expected more than 0"),
        ({"width": 64.5}, "^--width 64.5: expected more than 0 and at most 64$"),
        ({"width": math.nan}, "^--width nan: expected more than 0"),
        ({"activations": "sign"}, "^--activations 'sign': expected one of relu, binary$"),
        ({"batch_norm": "affine"}, "^--batch-norm 'affine': expected one of fixed, learned$"),
    ],
)
def test_a_value_that_means_nothing_is_refused(values, message):
    with pytest.raises(UsageFault, match=message) as caught:
        ArchOptions(**values)
    assert caught.value.exit_code == 2


def test_only_what_differs_from_the_published_network_is_told():
    assert DEFAULT_OPTIONS.changed() == {}
    assert ArchOptions(width=1).changed() == {}
    assert ArchOptions(width=0.5).changed() == {"width": 0.5}
    both = ArchOptions(activations="binary", batch_norm="learned")
    assert both.changed() == {"activations": "binary", "batch_norm": "learned"}
    assert ArchOptions(**both.changed()) == both
    assert (DEFAULT_OPTIONS.described(), both.described()) == ("", ", activations binary, batch norm learned")


@pytest.mark.parametrize(("width", "channels", "left"), [(0.1, 64, 6), (0.1, 256, 25), (1.25, 128, 160)])
def test_a_width_is_cut_to_an_integer(width, channels, left):
    assert ArchOptions(width=width).scaled(channels) == left
