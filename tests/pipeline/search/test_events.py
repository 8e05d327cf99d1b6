"""One event by settings: each method with its rate, number and source."""

import pytest

from recycle_pipeline.models.masked_network import MaskedNetwork, ReuseEvent
from recycle_pipeline.pipeline.search.events import reuse_weights
from recycle_pipeline.pipeline.search.settings import REUSES

CALLS = {
    "recycle": ("recycle", 0.3, "next-lowest"),
    "rerandomize": ("rerandomize", 0.3, 7),
    "hybrid": ("hybrid", 0.3, 7, "next-lowest"),
    "none": None,
}


@pytest.mark.parametrize("reuse", REUSES)
def test_a_method_gets_its_rate_number_and_source(settings_with, small_network, monkeypatch, reuse):
    calls = []
    for name in ("recycle", "rerandomize", "hybrid"):
        monkeypatch.setattr(
            MaskedNetwork,
            name,
            lambda self, *given, name=name: calls.append((name, *given)) or ReuseEvent(2, 1),
        )
    settings = settings_with(reuse=reuse, reuse_rate=0.3, recycle_from="next-lowest")
    event = reuse_weights(MaskedNetwork(small_network(), settings.recipe), settings, 7)
    assert calls == ([CALLS[reuse]] if CALLS[reuse] else [])
    assert event == (ReuseEvent(2, 1) if CALLS[reuse] else ReuseEvent(0, 0))
