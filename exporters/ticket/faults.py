"""What can be wrong with a ticket. All are CorruptArtefact, exit code 6, and name the file and the part."""

from recycle_pipeline.models.errors import CorruptArtefact


class TicketFault(CorruptArtefact):
    """A ticket, or what was taken for one, that cannot be read.

    Attributes:
        part: which part of the file, or which layer or array, is at fault.
    """

    def __init__(self, name: str, part: str, what: str) -> None:
        super().__init__(f"{name} is damaged, part {part!r}: {what}. Fetch or pack it again.")
        self.part = part


class NotATicket(TicketFault):
    """No safetensors file, not a whole one, or not of ours."""


class HeaderFault(TicketFault):
    """The header does not say what a header must."""


class PartFault(TicketFault):
    """A part is missing, is one too many, was changed, or does not hold what the header says."""


class LimitFault(TicketFault):
    """More is claimed than a ticket may hold; found before any memory is taken for it."""


class DigestFault(TicketFault):
    """An array that was rebuilt is not the one that was stored."""


class LaterVersion(CorruptArtefact):
    """The file was written by a later release."""

    def __init__(self, name: str, version: int, latest: int) -> None:
        super().__init__(
            f"{name} is a ticket of version {version}; this recycle-pipeline reads up to version "
            f"{latest}: install a newer one"
        )
        self.version = version
