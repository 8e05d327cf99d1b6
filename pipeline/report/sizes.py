"""Bytes of every form of a run, beside its dense weights and the bound of its bits."""

from collections.abc import Iterator, Mapping
from typing import Any

from recycle_pipeline.pipeline.forms import FORMS
from recycle_pipeline.pipeline.report.facts import Network, Size
from recycle_pipeline.pipeline.run_folder import RunFolder

DENSE_WEIGHTS, TICKET, BOUND = "dense weights", "ticket", "entropy bound"
BYTES = 4  # of a float32


def sizes_of_run(
    folder: RunFolder, exported: Mapping[str, int], network: Network | None, verify: Mapping[str, Any] | None
) -> tuple[Size, ...]:
    """The rows, largest kinds first: dense weights, forms, ticket, bound."""
    return tuple(_sizes(folder, exported, network, verify or {}))


def _sizes(
    folder: RunFolder, exported: Mapping[str, int], network: Network | None, verify: Mapping[str, Any]
) -> Iterator[Size]:
    if network:
        yield Size(DENSE_WEIGHTS, "dense", "all masked weights as float32", BYTES * network.weights)
    rejected = {form for form in exported if form in FORMS and folder.is_rejected(form)}
    rejected |= {form for form, found in verify.get("forms", {}).items() if "rejected" in found}
    for form, count in exported.items():
        about = FORMS[form].about if form in FORMS else ""
        if form in rejected:
            yield Size(form, "rejected", f"{about}; broke its promise", count)
        else:
            yield Size(form, "form", about, count)
    if network and folder.ticket.is_file():
        about = "seed, masks, what moved, statistics, digests"
        yield Size(TICKET, "ticket", about, folder.ticket.stat().st_size)
    if network:
        bound = round(sum(layer.bound_bytes for layer in network.layers))
        yield Size(BOUND, "bound", "masks and moved signs, if their bits were independent", bound)
