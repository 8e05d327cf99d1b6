"""NaN and infinity in what a ticket holds."""

from recycle_pipeline.models.errors import CorruptArtefact
from recycle_pipeline.models.subnetwork import Subnetwork


def require_finite(subnetwork: Subnetwork, where: str) -> None:
    """Refuses NaN and infinity, which no search leaves: a model of them says nothing.

    Raises:
        CorruptArtefact: there are some; names the first arrays that hold them.
    """
    if names := subnetwork.not_finite():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise CorruptArtefact(
            f"{where} holds NaN or infinity in {', '.join(names[:3])}{more}; expected finite numbers; "
            "search again"
        )
