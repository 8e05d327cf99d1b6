"""A picture with what stands beside it: words for those who cannot see it, and what its numbers rest on."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """The numbers of a picture. `headings` are as many as the cells of each row; the first cell names it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: an id that is unique in the page.
        title: a heading.
        svg: an <svg> element, without its role and label; see `plot.drawn`.
        alt: what it shows, in numbers.
        caption: how to read it, n, intervals.
        table: its numbers, None where `alt` or a table of the page has them all.
    """

    name: str
    title: str
    svg: str
    alt: str
    caption: str
    table: Table | None = None
