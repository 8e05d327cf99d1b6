"""One reuse event, whichever method the settings name."""

from recycle_pipeline.models.masked_network import MaskedNetwork, ReuseEvent
from recycle_pipeline.pipeline.search.settings import SearchSettings


def reuse_weights(masked: MaskedNetwork, settings: SearchSettings, number: int) -> ReuseEvent:
    """Reuses weights in every layer, by the masks and scores as they are; takes effect at the next refresh.

    Args:
        masked: its masks are refreshed: what is pruned now is what may be drawn anew.
        settings: method, rate and source.
        number: of the event, 1 to 32767, each once in a search (`event_number_after` or
            `event_number_before_step` of the settings).
    """
    if settings.reuse == "recycle":
        return masked.recycle(settings.reuse_rate, settings.recycle_from)
    if settings.reuse == "rerandomize":
        return masked.rerandomize(settings.reuse_rate, number)
    if settings.reuse == "hybrid":
        return masked.hybrid(settings.reuse_rate, number, settings.recycle_from)
    return ReuseEvent(0, 0)
