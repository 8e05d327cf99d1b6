"""Lines that fit a terminal: broken between words, and indented where they go on."""

import textwrap

from rich.console import Console


def hanging(text: str, indent: int, out: Console) -> str:
    """The text as it stands behind `indent` columns; a word that is too long, such as a path, stays whole.

    Elsewhere than on a terminal it stays as it is.
    """
    if not out.is_terminal:
        return text
    room = max(out.width - indent, 1)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)
