"""Texts that come from users, inside YAML, Markdown and shell, so that they stay texts."""

import re

MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~$])")


def yaml_text(text: str) -> str:
    """A double-quoted YAML scalar on one line; what does not print is escaped."""
    return '"' + "".join(_yaml_character(character) for character in text) + '"'


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def markdown_text(text: str) -> str:
    """Plain words of a paragraph or a table's cell: one line, no mark-up, no HTML, no link."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    html = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKS.sub(r"\\\1", html).replace("://", ":&#47;/").replace("@", "&#64;")


def code_block(text: str, language: str) -> str:
    """A fenced block; its fence is longer than any within."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
