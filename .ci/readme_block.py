"""Prints one of README's marked command blocks: `<!-- ci: NAME -->` and the fenced block after it."""

import re
import sys
from pathlib import Path


def block(name: str) -> str:
    """The commands of a block, without prompts."""
    text = Path(__file__).parent.parent.joinpath("README.md").read_text("utf-8")
    match = re.search(rf"<!-- ci: {re.escape(name)} -->\s*```\w*\n(.*?)```", text, re.DOTALL)
    if match is None:
        sys.exit(f"README.md has no block marked <!-- ci: {name} -->")
    return match.group(1)


if __name__ == "__main__":
    print(block(sys.argv[1]), end="")
